/** A first contact among many keys: the exchange searches in steps, and everything may happen in between. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, type Decision, type ServerExchange } from '../../../lib/exchange/index.js';
import { KEYS_PER_STEP } from '../../../lib/exchange/server-exchange.js';
import { KeyRing } from '../../../lib/keys/index.js';
import { formatEnvelope } from '../../../lib/protocol/index.js';
import { PureDevice, createServer, finishSearches, remoteOf } from '../../support/pure-device.js';

const KEYS = 1000;
const namedKeys = Array.from({ length: KEYS }, (_, index) => ({
  device: `board-${index}`,
  key: Buffer.alloc(32, `key ${index};`),
}));
const LAST = namedKeys.at(-1)!;
const NORETURN = "{'action': 'log', 'noreturn': True}";
const JUNK = formatEnvelope({ hash: Buffer.alloc(32), data: Buffer.alloc(16), iv: Buffer.alloc(16) });

function createBoard({ key = LAST.key, keys = namedKeys, address = '10.0.0.1', server = createServer({ keys }) } = {}) {
  return { server, board: new PureDevice(server, remoteOf(address), key) };
}

/** Steps until something is decided, and the number of steps. */
function finish(server: ServerExchange, now: number): { decisions: Decision[]; steps: number } {
  for (let steps = 1; server.isSearching; steps++) {
    const late = server.step(now);
    if (late.length > 0) {
      return { decisions: late.map(({ decision }) => decision), steps };
    }
  }
  return { decisions: [], steps: 0 };
}

const outcomeOf = (decision: Decision | undefined) =>
  decision?.kind === 'rejected' ? decision.reason : decision?.kind;

describe('a first contact', () => {
  it.each([
    { count: KEYS_PER_STEP, expected: 'request' },
    { count: KEYS_PER_STEP + 1, expected: 'searching' },
  ])('among $count keys, of which the last is right, is at once a $expected', ({ count, expected }) => {
    const keys = namedKeys.slice(0, count);
    const { board } = createBoard({ keys, key: keys.at(-1)!.key });
    expect(outcomeOf(board.ask(0))).toBe(expected);
  });

  it('tries a bounded number of keys in each step', () => {
    const { server, board } = createBoard();
    expect(outcomeOf(board.ask(0))).toBe('searching');
    const { decisions, steps } = finish(server, 5);
    expect(decisions.map(outcomeOf)).toEqual(['request']);
    // The first step is part of `receive`.
    expect(steps).toBe(KEYS / KEYS_PER_STEP - 1);
    expect(server.isSearching).toBe(false);
  });

  it('is answered within the timeout of the board, from its request on', () => {
    const { server, board } = createBoard();
    board.ask(0);
    const [late] = finishSearches(server, 4000);
    expect(late).toMatchObject({ receivedAt: 0, remote: board.remote });
    const pending = late!.decision.kind === 'request' ? late!.decision.pending : undefined;
    expect(server.reply(pending!, '{}', 9001)).toBe('late');
  });

  it('needs no search the next time, nor from another port of the same address', () => {
    const { server, board } = createBoard();
    board.ask(0, NORETURN);
    finish(server, 5);
    expect(outcomeOf(board.ask(1000))).toBe('request');
    const rebooted = new PureDevice(server, remoteOf('10.0.0.1', 4711), LAST.key);
    expect(outcomeOf(rebooted.ask(2000))).toBe('request');
  });

  it('with a key of nobody ends as bad-hash, and costs its source', () => {
    const { server, board } = createBoard({ key: Buffer.alloc(32, 'nobody') });
    expect(outcomeOf(board.ask(0, NORETURN))).toBe('searching');
    expect(finish(server, 5).decisions.map(outcomeOf)).toEqual(['bad-hash']);
  });
});

describe('during a search', () => {
  it('a copy of the request is a replay, and is executed once', () => {
    const { server, board } = createBoard();
    board.hello(0);
    const request = board.envelope(NORETURN);
    expect(outcomeOf(server.receive(request, board.remote, 1))).toBe('searching');
    expect(outcomeOf(server.receive(request, board.remote, 2))).toBe('replayed');
    expect(finish(server, 5).decisions.map(outcomeOf)).toEqual(['request']);
    expect(outcomeOf(server.receive(request, board.remote, 6))).toBe('replayed');
  });

  it('two requests under one id are executed once', () => {
    const { server, board } = createBoard();
    board.hello(0);
    board.request(1, NORETURN);
    expect(outcomeOf(board.request(2, "{'action': 'other', 'noreturn': True}"))).toBe('searching');
    expect(finishSearches(server, 5).map(({ decision }) => outcomeOf(decision))).toEqual(['request', 'expired']);
  });

  it('a hello waits, and gets a fresh pair: no id is issued twice', () => {
    const { server, board } = createBoard();
    board.hello(0);
    const first = board.id;
    board.request(1, NORETURN);
    expect(outcomeOf(board.hello(1000))).toBe('searching');
    expect(outcomeOf(board.hello(1001))).toBe('duplicate-hello');
    const [request, hello] = finish(server, 1005).decisions;
    expect([request, hello].map(outcomeOf)).toEqual(['request', 'pair']);
    const [ciphertext, iv] = hello!.kind === 'pair' ? hello!.datagrams : [];
    board.id = board.openId({ ciphertext: ciphertext!, iv: iv! });
    expect(board.id).not.toEqual(first);
    expect(outcomeOf(board.request(1010, NORETURN))).toBe('request');
  });

  it('a hello means that the board has given up, so its earlier request is not answered', () => {
    const { server, board } = createBoard();
    board.ask(0);
    board.hello(1500);
    const [request] = finish(server, 1505).decisions;
    const pending = request?.kind === 'request' ? request.pending : undefined;
    expect(server.reply(pending!, '{}', 1510)).toBe('superseded');
  });

  it('a hello that waits for longer than a fifth of the timeout is stale', () => {
    const { server, board } = createBoard();
    board.ask(0);
    board.hello(1500);
    expect(finish(server, 3501).decisions.map(outcomeOf)).toEqual(['request', 'stale-hello']);
  });

  it('the key leaves the ring: the request is refused', () => {
    const { server, board } = createBoard();
    board.ask(0, NORETURN);
    server.useKeys(new KeyRing(namedKeys.slice(0, -1)));
    expect(finish(server, 5).decisions.map(outcomeOf)).toEqual(['bad-hash']);
  });

  it('the keys are reloaded, and the key stays: the request is accepted', () => {
    const ring = new KeyRing(namedKeys);
    const server = createServer({ keys: namedKeys });
    server.useKeys(ring);
    const board = new PureDevice(server, remoteOf('10.0.0.1'), LAST.key);
    board.ask(0, NORETURN);
    server.useKeys(new KeyRing(namedKeys.slice(1), ring));
    expect(finish(server, 5).decisions.map(outcomeOf)).toEqual(['request']);
  });

  it('a shutdown begins: it waits for the search, and the hello that waits is refused', () => {
    const { server, board } = createBoard();
    board.ask(0, NORETURN);
    board.hello(1500);
    server.stopIssuing();
    expect(server.awaitsRequests(1501)).toBe(true);
    expect(finish(server, 1505).decisions.map(outcomeOf)).toEqual(['request', 'closing']);
  });

  it('the id expires: the request is refused', () => {
    const { server, board } = createBoard();
    board.hello(0);
    board.request(19_999, NORETURN);
    expect(finish(server, 20_001).decisions.map(outcomeOf)).toEqual(['expired']);
  });

  it.each([
    { now: 5000, outcome: 'request' },
    { now: 5001, outcome: 'search-budget' },
  ])('half of the timeout passes: at $now ms the outcome is $outcome', ({ now, outcome }) => {
    const { server, board } = createBoard();
    board.ask(0, NORETURN);
    expect(finish(server, now).decisions.map(outcomeOf)).toEqual([outcome]);
  });
});

describe('many searches', () => {
  const generous = { limits: { ...DEFAULT_LIMITS, keyAttempts: { perSecond: 1e6, burst: 1e7 } } };

  it('of one source leave room and turns for a board elsewhere', () => {
    const server = createServer({ keys: namedKeys, ...generous });
    for (let port = 1; port <= 100; port++) {
      server.receive(JUNK, remoteOf('10.6.6.6', port), 0);
    }
    const { board } = createBoard({ server });
    expect(outcomeOf(board.ask(1, NORETURN))).toBe('searching');
    const order = finishSearches(server, 5).map(({ remote }) => remote.address);
    expect(order).toHaveLength(65);
    expect(order.indexOf('10.0.0.1')).toBe(1);
  });

  it('beyond 64 of one source are refused', () => {
    const server = createServer({ keys: namedKeys, ...generous });
    const outcomes = Array.from({ length: 65 }, (_, port) =>
      outcomeOf(server.receive(JUNK, remoteOf('10.6.6.6', port + 1), 0)),
    );
    expect(outcomes.slice(63)).toEqual(['searching', 'search-budget']);
  });

  it('give the attempts back that they did not make', () => {
    const limits = { ...DEFAULT_LIMITS, keyAttempts: { perSecond: 0.001, burst: 2 * KEYS } };
    const server = createServer({ keys: namedKeys, limits });
    const { board } = createBoard({ server });
    board.ask(0, NORETURN);
    // Late, after the first 200 of 1000 attempts.
    expect(finish(server, 6000).decisions.map(outcomeOf)).toEqual(['search-budget']);
    const other = new PureDevice(server, remoteOf('10.0.0.2'), LAST.key);
    expect(outcomeOf(other.ask(6001, NORETURN))).toBe('searching');
    expect(outcomeOf(new PureDevice(server, remoteOf('10.0.0.3'), LAST.key).ask(6002, NORETURN))).toBe('searching');
  });
});
