import { describe, expect, it } from 'vitest';
import { Statistics } from '../../lib/server/statistics.js';

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((total, count) => total + count, 0);

describe('Statistics', () => {
  it('counts each datagram once: as a hello, a request, the copy of one, or a rejection', () => {
    const statistics = new Statistics();
    statistics.countHello();
    statistics.countRequest(0);
    statistics.countResent();
    statistics.countRejected('replayed');
    statistics.countRejected('replayed');
    const { received, hellos, requests, resent, rejected, sessions } = statistics.snapshot(0, 3);
    expect({ received, hellos, requests, resent, replayed: rejected.replayed, sessions }).toEqual({
      received: 5,
      hellos: 1,
      requests: 1,
      resent: 1,
      replayed: 2,
      sessions: 3,
    });
    expect(received).toBe(hellos + requests + resent + sum(rejected));
  });

  it('counts the rejections of each device, and of a bounded number of devices', () => {
    const statistics = new Statistics();
    statistics.countRejected('bad-hash');
    statistics.countRejected('busy', 'kitchen');
    statistics.countRejected('busy', 'kitchen');
    statistics.countRejected('expired', 'kitchen');
    statistics.countRejected('replayed', '__proto__');
    expect(Object.entries(statistics.snapshot(0).rejectedByDevice)).toEqual([
      ['kitchen', { busy: 2, expired: 1 }],
      ['__proto__', { replayed: 1 }],
    ]);
    for (let count = 0; count < 4096; count++) {
      statistics.countRejected('busy', `device ${count}`);
    }
    statistics.countRejected('busy', 'kitchen');
    const { rejected, rejectedByDevice } = statistics.snapshot(0);
    expect(Object.keys(rejectedByDevice)).toHaveLength(4096);
    expect(rejectedByDevice['kitchen']).toEqual({ busy: 3, expired: 1 });
    expect(rejected.busy).toBe(3 + 4096);
  });

  it('counts a request in flight until it has an outcome', () => {
    const statistics = new Statistics();
    statistics.countRequest(0);
    statistics.countRequest(0);
    expect(statistics.snapshot(0)).toMatchObject({ inFlight: 2 });
    statistics.countOutcome('answered', 1);
    const { inFlight, outcomes } = statistics.snapshot(0);
    expect([inFlight, outcomes.answered, sum(outcomes)]).toEqual([1, 1, 1]);
  });

  it('counts send errors and dropped metadata, and passes on the number of endpoints', () => {
    const statistics = new Statistics();
    statistics.countSendError();
    statistics.countRequest(3);
    statistics.countRequest(2);
    expect(statistics.snapshot(7)).toMatchObject({ sendErrors: 1, droppedMetadata: 5, endpoints: 7 });
  });

  it('has no handler time before the first request has ended', () => {
    const statistics = new Statistics();
    statistics.countRequest(0);
    expect(statistics.snapshot(0).handlerMs).toEqual({ p50: 0, p99: 0, max: 0 });
  });

  it('measures handler times to the microsecond', () => {
    const statistics = new Statistics();
    for (const ms of [0.5, 1.25, 40]) {
      statistics.countOutcome('event', ms);
    }
    const { p50, max } = statistics.snapshot(0).handlerMs;
    expect(p50).toBeCloseTo(1.25, 2);
    expect(max).toBeGreaterThanOrEqual(40);
    expect(max).toBeLessThan(40.1);
  });

  it.each([0, -1, 3_600_000, 10 ** 12])('takes a duration of %d ms', (ms) => {
    const statistics = new Statistics();
    statistics.countOutcome('event', ms);
    const { max } = statistics.snapshot(0).handlerMs;
    expect(max).toBeGreaterThan(0);
    expect(max).toBeLessThan(3_700_000);
  });

  it('gives snapshots that later events do not change', () => {
    const statistics = new Statistics();
    const before = statistics.snapshot(0);
    statistics.countRejected('replayed');
    statistics.countOutcome('late', 1);
    expect([before.rejected.replayed, before.outcomes.late]).toEqual([0, 0]);
  });
});
