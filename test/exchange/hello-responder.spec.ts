/**
 * Limits of the answer to a hello. server-exchange.spec.ts, repair.slow.spec.ts and attacks.spec.ts test series of exchanges.
 */
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../lib/exchange/index.js';
import { HELLO } from '../../lib/protocol/index.js';
import { PureDevice, createServer, remoteOf } from '../support/pure-device.js';

const outcomeOf = (decision: Decision) => (decision.kind === 'rejected' ? decision.reason : decision.kind);

describe('a hello', () => {
  it('may wait in the socket for a fifth of the timeout', () => {
    const outcomes = [2000, 2001].map((waited) =>
      outcomeOf(createServer({ deviceTimeoutMs: 10_000 }).receive(HELLO, remoteOf('10.0.0.1'), 5000, waited)),
    );
    expect(outcomes).toEqual(['pair', 'stale-hello']);
  });

  it.each([
    { deviceTimeoutMs: 10_000, copyUntil: 250 },
    { deviceTimeoutMs: 1000, copyUntil: 100 },
  ])(
    'of a stranger is a copy for $copyUntil ms with a timeout of $deviceTimeoutMs ms',
    ({ deviceTimeoutMs, copyUntil }) => {
      const outcomes = [copyUntil - 1, copyUntil].map((now) => {
        const device = new PureDevice(createServer({ deviceTimeoutMs }));
        device.hello(0);
        return outcomeOf(device.hello(now));
      });
      expect(outcomes).toEqual(['duplicate-hello', 'pair']);
    },
  );

  it('makes the server await a request, and a copy or a refused one does not', () => {
    const server = createServer();
    const device = new PureDevice(server);
    expect(server.awaitsRequests(0)).toBe(false);
    device.hello(0);
    expect(server.awaitsRequests(1)).toBe(true);
    const refused = createServer();
    refused.stopIssuing();
    new PureDevice(refused).hello(0);
    expect(refused.awaitsRequests(1)).toBe(false);
  });
});

describe('a hello after a request has shown a forged one', () => {
  const NORETURN = "{'action': 'log', 'noreturn': True}";

  /** A server that has seen a forged hello, and whose board is in step again. Its last request arrived at 2010. */
  function startSuspicious() {
    const server = createServer();
    const board = new PureDevice(server);
    board.ask(0, NORETURN);
    board.hello(1000);
    // The board reads the answer to this one for its next request.
    const forged = new PureDevice(server);
    forged.hello(1300);
    expect(outcomeOf(board.request(1400, NORETURN))).toBe('request');
    expect(outcomeOf(board.hello(2000))).toBe('withheld');
    expect(outcomeOf(forged.request(2010, NORETURN))).toBe('request');
    return board;
  }

  it('is taken for a stray 4 times in a row', () => {
    const board = startSuspicious();
    const outcomes = [3000, 3300, 3600, 3900, 4200, 4500].map((now) => outcomeOf(board.hello(now)));
    expect(outcomes).toEqual(['pair', 'withheld', 'withheld', 'withheld', 'withheld', 'pair']);
  });

  it.each([
    [11_999, 'withheld'],
    [12_000, 'pair'],
  ])(
    'is taken for a stray until the board may have given up, at 0.9 of the timeout: at %i ms it is %s',
    (now, outcome) => {
      const board = startSuspicious();
      expect(outcomeOf(board.hello(3000))).toBe('pair');
      expect(outcomeOf(board.hello(now))).toBe(outcome);
    },
  );

  it.each([
    [11_999, 'duplicate-hello'],
    [12_000, 'pair'],
  ])('is a copy while its board waits for a reply, up to 0.9 of the timeout: at %i ms it is %s', (now, outcome) => {
    const board = startSuspicious();
    board.hello(2990);
    expect(outcomeOf(board.request(3000))).toBe('request');
    expect(outcomeOf(board.hello(now))).toBe(outcome);
  });

  it.each([
    [62_009, 'withheld'],
    [62_010, 'pair'],
  ])('is taken for a stray for a minute: at %i ms it is %s', (now, outcome) => {
    const board = startSuspicious();
    expect(outcomeOf(board.hello(61_000))).toBe('pair');
    expect(outcomeOf(board.hello(now))).toBe(outcome);
  });
});

describe('a server without repair', () => {
  it('answers every hello with a whole pair, whatever failed before', () => {
    const server = createServer({ repair: false });
    const device = new PureDevice(server);
    const outcomes = Array.from({ length: 8 }, (_, turn) => {
      const hello = device.hello(turn * 1000);
      device.id = Buffer.from('not the id');
      device.request(turn * 1000 + 10);
      return hello.kind === 'pair' ? hello.datagrams.length : outcomeOf(hello);
    });
    expect(outcomes).toEqual(Array(8).fill(2));
  });

  it('with repair, withholds one after three failures in a row', () => {
    const device = new PureDevice(createServer());
    const outcomes = Array.from({ length: 5 }, (_, turn) => {
      const hello = device.hello(turn * 1000);
      device.id = Buffer.from('not the id');
      device.request(turn * 1000 + 10);
      return outcomeOf(hello);
    });
    expect(outcomes).toContain('withheld');
  });
});
