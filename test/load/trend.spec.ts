import { describe, expect, it } from 'vitest';
import { Random } from '../../lib/testing/random.js';
import { fitTrend } from './trend.mjs';

describe('fitTrend', () => {
  it('finds the line that all points lie on, without doubt', () => {
    const { slope, low, high } = fitTrend([1, 2, 5, 9].map((x) => [x, 3 + 2 * x] as const));
    expect(slope).toBeCloseTo(2);
    expect(low).toBeCloseTo(2);
    expect(high).toBeCloseTo(2);
  });

  it('gives the bounds of the textbook', () => {
    // Slope 0.6, residuals 0.2, -0.4, 0.2 … by hand: s² = 0.8, Sxx = 10, t(3) = 3.18.
    const { slope, low, high } = fitTrend([
      [1, 2],
      [2, 4],
      [3, 5],
      [4, 4],
      [5, 5],
    ]);
    expect(slope).toBeCloseTo(0.6);
    expect(high - slope).toBeCloseTo(3.18 * Math.sqrt(0.8 / 10));
    expect(slope - low).toBeCloseTo(high - slope);
  });

  it('has the true slope within its bounds some 95 times of 100', () => {
    const random = new Random(1);
    const noise = () => random.float() + random.float() + random.float() - 1.5;
    let within = 0;
    for (let run = 0; run < 1000; run++) {
      const { low, high } = fitTrend(Array.from({ length: 20 }, (_, x) => [x, 0.5 * x + noise()] as const));
      within += Number(low <= 0.5 && 0.5 <= high);
    }
    expect(within).toBeGreaterThan(920);
    expect(within).toBeLessThan(980);
  });

  it('refuses fewer than three points', () => {
    expect(() =>
      fitTrend([
        [1, 1],
        [2, 2],
      ]),
    ).toThrow('three points, got 2');
  });
});
