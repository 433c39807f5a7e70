/**
 * Boards whose sockets hold many datagrams. A `noreturn` board reads two of them for each message and reports success, so a backlog
 * that the server does not recognise would keep it mute for ever.
 */
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../../lib/exchange/index.js';
import { formatEnvelope } from '../../../lib/protocol/index.js';
import { PureDevice, createServer } from '../../support/pure-device.js';
import { Random } from '../../../lib/testing/random.js';
import { TimedBoard, type TimedBoardOptions, Timeline } from '../../support/timed-board.js';

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

  // `usual` was measured over 3000 exchanges of each socket. A copy spoils its own exchange, and that of a reply the next one too.
  it.each([
    { share: 0.01, copyDelayMs: 0, usual: noreturn ? 0.998 : 0.923 },
    { share: 0.02, copyDelayMs: 30, usual: noreturn ? 0.964 : 0.899 },
    { share: 0.05, copyDelayMs: 0, usual: noreturn ? 0.986 : 0.684 },
    { share: 0.05, copyDelayMs: 30, usual: noreturn ? 0.916 : 0.79 },
    { share: 0.1, copyDelayMs: 30, usual: noreturn ? 0.843 : 0.662 },
  ])('stays in step for 500 exchanges with copies of datagrams: %o', ({ share, copyDelayMs, usual }) => {
    // Three standard deviations. Exchanges that fail do so in runs of up to three, which is three times the variance of single ones.
    const leastOf = (count: number) => usual - 3 * Math.sqrt((3 * usual * (1 - usual)) / count);
    for (const capacity of CAPACITIES) {
      const random = new Random(capacity);
      let isFaulty = false;
      const copies = () => (isFaulty && random.chance(share) ? 2 : 1);
      const { timeline, board } = createBoard({ noreturn, capacity, copyDelayMs, copies });
      isFaulty = true;
      const runUntil = (count: number) => {
        while (board.ended < count) {
          timeline.runUntil(timeline.now + 1000);
        }
        return { succeeded: board.succeeded, ended: board.ended };
      };
      const before = runUntil(300);
      const { succeeded, ended } = runUntil(500);
      expect(succeeded / ended, `a socket of ${capacity}`).toBeGreaterThanOrEqual(leastOf(500));
      const last = (succeeded - before.succeeded) / (ended - before.ended);
      expect(last, `the last 200 of a socket of ${capacity}`).toBeGreaterThanOrEqual(leastOf(200));
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

  it.each([true, false])(
    'after a forged hello three times in a row costs the board one message, heard before: %s',
    (isKnown) => {
      const server = createServer();
      const device = new PureDevice(server);
      if (isKnown) {
        device.ask(0);
      }
      for (const second of [1, 2, 3]) {
        device.hello(second * 1000);
        server.receive(junk, device.remote, second * 1000 + 10);
      }
      expect(outcomeOf(device.hello(4000))).toBe('withheld');
      // The board gives up, and tries again.
      expect(outcomeOf(device.hello(14_000))).toBe('pair');
      expect(outcomeOf(device.request(14_010, "{'action': 'a', 'noreturn': True}"))).toBe('request');
    },
  );

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
