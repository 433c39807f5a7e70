import { describe, expect, it } from 'vitest';
import { Endpoint, REPAIR_RATE } from '../../lib/exchange/endpoint.js';
import { historyOf } from '../../lib/exchange/ids/pair-history.js';
import { Holders } from '../../lib/exchange/limits/holder.js';
import { KeyRing } from '../../lib/keys/index.js';
import { KEY } from '../support/pure-device.js';

const [key] = new KeyRing([{ device: undefined, key: KEY }]).keys;

function createEndpoint(...slots: number[]): Endpoint {
  return new Endpoint(key!, historyOf(slots, 0), new Holders().of('holder'));
}

describe('Endpoint', () => {
  it('remembers the four latest pairs, the latest first', () => {
    const endpoint = createEndpoint(5);
    for (let n = 1; n <= 5; n++) {
      endpoint.recordSent({ slot: 6, n }, false, n);
    }
    expect(endpoint.sent.map(({ n }) => n)).toEqual([5, 4, 3, 2]);
    expect(endpoint.latest).toEqual({ slot: 6, n: 5, isSingle: false });
    expect(endpoint.sentAt).toBe(5);
  });

  it('learns nothing from the request of a forgotten hello', () => {
    const endpoint = createEndpoint(5);
    endpoint.recordRequestTime(Infinity);
    expect(endpoint.requestMs).toBe(-1);
    endpoint.recordRequestTime(8);
    endpoint.recordRequestTime(Infinity);
    expect(endpoint.requestMs).toBe(8);
  });

  it.each([
    { requestMs: -1, copyMs: 250 },
    { requestMs: 0, copyMs: 20 },
    { requestMs: 10, copyMs: 20 },
    { requestMs: 11, copyMs: 22 },
    { requestMs: 125, copyMs: 250 },
    { requestMs: 5000, copyMs: 250 },
  ])(
    'takes a hello for a copy for $copyMs ms if requests come $requestMs ms after their pairs',
    ({ requestMs, copyMs }) => {
      const endpoint = createEndpoint();
      if (requestMs >= 0) {
        endpoint.recordRequestTime(requestMs);
      }
      expect(endpoint.duplicateMs).toBe(copyMs);
    },
  );

  it('forgets an eighth of its longest time with each shorter one', () => {
    const endpoint = createEndpoint();
    [80, 0, 0].forEach((ms) => endpoint.recordRequestTime(ms));
    // Rounded up each time: 80, 70, 61.
    expect(endpoint.requestMs).toBe(61);
  });

  it('replaces a single datagram that no request used', () => {
    const endpoint = createEndpoint(5);
    endpoint.recordSent({ slot: 6, n: 1 }, true, 1);
    endpoint.recordSent({ slot: 6, n: 2 }, true, 2);
    expect(endpoint.sent.map(({ slot, n }) => [slot, n])).toEqual([
      [6, 2],
      [5, 0],
    ]);
  });

  it('gives no pair of a slot twice, whether or not a request used it', () => {
    const endpoint = createEndpoint();
    expect(endpoint.nextIn(6)).toBe(0);
    endpoint.recordSent({ slot: 6, n: 0 }, false, 0);
    expect(endpoint.nextIn(6)).toBe(1);
    endpoint.consume({ slot: 6, n: 0 }, 6);
    expect(endpoint.nextIn(6)).toBe(1);
    expect(endpoint.nextIn(7)).toBe(0);
  });

  it('consumes a pair together with the pairs before it, in the current slot and the one before', () => {
    const endpoint = createEndpoint();
    expect(endpoint.consume({ slot: 6, n: 2 }, 6)).toBe(true);
    expect(endpoint.consume({ slot: 6, n: 3 }, 6)).toBe(false);
    expect([endpoint.usedIn(5), endpoint.usedIn(6)]).toEqual([0, 4]);
    expect(endpoint.consume({ slot: 6, n: 5 }, 7)).toBe(true);
    expect([endpoint.usedIn(6), endpoint.usedIn(7)]).toEqual([6, 0]);
    // Two slots later nothing of slot 6 is live.
    endpoint.consume({ slot: 9, n: 0 }, 9);
    expect(endpoint.usedIn(8)).toBe(0);
  });

  it('forgets the derived bytes of the latest pair after its use, and of no other', () => {
    const endpoint = createEndpoint();
    endpoint.recordSent({ slot: 6, n: 1 }, false, 0);
    endpoint.derived = 'bytes';
    endpoint.consume({ slot: 6, n: 0 }, 6);
    expect([endpoint.derived, endpoint.isLatestUsed]).toEqual(['bytes', false]);
    endpoint.consume({ slot: 6, n: 1 }, 6);
    expect([endpoint.derived, endpoint.isLatestUsed]).toEqual([undefined, true]);
  });

  it('answers one unread datagram with half a pair, once', () => {
    const endpoint = createEndpoint();
    endpoint.recordUnread(1);
    expect([endpoint.takeAnswer(0), endpoint.takeAnswer(0)]).toEqual(['single', 'pair']);
  });

  it('answers two unread datagrams with nothing, and three with nothing, then half a pair', () => {
    const endpoint = createEndpoint();
    endpoint.recordUnread(2);
    expect([endpoint.takeAnswer(0), endpoint.takeAnswer(0)]).toEqual(['nothing', 'pair']);
    endpoint.recordUnread(3);
    expect([endpoint.takeAnswer(0), endpoint.takeAnswer(0)]).toEqual(['nothing', 'single']);
  });

  it('repairs 40 times in a row, then once a second', () => {
    const endpoint = createEndpoint();
    const answerAt = (now: number) => {
      endpoint.recordUnread(2);
      return endpoint.takeAnswer(now);
    };
    const answers = Array.from({ length: REPAIR_RATE.burst + 1 }, () => answerAt(0));
    expect(answers.map((answer) => answer === 'nothing')).toEqual([...Array<boolean>(40).fill(true), false]);
    expect(answerAt(999)).toBe('pair');
    expect(answerAt(1001)).toBe('nothing');
  });

  it('numbers turns, and knows since when a reply is due', () => {
    const endpoint = createEndpoint();
    expect(endpoint.beginTurn(5)).toBe(1);
    expect(endpoint.waitingSince).toBe(5);
    expect(endpoint.beginTurn(undefined)).toBe(2);
    expect(endpoint.waitingSince).toBeUndefined();
  });
});
