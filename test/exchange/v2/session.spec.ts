import { describe, expect, it } from 'vitest';
import { Session } from '../../../lib/exchange/v2/session.js';
import type { RingKey } from '../../../lib/keys/index.js';

const createSession = () => new Session(1, {} as RingKey, undefined, 0);

describe('Session', () => {
  it('takes no first request for late, and then one that was delayed by 20 s more than the fastest', () => {
    const session = createSession();
    expect(session.isLate(0, 1e9)).toBe(false);
    session.recordDelay(0, 500);
    session.recordDelay(100, 5000);
    expect([20_500, 20_505].map((now) => session.isLate(0, now))).toEqual([false, true]);
  });

  it('allows for a clock that falls behind by 200 millionths', () => {
    const session = createSession();
    session.recordDelay(0, 0);
    // After 1000 s by the clock of the server: 0.2 s.
    const late = [20_199, 20_201].map((delay) => session.isLate(1_000_000 - delay, 1_000_000));
    expect(late).toEqual([false, true]);
  });

  it('allows nothing for a clock that runs fast, because each request then lowers the least delay', () => {
    const session = createSession();
    session.recordDelay(0, 0);
    session.recordDelay(1_000_300, 1_000_000);
    expect([19_699, 19_701].map((delay) => session.isLate(1_000_000 - delay, 1_000_000))).toEqual([false, true]);
  });
});
