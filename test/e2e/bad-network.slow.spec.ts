/**
 * Boards on a bad network, over real UDP through a proxy that loses, doubles, delays and damages: no board ever gets a wrong
 * answer, nothing is executed twice, and once the network is good again, so are the boards. `npm run test:soak` and
 * `npm run test:simulate` do the same at length.
 */
import { Logger } from '@nestjs/common';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { type TestContext, describe, expect, it, vi } from 'vitest';
import { MicroPythonBoard } from '../../tools/micropython/board.mjs';
import { type Faults, LossyProxy } from '../support/lossy-proxy.mjs';

const KEY = Buffer.alloc(32, 'b');
const TIMEOUT_MS = 600;
const BOARDS = 12;
const EXCHANGES = 15;
/** Sends after which a board must be heard again on a good network, and sends to see that it stays so. */
const HEALING = 4;
const AFTER = 3;
const SEED = 1;

const CELLS: Record<string, Faults> = {
  'loses 10 %': { loss: 0.1 },
  'loses bursts': { burstLoss: 0.05, burstLength: 3 },
  'doubles 10 %': { duplicate: 0.1 },
  'lets 10 % be overtaken': { reorder: 0.1, reorderMs: [50, 700] },
  'has delay and jitter': { delayMs: 40, jitterMs: 39 },
  'flips bits in 10 %': { corrupt: 0.1 },
  'cuts off 5 %': { truncate: 0.05 },
  'does all of it': { loss: 0.03, duplicate: 0.03, reorder: 0.03, reorderMs: [50, 700], corrupt: 0.03, truncate: 0.01 },
};

Logger.overrideLogger(false);

/** Of the test itself: where several run at once, the global one belongs to any of them. */
type OnTestFinished = TestContext['onTestFinished'];

interface Network {
  readonly onTestFinished: OnTestFinished;
  readonly proxy: LossyProxy;
  /** Every request that was executed, as often as it was. */
  readonly executed: string[];
}

async function start(faults: Faults, onTestFinished: OnTestFinished): Promise<Network> {
  const executed: string[] = [];
  const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY, timeout: TIMEOUT_MS });
  transport.addHandler('echo', async (data: string) => {
    executed.push(data);
    return data as never;
  });
  await new Promise<void>((resolve, reject) =>
    transport.listen((error) => (error ? reject(error as Error) : resolve())),
  );
  onTestFinished(() => transport.close());
  const { port } = transport.unwrap().address();
  const proxy = await LossyProxy.start({ server: { port }, seed: SEED, toServer: faults, toDevice: faults });
  onTestFinished(() => proxy.close());
  return { proxy, executed, onTestFinished };
}

/** Sends a text; resolves to the answer, `undefined` if it is missing or does not verify. */
type Ask = (text: string, noreturn: boolean) => Promise<string | undefined>;

async function startVirtual({ proxy, onTestFinished }: Network): Promise<Ask> {
  const board = await VirtualBoard.start({ key: KEY, port: proxy.port, timeout: TIMEOUT_MS });
  onTestFinished(() => board.close());
  return async (data, noreturn) => {
    try {
      return JSON.stringify(await board.send({ action: 'echo', data }, { noreturn }));
    } catch {
      return undefined;
    }
  };
}

async function startMicroPython({ proxy, onTestFinished }: Network): Promise<Ask> {
  const board = await MicroPythonBoard.start({ key: KEY, port: proxy.port, timeoutMs: TIMEOUT_MS });
  onTestFinished(() => board.close());
  return async (data, noreturn) => {
    try {
      return (await board.send(`{"action": "echo", "data": "${data}"}`, { noreturn })).replaceAll("'", '"');
    } catch {
      return undefined;
    }
  };
}

/** Runs one board; returns its wrong answers. */
async function live(ask: Ask, name: string, first: number, count: number, noreturn: boolean): Promise<string[]> {
  const wrong: string[] = [];
  for (let number = first; number < first + count; number++) {
    const text = `${name} ${number}`;
    const answer = await ask(text, noreturn);
    if (answer !== undefined && answer !== (noreturn ? '{}' : `"${text}"`)) {
      wrong.push(`${text}: ${answer}`);
    }
    // A board's own pace: a hello within a tenth of the timeout after another would be a duplicate.
    await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS / 8));
  }
  return wrong;
}

function onTheWay({ fates }: LossyProxy): number {
  return Object.values(fates).reduce(
    (sum, { sent, doubled, lost, arrived }) => sum + sent + doubled - lost - arrived,
    0,
  );
}

async function survive(network: Network, boards: readonly Ask[]): Promise<void> {
  const { proxy, executed } = network;
  const all = (first: number, count: number) =>
    Promise.all(boards.map((ask, index) => live(ask, `board ${index}`, first, count, index % 2 === 1)));
  expect((await all(0, EXCHANGES)).flat()).toEqual([]);
  proxy.setFaults({});
  // The datagrams that the bad network still holds arrive before the boards go on.
  await vi.waitUntil(() => onTheWay(proxy) === 0, { timeout: 10_000 });
  expect((await all(EXCHANGES, HEALING + AFTER)).flat()).toEqual([]);
  expect(executed.toSorted()).toEqual([...new Set(executed)].toSorted());
  const isHeard = (index: number, number: number) => executed.includes(`board ${index} ${number}`);
  const numbers = Array.from({ length: EXCHANGES + HEALING + AFTER }, (_, number) => number);
  const lost = boards.map((_, index) => numbers.filter((number) => !isHeard(index, number)));
  const mute = lost.filter((each) => each.some((number) => number >= EXCHANGES + HEALING));
  expect(mute).toEqual([]);
}

describe.concurrent.each(Object.entries(CELLS))('a network that %s', (_title, faults) => {
  it(
    'brings no wrong answer and no second execution, and leaves no board mute',
    { timeout: 120_000 },
    async ({ onTestFinished }) => {
      const network = await start(faults, onTestFinished);
      await survive(network, await Promise.all(Array.from({ length: BOARDS }, () => startVirtual(network))));
      const { toServer, toDevice } = network.proxy.fates;
      const mishaps = ({ lost, doubled, reordered, corrupted, truncated }: typeof toServer) =>
        lost + doubled + reordered + corrupted + truncated;
      expect(faults.jitterMs ?? Math.min(mishaps(toServer), mishaps(toDevice))).toBeGreaterThan(10);
    },
  );
});

describe.concurrent('a network that does all of it', () => {
  it('does no more to boards with a real MicroPython', { timeout: 120_000 }, async ({ onTestFinished }) => {
    const network = await start(CELLS['does all of it']!, onTestFinished);
    const boards = await Promise.all([startMicroPython(network), startMicroPython(network)]);
    await expect(survive(network, boards)).resolves.toBeUndefined();
    expect(network.proxy.fates.toServer.lost + network.proxy.fates.toDevice.lost).toBeGreaterThan(0);
  });
});
