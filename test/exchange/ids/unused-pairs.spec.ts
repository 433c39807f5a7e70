import { describe, expect, it } from 'vitest';
import { REQUEST_DUE_MS, UnusedPairs } from '../../../lib/exchange/ids/unused-pairs.js';

describe('UnusedPairs', () => {
  it('awaits a request from the issue of a pair until its use', () => {
    const pairs = new UnusedPairs();
    expect(pairs.isAny(0)).toBe(false);
    pairs.issue(0);
    pairs.issue(5);
    pairs.use(6);
    expect(pairs.isAny(6)).toBe(true);
    pairs.use(7);
    expect(pairs.isAny(7)).toBe(false);
  });

  it('forgets a pair when its request is overdue', () => {
    const pairs = new UnusedPairs();
    pairs.issue(50);
    expect(pairs.isAny(50 + REQUEST_DUE_MS - 1)).toBe(true);
    expect(pairs.isAny(50 + REQUEST_DUE_MS)).toBe(false);
  });

  it('forgets a pair that is never used, although others are issued and used all the time', () => {
    const pairs = new UnusedPairs();
    pairs.issue(0);
    let now = 10;
    for (; now <= REQUEST_DUE_MS + 100; now += 10) {
      pairs.issue(now);
      pairs.use(now + 1);
    }
    expect(pairs.isAny(now)).toBe(false);
  });

  it('counts no use before an issue, and nothing across a long silence', () => {
    const pairs = new UnusedPairs();
    pairs.use(0);
    pairs.issue(1);
    expect(pairs.isAny(1)).toBe(true);
    pairs.issue(1_000_000);
    pairs.use(1_000_000);
    expect(pairs.isAny(1_000_000)).toBe(false);
  });
});
