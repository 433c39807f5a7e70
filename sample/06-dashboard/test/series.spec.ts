/** The line of a plot that stays open. */
import { expect, it } from 'vitest';
import { LiveSeries } from '../public/series.js';

interface Series {
  readonly times: number[];
  readonly means: number[];
  add(at: number, value: number): void;
}

const RANGE = { from: 0, to: 1000, points: 10, isLive: true };

it('adds a reading to the mean of the last bucket as one of many', () => {
  const line = { metric: 'celsius', times: [900], means: [20], lows: [19], highs: [21], counts: [99], newest: 950 };
  const series = new LiveSeries(line, RANGE) as unknown as Series;
  series.add(960, 30);
  expect(series.means[0]).toBeCloseTo(20.1, 9);
  series.add(1001, 5);
  expect([series.times, series.means[1]]).toEqual([[900, 1001], 5]);
});
