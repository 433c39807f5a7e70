/**
 * Several server processes with boards of protocol v2, each a listener as an app has it: the share of boards that are told AGAIN and the
 * share of calls that end in `Unknown`, when a process joins, when one restarts, and when boards wake up on another port.
 * docs/protocol-v2.md has the figures.
 */
import { describe, expect, it, onTestFinished } from 'vitest';
import { V2ClientExchange } from '../../../lib/exchange/index.js';
import { KeyRing } from '../../../lib/keys/index.js';
import { V2_TYPE } from '../../../lib/protocol/v2/index.js';
import { systemRandom } from '../../../lib/random.js';
import { Listener } from '../../../lib/server/index.js';
import { LISTENER_OPTIONS } from '../../support/listener-options.js';
import { remoteOf } from '../../support/pure-device.js';
import { ScriptedPlatform, type ScriptedSocket } from '../../support/scripted-platform.js';

const BOARDS = 20;

const keys = Array.from({ length: BOARDS }, (_, index) => {
  const key = Buffer.alloc(32, 7);
  key.writeUInt32BE(index);
  return { device: `board ${index}`, key };
});

interface Process {
  readonly listener: Listener;
  readonly socket: ScriptedSocket;
}

/** Chooses the process for a datagram, as a kernel or a load balancer does. */
type Balance = (datagram: Buffer, board: number) => Process;

interface Shares {
  readonly done: number;
  readonly again: number;
  readonly unknown: number;
}

class Fleet {
  readonly platform = new ScriptedPlatform();
  /** Executions of each board. */
  readonly runs = Array.from({ length: BOARDS }, () => 0);
  private readonly boards = keys.map(
    ({ key }) => new V2ClientExchange({ key, bufferSize: 1536, random: systemRandom }),
  );

  async startProcess(route?: number): Promise<Process> {
    const listener = await Listener.bind(
      { ...LISTENER_OPTIONS, route },
      new KeyRing(keys),
      {
        onRequest: ({ device }) => {
          this.runs[keys.findIndex((each) => each.device === device)]!++;
          return { text: '{"data":1}', isError: false };
        },
        onRejected: () => undefined,
        onRefused: () => undefined,
        onEnded: () => undefined,
        onError: (error) => expect.fail(String(error)),
        onSendError: (error) => expect.fail(String(error)),
      },
      this.platform,
    );
    onTestFinished(() => listener.close().catch(() => undefined));
    return { listener, socket: this.platform.sockets.at(-1)! };
  }

  /**
   * One call of each board.
   *
   * @param isLost whether an answer is lost. The board then sends its datagram once more.
   */
  async callAll(
    balance: Balance,
    port = 8585,
    isLost: (answer: Buffer, board: number) => boolean = () => false,
  ): Promise<Shares> {
    const shares = { done: 0, again: 0, unknown: 0 };
    const { platform } = this;
    for (const [index, board] of this.boards.entries()) {
      let step = board.begin("{'action': 'echo'}", false, platform.now(), 15_000);
      while (step.kind === 'send') {
        const { socket } = balance(step.datagram, index);
        await socket.receive([step.datagram], remoteOf(`10.0.0.${index + 1}`, port));
        const [answer] = socket.sent.splice(0) as [Buffer];
        shares.again += Number(answer[1] === V2_TYPE.again);
        step = isLost(answer, index) ? board.elapse() : board.receive(answer, platform.now());
      }
      shares.done += Number(step.kind === 'done');
      shares.unknown += Number(step.kind === 'failed' && step.failure === 'unknown');
    }
    return shares;
  }
}

/** Both requests have their route at the same place. An OPEN has none, so the balancer chooses. */
const forwardTo =
  (processes: ReadonlyMap<number, Process>, otherwise: Balance): Balance =>
  (datagram, board) =>
    (datagram[1] === V2_TYPE.open ? undefined : processes.get(datagram.readUInt16BE(2))) ?? otherwise(datagram, board);

const ALL = { done: BOARDS, again: 0, unknown: 0 };

/** A fleet with a session of each board at a process that has been there for a minute. */
async function startFleet(route?: number) {
  const fleet = new Fleet();
  const first = await fleet.startProcess(route);
  await fleet.callAll(() => first);
  return { fleet, first };
}

describe('boards of protocol v2 at several processes', () => {
  it('that wake up on another port go on: no AGAIN, no Unknown', async () => {
    const { fleet, first } = await startFleet();
    await fleet.platform.advance(60_000);
    expect(await fleet.callAll(() => first, 9999)).toEqual(ALL);
  });

  it.each([
    ['without routes', undefined, undefined],
    ['with a route each', 1, 2],
  ])('%s: those that a balancer moves to another process end in Unknown once', async (_name, one, two) => {
    const { fleet, first } = await startFleet(one);
    const second = await fleet.startProcess(two);
    await fleet.platform.advance(60_000);
    const byBoard: Balance = (_datagram, board) => (board % 2 === 0 ? first : second);
    expect(await fleet.callAll(byBoard)).toEqual({ done: BOARDS / 2, again: BOARDS / 2, unknown: BOARDS / 2 });
    await fleet.platform.advance(1000);
    expect(await fleet.callAll(byBoard)).toEqual(ALL);
  });

  it.each([
    ['without routes', undefined, undefined],
    ['with a route each', 1, 2],
  ])('%s: a call that moves after its reply was lost runs once, and is Unknown', async (_name, one, two) => {
    const { fleet, first } = await startFleet(one);
    const second = await fleet.startProcess(two);
    await fleet.platform.advance(60_000);
    const moved = new Set<number>();
    const balance: Balance = (_datagram, board) => (moved.has(board) ? second : first);
    const loseFirst = (answer: Buffer, board: number) =>
      answer[1] === V2_TYPE.reply && !moved.has(board) && moved.add(board).has(board);
    expect(await fleet.callAll(balance, 8585, loseFirst)).toEqual({ done: 0, again: BOARDS, unknown: BOARDS });
    expect(new Set(fleet.runs)).toEqual(new Set([2]));
  });

  it('notice nothing of a process that joins if requests are forwarded by their route', async () => {
    const { fleet, first } = await startFleet(1);
    const second = await fleet.startProcess(2);
    await fleet.platform.advance(60_000);
    const processes = new Map([
      [1, first],
      [2, second],
    ]);
    const balance = forwardTo(processes, (_datagram, board) => (board % 2 === 0 ? first : second));
    expect(await fleet.callAll(balance)).toEqual(ALL);
  });

  it.each([
    ['with its route, bound for 1001 ms', 1, 1001, 0],
    ['with its route, bound for 999 ms', 1, 999, BOARDS],
    ['without a route', undefined, 60_000, BOARDS],
  ])('are asked again after a restart %s', async (_name, route, upMs, unknown) => {
    const { fleet, first } = await startFleet(route);
    await fleet.platform.advance(60_000);
    await first.listener.close();
    const restarted = await fleet.startProcess(route);
    await fleet.platform.advance(upMs);
    expect(await fleet.callAll(() => restarted)).toEqual({ done: BOARDS - unknown, again: BOARDS, unknown });
    await fleet.platform.advance(2000);
    expect(await fleet.callAll(() => restarted)).toEqual(ALL);
  });
});
