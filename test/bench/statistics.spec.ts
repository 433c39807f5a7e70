/** The interval of a median, compared with the ranks that the binomial distribution gives. */
import { describe, expect, it } from 'vitest';
import { MIN_INTERVAL_VALUES, medianInterval } from '../../bench/support/statistics.mjs';

const intervalOf = medianInterval as (values: readonly number[]) => { low: number; high: number };

/** 1 to `length`, in an order that is not theirs: each value is its own rank. */
function ranks(length: number): number[] {
  return Array.from({ length }, (_, index) => index + 1).toReversed();
}

/** The exact probability that the true median is between two ranks. */
function coverage(length: number, low: number, high: number): number {
  let choose = 1n;
  let inside = 0n;
  for (let below = 0; below < high; below++) {
    inside += below >= low ? choose : 0n;
    choose = (choose * BigInt(length - below)) / BigInt(below + 1);
  }
  return Number((inside * 10n ** 9n) / 2n ** BigInt(length)) / 1e9;
}

describe('medianInterval', () => {
  it.each([
    [6, 1, 6],
    [8, 1, 8],
    [9, 2, 8],
    [10, 2, 9],
    [20, 6, 15],
    [21, 6, 16],
    [100, 40, 61],
  ])('of %i values is from the value of one rank to that of another', (length, low, high) => {
    expect(intervalOf(ranks(length))).toEqual({ low, high });
  });

  it('covers 95 %, and would not with one rank less', () => {
    for (let length = MIN_INTERVAL_VALUES as number; length <= 200; length++) {
      const { low, high } = intervalOf(ranks(length));
      expect(coverage(length, low, high)).toBeGreaterThanOrEqual(0.95);
      expect(coverage(length, low + 1, high - 1)).toBeLessThan(0.95);
    }
  });

  it('holds if half to the power of the number of values is 0', () => {
    expect(0.5 ** 5000).toBe(0);
    const { low, high } = intervalOf(ranks(5000));
    // The standard deviation of the rank is half the root of the number.
    expect(low).toBeCloseTo(2500 - 1.96 * Math.sqrt(5000) * 0.5, -1);
    expect(high).toBe(5001 - low);
  });

  it('is NaN for fewer values', () => {
    expect(intervalOf(ranks(MIN_INTERVAL_VALUES - 1))).toEqual({ low: NaN, high: NaN });
    expect(intervalOf(ranks(MIN_INTERVAL_VALUES))).toEqual({ low: 1, high: MIN_INTERVAL_VALUES });
  });
});
