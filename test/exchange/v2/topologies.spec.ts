/**
 * Several server processes with boards of protocol v2: the share of boards that are told AGAIN and the share of calls that end in `Unknown`,
 * when a process joins, when one restarts, and when boards wake up on another port. docs/protocol-v2.md has the figures.
 */
import { describe, expect, it } from 'vitest';
import { V2ClientExchange } from '../../../lib/exchange/index.js';
import type { V2ServerExchange } from '../../../lib/exchange/v2/server-exchange.js';
import type { V2Pending } from '../../../lib/exchange/v2/pending.js';
import { systemRandom } from '../../../lib/random.js';
import { remoteOf } from '../../support/pure-device.js';
import { createV2Server, datagramOf, outcomeOf } from '../../support/v2-server.js';

const BOARDS = 60;

const keys = Array.from({ length: BOARDS }, (_, index) => {
  const key = Buffer.alloc(32, 7);
  key.writeUInt32BE(index);
  return { device: `board ${index}`, key };
});

/** Chooses the process for a datagram, as a kernel or a load balancer does. */
type Balance = (datagram: Buffer, board: number, port: number) => V2ServerExchange;

interface Shares {
  readonly done: number;
  readonly again: number;
  readonly unknown: number;
}

class Fleet {
  private readonly boards = keys.map(
    ({ key }) => new V2ClientExchange({ key, bufferSize: 1536, random: systemRandom }),
  );

  /** One call of each board. Its handler answers at once. */
  callAll(balance: Balance, now: number, port = 8585): Shares {
    const shares = { done: 0, again: 0, unknown: 0 };
    for (const [index, board] of this.boards.entries()) {
      let step = board.begin("{'action': 'echo'}", false, now, 15_000);
      while (step.kind === 'send') {
        const server = balance(step.datagram, index, port);
        const decision = server.receive(step.datagram, remoteOf(`10.0.0.${index + 1}`, port), now);
        shares.again += Number(outcomeOf(decision) === 'unknown-session');
        step = board.receive(answerOf(server, decision, now)!, now);
      }
      shares.done += Number(step.kind === 'done');
      shares.unknown += Number(step.kind === 'failed' && step.failure === 'unknown');
    }
    return shares;
  }
}

function answerOf(server: V2ServerExchange, decision: ReturnType<V2ServerExchange['receive']>, now: number) {
  if (decision.kind !== 'request') {
    return datagramOf(decision);
  }
  const pending = decision.pending as unknown as V2Pending;
  const reply = server.reply(pending, '{"data":1}', now);
  server.finish(pending, now);
  return typeof reply === 'string' ? undefined : reply[0];
}

const createProcess = (route: number, startedAt = 0) => createV2Server({ keys, route, startedAt });

/** Routes lie at one place in both requests. An OPEN has none of its own, and goes where the balancer likes. */
const forwardTo =
  (processes: ReadonlyMap<number, V2ServerExchange>, otherwise: Balance): Balance =>
  (datagram, board, port) =>
    (datagram[1] === 1 ? undefined : processes.get(datagram.readUInt16BE(2))) ?? otherwise(datagram, board, port);

describe('boards of protocol v2 at several processes', () => {
  it('that wake up on another port go on: no AGAIN, no Unknown', () => {
    const fleet = new Fleet();
    const server = createProcess(1);
    fleet.callAll(() => server, 0);
    expect(fleet.callAll(() => server, 60_000, 9999)).toEqual({ done: BOARDS, again: 0, unknown: 0 });
  });

  it('that the kernel hands to another process by their port need a route: all that moved end in Unknown once', () => {
    const fleet = new Fleet();
    const [first, second] = [createProcess(1), createProcess(2)];
    fleet.callAll(() => first, 0);
    const byBoard: Balance = (_datagram, board) => (board % 2 === 0 ? first : second);
    expect(fleet.callAll(byBoard, 60_000)).toEqual({ done: BOARDS / 2, again: BOARDS / 2, unknown: BOARDS / 2 });
    expect(fleet.callAll(byBoard, 61_000)).toEqual({ done: BOARDS, again: 0, unknown: 0 });
  });

  it('notice nothing of a process that joins if requests are forwarded by their route', () => {
    const fleet = new Fleet();
    const [first, second] = [createProcess(1), createProcess(2)];
    fleet.callAll(() => first, 0);
    const processes = new Map([
      [1, first],
      [2, second],
    ]);
    const balance = forwardTo(processes, (_datagram, board) => (board % 2 === 0 ? first : second));
    expect(fleet.callAll(balance, 60_000)).toEqual({ done: BOARDS, again: 0, unknown: 0 });
    expect(new Fleet().callAll(balance, 61_000)).toEqual({ done: BOARDS, again: 0, unknown: 0 });
    expect(second.sessionCount).toBe(BOARDS / 2);
  });

  it.each([
    [1001, 0],
    [999, BOARDS],
  ])('are asked again after a restart; bound for %i ms, %i end in Unknown', (upMs, unknown) => {
    const fleet = new Fleet();
    const first = createProcess(1);
    fleet.callAll(() => first, 0);
    const restarted = createProcess(1, 60_000 - upMs);
    expect(fleet.callAll(() => restarted, 60_000)).toEqual({ done: BOARDS - unknown, again: BOARDS, unknown });
    expect(fleet.callAll(() => restarted, 62_000)).toEqual({ done: BOARDS, again: 0, unknown: 0 });
  });
});
