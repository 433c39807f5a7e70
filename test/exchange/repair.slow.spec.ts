/**
 * Devices that are out of step. A `noreturn` device with one datagram too many in its socket computes a wrong id at every
 * later exchange, and reports success each time. A strict server never accepts it again, and nobody notices.
 */
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { type ServerExchange } from '../../lib/exchange/index.js';
import { createServer, remoteOf } from '../support/pure-device.js';
import { QueueDevice } from '../support/queue-device.js';

interface Mishap {
  /** What happens to a device just before it sends at `now`. */
  readonly strike: (device: QueueDevice, now: number, interval: number) => void;
  /**
   * The most messages that may be lost: 3, unless the device has more unread datagrams. It reads two datagrams for each
   * message, and its id can't be fresh while all of them are old.
   */
  readonly bound?: number;
  /** The same if the server was restarted in between, and does not know the datagrams of the previous process. */
  readonly boundAfterRestart?: number;
}

const MISHAPS: Record<string, Mishap> = {
  'a stray datagram of one block': { strike: (device) => device.store([Buffer.alloc(16, 0xaa)]) },
  'a stray datagram of another size': { strike: (device) => device.store([Buffer.from('stray')]) },
  'a stray hash': { strike: (device) => device.store([Buffer.alloc(32, 0xbb)]) },
  'two stray datagrams': { strike: (device) => device.store([Buffer.alloc(16, 1), Buffer.alloc(16, 2)]) },
  'a duplicate of one datagram': {
    strike: (device, now) => {
      device.hello(now - 1);
      device.unread.splice(0, 1);
    },
  },
  'a pair that came after the device gave up': { strike: (device, now, interval) => device.hello(now - interval / 2) },
  'a hello that an attacker sends from its address': { strike: (device, now) => device.hello(now - 1) },
  'two hellos that an attacker sends from its address': {
    strike: (device, now) => {
      device.hello(now - 700);
      device.hello(now - 300);
    },
    boundAfterRestart: 5,
  },
  'a reply that came after the device gave up': {
    strike: (device) => device.store([Buffer.alloc(32, 3), Buffer.alloc(16, 4), Buffer.alloc(48, 5)]),
    bound: 4,
    boundAfterRestart: 4,
  },
};

/** Lets a device send every `interval` ms. Returns the messages after the mishap that failed: not accepted, or not answered. */
function lostAfter(
  mishap: Mishap,
  options: { interval: number; noreturn: boolean; repair?: boolean; restart?: () => ServerExchange },
): number[] {
  const { interval, noreturn, repair = true, restart } = options;
  const device = new QueueDevice(createServer({ repair }), remoteOf('10.0.0.1'));
  let now = 50_000;
  for (let message = 0; message < 3; message++) {
    device.send((now += interval), noreturn);
  }
  expect(device.heard).toEqual([0, 1, 2]);
  mishap.strike(device, now + interval, interval);
  if (restart) {
    device.server = restart();
  }
  const lost: number[] = [];
  for (let message = 3; message < 30; message++) {
    const ending = device.send((now += interval), noreturn);
    if (ending !== 'ok' || !device.heard.includes(message)) {
      lost.push(message);
    }
  }
  return lost;
}

describe.each(Object.entries(MISHAPS))('after %s', (_title, mishap) => {
  const { bound = 3, boundAfterRestart = 3 } = mishap;

  describe.each([true, false])('noreturn: %s', (noreturn) => {
    it.each([
      ['twice a second', 500],
      ['every few seconds', 1500],
      ['within the life of an id', 12_000],
      ['once a minute', 60_000],
    ])(`a device that sends %s loses at most ${bound} messages, then none`, (_pace, interval) => {
      for (let run = 0; run < 100; run++) {
        expect(healing(lostAfter(mishap, { interval: interval + run * 37, noreturn }), bound), `run ${run}`).toBe(
          'healed',
        );
      }
    });

    it(`and a restart of the server a device loses at most ${boundAfterRestart} messages, then none`, () => {
      for (let run = 0; run < 100; run++) {
        const options = { interval: 20_000 + run * 371, noreturn, restart: () => createServer() };
        expect(healing(lostAfter(mishap, options), boundAfterRestart), `run ${run}`).toBe('healed');
      }
    });
  });
});

/** Whether at most `bound` messages were lost, and none after twice that number. */
function healing(lost: number[], bound: number): string {
  const isHealed = lost.length <= bound && Math.max(0, ...lost) < 3 + 2 * bound;
  return isHealed ? 'healed' : `lost ${lost.join()}`;
}

describe('without repair', () => {
  it('a noreturn device with one stray datagram is never accepted again', () => {
    const lost = lostAfter(MISHAPS['a stray datagram of one block']!, {
      interval: 60_000,
      noreturn: true,
      repair: false,
    });
    expect(lost).toHaveLength(27);
  });

  it('a replying device loses the exchange in which it reads the stray datagram', () => {
    const lost = lostAfter(MISHAPS['a stray datagram of one block']!, {
      interval: 60_000,
      noreturn: false,
      repair: false,
    });
    expect(lost).toEqual([3]);
  });
});

describe('any sequence of mishaps', () => {
  it('leaves a device that is accepted again after they stop, and no message is accepted twice', () => {
    const steps = fc.array(
      fc.record({
        mishap: fc.option(fc.constantFrom(...Object.values(MISHAPS)), { freq: 3 }),
        noreturn: fc.boolean(),
        interval: fc.integer({ min: 1100, max: 70_000 }),
      }),
      { minLength: 1, maxLength: 30 },
    );
    fc.assert(
      fc.property(steps, (sequence) => {
        const device = new QueueDevice(createServer());
        let now = 0;
        for (const { mishap, noreturn, interval } of sequence) {
          now += interval;
          mishap?.strike(device, now, interval);
          device.send(now, noreturn);
        }
        // Unread datagrams cost messages, and in the long run at most one hello a minute is withheld.
        for (let message = 0; message < 60; message++) {
          device.send((now += 61_000), true);
        }
        const before = device.heard.length;
        for (let message = 0; message < 10; message++) {
          device.send((now += 61_000), true);
        }
        expect(device.heard.length - before).toBe(10);
        expect(new Set(device.heard).size).toBe(device.heard.length);
      }),
      { numRuns: 300 },
    );
  });
});
