import { describe, expect, it } from 'vitest';
import { RateLimit, RateTable } from '../../../lib/exchange/limits/rate-limit.js';

const rate = { perSecond: 10, burst: 3 };

/** Takes as often as the limit allows, up to a hundred times. */
function takeAll(bucket: { allows(): boolean; take(): void }): number {
  let taken = 0;
  while (taken < 100 && bucket.allows()) {
    bucket.take();
    taken++;
  }
  return taken;
}

describe('RateLimit', () => {
  const at = (limit: RateLimit, now: number) => ({ allows: () => limit.allows(now), take: () => limit.take(now) });

  it('allows the burst at once and the rate after that', () => {
    const limit = new RateLimit(rate);
    expect(takeAll(at(limit, 0))).toBe(3);
    expect(takeAll(at(limit, 99))).toBe(0);
    expect(takeAll(at(limit, 100))).toBe(1);
    expect(takeAll(at(limit, 1100))).toBe(3);
    expect(takeAll(at(limit, 1_000_000))).toBe(3);
  });

  it('allows several at once as soon as there is one, and less after that', () => {
    const limit = new RateLimit(rate);
    limit.take(0, 2);
    expect(limit.allows(0)).toBe(true);
    limit.take(0, 4);
    expect(takeAll(at(limit, 399))).toBe(0);
    expect(takeAll(at(limit, 400))).toBe(1);
  });

  it('leaves the reserve', () => {
    const limit = new RateLimit(rate);
    expect(limit.allows(0, 2)).toBe(true);
    limit.take(0);
    expect(limit.allows(0, 2)).toBe(false);
    expect(limit.allows(0, 1)).toBe(true);
    limit.refund(1);
    expect(limit.allows(0, 2)).toBe(true);
  });

  it('allows one more for each refund, and never more than the burst', () => {
    const limit = new RateLimit(rate);
    takeAll(at(limit, 0));
    limit.refund();
    expect(takeAll(at(limit, 0))).toBe(1);
    for (let more = 0; more < 50; more++) {
      limit.refund();
    }
    expect(takeAll(at(limit, 0))).toBe(3);
  });
});

describe('RateTable', () => {
  const at = (table: RateTable, key: number, now: number) => ({
    allows: () => table.allows(1, key, now),
    take: () => table.take(1, key, now),
  });

  it('keeps a bucket for each key', () => {
    const table = new RateTable(rate, 1 << 16);
    for (const key of [1, 2, 0xffff_ffff]) {
      expect(takeAll(at(table, key, 0))).toBe(3);
      expect(takeAll(at(table, key, 0))).toBe(0);
    }
    table.refund(1, 2);
    expect(takeAll(at(table, 2, 0))).toBe(1);
    expect(takeAll(at(table, 1, 0))).toBe(0);
  });

  it('refunds nothing to a forgotten key', () => {
    const table = new RateTable(rate, 1);
    table.take(1, 1, 0);
    table.take(1, 2, 0);
    table.refund(1, 1);
    expect(takeAll(at(table, 2, 0))).toBe(2);
  });

  it('forgets keys instead of growing, and a forgotten key is only allowed more', () => {
    const table = new RateTable(rate, 256);
    for (let key = 0; key < 100_000; key++) {
      expect(takeAll(at(table, key, 0))).toBe(3);
    }
  });

  it('spreads neighbouring keys over the whole table', () => {
    const table = new RateTable({ perSecond: 1, burst: 1 }, 1 << 16);
    const keys = Array.from({ length: 4096 }, (_, index) => 0x0a00_0000 + index);
    keys.forEach((key) => table.take(1, key, 0));
    const kept = keys.filter((key) => !table.allows(1, key, 0)).length;
    // By chance about 3 % collide.
    expect(kept).toBeGreaterThan(3800);
  });
});
