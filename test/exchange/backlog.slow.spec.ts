/**
 * Boards whose sockets hold many datagrams. A `noreturn` board reads two of them for each message and reports success, so a backlog
 * that the server does not recognise would keep it mute for ever.
 */
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../lib/exchange/index.js';
import { formatEnvelope } from '../../lib/protocol/index.js';
import { PureDevice, createServer } from '../support/pure-device.js';
import { seededRandom } from '../support/seeded-random.js';
import { TimedBoard, type TimedBoardOptions, Timeline } from '../support/timed-board.js';

const CAPACITIES = [1, 2, 4, 6, 64, 400];

/** Messages that a backlog of this many datagrams may cost: it reads two for each, and each run of the drain has a few more. */
function boundFor(datagrams: number): number {
  const reads = Math.ceil(datagrams / 2);
  // Beyond 40 withheld hellos the server answers again, and needs three failures to go on.
  const runs = Math.ceil((reads + 1) / 40);
  return reads + 5 * runs + 1;
}

function createBoard(options: Partial<TimedBoardOptions> & { restart?: boolean } = {}) {
  const timeline = new Timeline();
  const server = createServer();
  const board = new TimedBoard({ timeline, server, noreturn: true, ...options });
  board.start();
  timeline.runUntil(3500);
  expect(board.succeeded).toBe(board.ended - 1);
  return { timeline, board, server };
}

/** The messages that are lost until 20 in a row are heard. */
function lostUntilHealed(board: TimedBoard, timeline: Timeline, maxLost: number): number {
  const first = board.ended;
  let inARow = 0;
  for (let number = first; inARow < 20; number++) {
    while (board.ended <= number + 1) {
      timeline.runUntil(timeline.now + 1000);
    }
    inARow = board.heard.includes(number) ? inARow + 1 : 0;
    if (number - first > maxLost + 20) {
      return Infinity;
    }
  }
  const last = board.ended - 1;
  return Array.from({ length: last - first }, (_, index) => first + index).filter((each) => !board.heard.includes(each))
    .length;
}

describe.each([true, false])('noreturn: %s', (noreturn) => {
  describe.each(CAPACITIES)('a socket of %i datagrams', (capacity) => {
    it.each([500, 2000, 25_000])('full of stray datagrams is drained, with a message every %i ms', (pauseMs) => {
      const { timeline, board } = createBoard({ noreturn, capacity, pauseMs });
      board.store(Array.from({ length: capacity }, (_, index) => Buffer.alloc(16, index)));
      expect(lostUntilHealed(board, timeline, boundFor(capacity))).toBeLessThanOrEqual(boundFor(capacity));
    });

    it.each([2, 4.5, 10, 20])('is heard again after a stall of %d timeouts that ends at once', (timeouts) => {
      const { timeline, board } = createBoard({ noreturn, capacity });
      board.held = [];
      timeline.runUntil(timeline.now + timeouts * 10_000);
      const backlog = Math.min(capacity, board.held.length);
      board.release();
      expect(lostUntilHealed(board, timeline, boundFor(backlog))).toBeLessThanOrEqual(boundFor(backlog));
    });

    it('full of stray datagrams is drained at a server that does not know the board', () => {
      const timeline = new Timeline();
      const board = new TimedBoard({ timeline, server: createServer(), noreturn, capacity });
      board.store(Array.from({ length: capacity }, (_, index) => Buffer.alloc(16, index)));
      board.start();
      expect(lostUntilHealed(board, timeline, boundFor(capacity))).toBeLessThanOrEqual(boundFor(capacity));
    });
  });

  it.each([
    { share: 0.01, copyDelayMs: 0 },
    { share: 0.02, copyDelayMs: 30 },
    { share: 0.05, copyDelayMs: 0 },
    { share: 0.05, copyDelayMs: 30 },
    { share: 0.1, copyDelayMs: 30 },
  ])('stays in step for 500 exchanges with copies of datagrams: %o', ({ share, copyDelayMs }) => {
    // A copy spoils its own exchange, and that of a reply the next one too. It never spoils more.
    const least = (1 - share) ** (noreturn ? 4 : 13);
    for (const capacity of CAPACITIES.slice(1)) {
      const random = seededRandom(capacity);
      let isFaulty = false;
      const copies = () => (isFaulty && random() < share ? 2 : 1);
      const { timeline, board } = createBoard({ noreturn, capacity, copyDelayMs, copies });
      isFaulty = true;
      while (board.ended < 500) {
        timeline.runUntil(timeline.now + 1000);
      }
      expect(board.succeeded / board.ended, `a socket of ${capacity}`).toBeGreaterThanOrEqual(least);
      expect(board.heard.filter((number) => number >= 450).length / 50).toBeGreaterThanOrEqual(least - 0.15);
    }
  });
});

describe('the time in which a second hello is a copy', () => {
  /** A request is lost; the board says hello again after this time. */
  const outcomeAfter = (requestMs: number, pauseMs: number): string => {
    const server = createServer();
    const device = new PureDevice(server);
    for (const now of [0, 1000, 2000, 3000]) {
      device.hello(now);
      device.request(now + requestMs, "{'action': 'a', 'noreturn': True}");
    }
    device.hello(4000);
    const decision = device.hello(4000 + pauseMs);
    return decision.kind === 'rejected' ? decision.reason : decision.kind;
  };

  it.each([
    { requestMs: 3, copyUntil: 20 },
    { requestMs: 40, copyUntil: 80 },
    { requestMs: 200, copyUntil: 250 },
  ])('follows the board: if its requests take $requestMs ms, it is $copyUntil ms', ({ requestMs, copyUntil }) => {
    expect(outcomeAfter(requestMs, copyUntil - 1)).toBe('duplicate-hello');
    expect(outcomeAfter(requestMs, copyUntil)).toBe('pair');
  });

  it('is 250 ms for a board whose time is not known', () => {
    const outcomes = [249, 250].map((pauseMs) => {
      const device = new PureDevice(createServer());
      device.hello(0);
      return device.hello(pauseMs).kind;
    });
    expect(outcomes).toEqual(['rejected', 'pair']);
  });
});

describe('a failing request', () => {
  const junk = formatEnvelope({ hash: Buffer.alloc(32), data: Buffer.alloc(16), iv: Buffer.alloc(16) });

  it('of a board that was heard is called out of step from the third in a row on, and bad-hash before', () => {
    const server = createServer();
    const device = new PureDevice(server);
    device.ask(0);
    const outcomes = [1, 2, 3, 4].map((second) => {
      const hello = device.hello(second * 1000);
      const decision = server.receive(junk, device.remote, second * 1000 + 10);
      return [hello.kind === 'rejected' ? hello.reason : hello.kind, decision.kind === 'rejected' && decision.reason];
    });
    expect(outcomes).toEqual([
      ['pair', 'bad-hash'],
      ['pair', 'bad-hash'],
      ['pair', 'out-of-step'],
      ['withheld', 'out-of-step'],
    ]);
    // No request follows the next hello, so nothing is unread, and the hello after that is answered.
    device.hello(5000);
    expect(outcomeOf(device.ask(16_000))).toBe('request');
  });

  it('counts once for each hello: a forger needs a hello for each', () => {
    const server = createServer();
    const device = new PureDevice(server);
    device.ask(0);
    device.hello(1000);
    for (let count = 0; count < 50; count++) {
      server.receive(junk, device.remote, 1001);
    }
    expect(outcomeOf(device.request(1002, "{'action': 'a', 'noreturn': True}"))).toBe('request');
    expect(device.hello(2000).kind).toBe('pair');
  });

  it('withholds at most 40 hellos in a row', () => {
    const server = createServer();
    const device = new PureDevice(server);
    device.ask(0);
    const hellos = Array.from({ length: 50 }, (_, index) => {
      const now = 1000 * (index + 1);
      const hello = outcomeOf(device.hello(now));
      server.receive(junk, device.remote, now + 10);
      return hello;
    });
    expect(hellos).toEqual([
      ...Array<string>(3).fill('pair'),
      ...Array<string>(40).fill('withheld'),
      ...Array<string>(3).fill('pair'),
      ...Array<string>(4).fill('withheld'),
    ]);
  });
});

function outcomeOf(decision: Decision): string {
  return decision.kind === 'rejected' ? decision.reason : decision.kind;
}
