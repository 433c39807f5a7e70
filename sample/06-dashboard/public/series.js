/** The line of one metric: history from the server, then readings as they come. */
import { useLayoutEffect, useMemo } from 'preact/hooks';

/** Grows with the readings of its board, also with those that came while its history was on the way. */
export function useSeries(live, board, line, range) {
  const series = useMemo(() => new LiveSeries(line, range), [line, range]);
  // Before anything else can run: no reading comes between the two.
  useLayoutEffect(() => {
    const add = (readings) => {
      for (const [name, metric, at, value] of readings) {
        if (name === board && metric === line.metric) {
          series.add(at, value);
        }
      }
    };
    add(live.recentReadings);
    return live.onReadings(add);
  }, [series]);
  return series;
}

/** Readings in buckets. Live ones join the last bucket, so a plot that stays open has a bounded number of points. */
export class LiveSeries {
  /** Grows with each change. */
  version = 0;
  #isLive;
  #width;
  #span;
  #newest;
  #counts;

  constructor({ metric, times, means, lows, highs, counts, newest }, { from, to, points, isLive }) {
    this.#isLive = isLive;
    this.#span = to - from;
    this.#width = this.#span / points;
    this.#newest = newest ?? from;
    this.#counts = [...counts];
    this.metric = metric;
    Object.assign(this, { from, to, times: [...times], means: [...means], lows: [...lows], highs: [...highs] });
  }

  /** A reading that is already in the history changes nothing. */
  add(at, value) {
    if (!this.#isLive || at <= this.#newest) {
      return;
    }
    const last = this.times.length - 1;
    if (last >= 0 && at < this.times[last] + this.#width) {
      const count = ++this.#counts[last];
      this.means[last] += (value - this.means[last]) / count;
      this.lows[last] = Math.min(this.lows[last], value);
      this.highs[last] = Math.max(this.highs[last], value);
    } else {
      this.times.push(at);
      this.#counts.push(1);
      [this.means, this.lows, this.highs].forEach((column) => column.push(value));
    }
    this.#newest = at;
    this.to = Math.max(this.to, at);
    this.from = this.to - this.#span;
    const gone = this.times.findIndex((time) => time >= this.from);
    [this.times, this.means, this.lows, this.highs, this.#counts].forEach((column) => column.splice(0, gone));
    this.version++;
  }

  /** Seconds, as uPlot has them. */
  scale() {
    return { min: this.from / 1000, max: this.to / 1000 };
  }

  columns() {
    return [this.times.map((time) => time / 1000), this.highs, this.lows, this.means];
  }
}
