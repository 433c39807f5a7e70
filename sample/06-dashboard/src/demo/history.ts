/** A made-up week for the demo, so that the plots show something at once. */
import type { Store } from '../database/store.js';

const MINUTE_MS = 60_000;
const DAY_MS = 1440 * MINUTE_MS;
/** A day by the minute, and six days before by ten minutes: retention would keep only their hours anyway. */
const PERIODS = [
  { from: 7 * DAY_MS, to: DAY_MS, step: 10 * MINUTE_MS },
  { from: DAY_MS, to: MINUTE_MS, step: MINUTE_MS },
];

export interface Place {
  readonly name: string;
  readonly celsius: number;
  /** How far the temperature moves by day. */
  readonly swing: number;
  /** Hours by which it follows the sun. */
  readonly lag: number;
  readonly percent: number;
}

/** Warm by day, with a slow drift and some noise. */
export function measure(place: Place, at: number): { temperature: number; humidity: number } {
  const { celsius, swing, lag, percent } = place;
  const ofDay = Math.sin(((at % DAY_MS) / DAY_MS - 0.3 - lag / 24) * 2 * Math.PI);
  const drift = Math.sin(at / (2.3 * DAY_MS));
  const noise = () => Math.random() - 0.5;
  const round = (value: number) => Math.round(value * 10) / 10;
  return {
    temperature: round(celsius + swing * ofDay + 1.2 * drift + 0.25 * noise()),
    humidity: round(percent - 2.5 * swing * ofDay + 3 * drift + 1.5 * noise()),
  };
}

/** Does nothing if the place has readings. */
export async function makeWeek(store: Store, places: readonly Place[]): Promise<void> {
  const known = new Set((await store.latestReadings()).map(({ board }) => board));
  const now = Date.now();
  for (const place of places.filter(({ name }) => !known.has(name))) {
    const times = PERIODS.flatMap(({ from, to, step }) =>
      Array.from({ length: (from - to) / step }, (_, index) => now - from + index * step),
    );
    const readings = times.map((at) => measure(place, at));
    const column = <Metric extends 'temperature' | 'humidity'>(metric: Metric) => ({
      boards: times.map(() => place.name),
      metrics: times.map(() => metric),
      times,
      values: readings.map((reading) => reading[metric]),
    });
    await store.addReadings(column('temperature'));
    await store.addReadings(column('humidity'));
  }
}
