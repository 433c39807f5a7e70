/** The plot of one metric: history from the server, then readings as they come. Drag to zoom; keys too. */
import uPlot from 'uplot';
import { useEffect, useRef } from 'preact/hooks';
import { formatValue } from './format.js';
import { html } from './html.js';

const HEIGHT = 220;
/** A tenth of what is shown. */
const STEP = 0.1;

export function Plot({ live, board, line, range, onZoom, label }) {
  const box = useRef();
  const plot = useRef();

  useEffect(() => {
    const series = new LiveSeries(line, range);
    const place = box.current;
    const size = () => ({ width: place.clientWidth, height: HEIGHT });
    const drawn = new uPlot(optionsFor(label, size(), onZoom), series.columns(), place);
    plot.current = drawn;
    const draw = () => {
      drawn.batch(() => {
        drawn.setData(series.columns(), false);
        drawn.setScale('x', series.scale());
      });
    };
    draw();
    const observer = new ResizeObserver(() => drawn.setSize(size()));
    observer.observe(place);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const redraw = () => drawn.redraw(false);
    scheme.addEventListener('change', redraw);
    const end = live.onReadings((readings) => {
      const own = readings.filter(([name, metric]) => name === board && metric === line.metric);
      if (own.length > 0 && series.isLive) {
        own.forEach(([, , at, value]) => series.add(at, value));
        draw();
      }
    });
    return () => {
      end();
      observer.disconnect();
      scheme.removeEventListener('change', redraw);
      drawn.destroy();
    };
  }, [line, range]);

  const zoomByKey = (event) => {
    const moves = {
      '+': [STEP, -STEP],
      '=': [STEP, -STEP],
      '-': [-STEP, STEP],
      ArrowLeft: [-STEP, -STEP],
      ArrowRight: [STEP, STEP],
    };
    const move = moves[event.key];
    if (move) {
      event.preventDefault();
      const { min, max } = plot.current.scales.x;
      const [from, to] = [min, max].map((edge, index) => (edge + move[index] * (max - min)) * 1000);
      onZoom(from, to);
    }
  };
  return html`<div
    class="plot"
    ref=${box}
    tabindex="0"
    role="img"
    aria-label=${`Plot of ${label}. ${summarize(line)} Plus and minus zoom, arrows move.`}
    onKeyDown=${zoomByKey}
  ></div>`;
}

export function summarize({ means, lows, highs }) {
  if (means.length === 0) {
    return 'No readings in this time.';
  }
  const low = lows.reduce((a, b) => Math.min(a, b));
  const high = highs.reduce((a, b) => Math.max(a, b));
  return `Lowest ${formatValue(low)}, highest ${formatValue(high)}, latest ${formatValue(means.at(-1))}.`;
}

/** Readings in buckets. Live ones join the last bucket, so a plot that stays open has a bounded number of points. */
class LiveSeries {
  #width;
  #span;
  #counts;

  constructor({ times, means, lows, highs }, { from, to, points, isLive }) {
    this.isLive = isLive;
    this.#span = to - from;
    this.#width = this.#span / points;
    this.#counts = times.map(() => 1);
    Object.assign(this, { from, to, times: [...times], means: [...means], lows: [...lows], highs: [...highs] });
  }

  add(at, value) {
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
    this.to = Math.max(this.to, at);
    this.from = this.to - this.#span;
    const gone = this.times.findIndex((time) => time >= this.from);
    [this.times, this.means, this.lows, this.highs, this.#counts].forEach((column) => column.splice(0, gone));
  }

  scale() {
    return { min: this.from / 1000, max: this.to / 1000 };
  }

  columns() {
    return [this.times.map((time) => time / 1000), this.highs, this.lows, this.means];
  }
}

/** Read at each drawing, so that a change of the colour scheme shows. */
const color = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function optionsFor(label, size, onZoom) {
  const axis = {
    stroke: color('--muted'),
    grid: { stroke: color('--line'), width: 1 },
    ticks: { stroke: color('--line'), width: 1, size: 4 },
    font: '12px system-ui, sans-serif',
  };
  const value = (_plot, number) => formatValue(number);
  return {
    ...size,
    cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: 'board' }, points: { size: 7 } },
    legend: { show: true, live: true },
    scales: { x: { time: true }, y: { range: (_plot, low, high) => withMargin(low, high) } },
    axes: [
      { ...axis, space: 64, values: formatTicks },
      { ...axis, size: 54, values: (_plot, ticks) => ticks.map(formatValue) },
    ],
    series: [
      { value: '{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}', label: 'Time' },
      { label: 'highest', stroke: 'transparent', width: 0, points: { show: false }, value },
      { label: 'lowest', stroke: 'transparent', width: 0, points: { show: false }, value },
      { label, stroke: color('--accent'), width: 2, points: { size: 4 }, value, spanGaps: true },
    ],
    bands: [{ series: [1, 2], fill: color('--band') }],
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width > 3) {
            onZoom(plot.posToVal(left, 'x') * 1000, plot.posToVal(left + width, 'x') * 1000);
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          }
        },
      ],
    },
  };
}

/** Days if they are at least a day apart, else times, with the day where it changes. */
function formatTicks(_plot, ticks, _axis, _space, step) {
  const pad = (number) => String(number).padStart(2, '0');
  let before;
  return ticks.map((seconds) => {
    const date = new Date(seconds * 1000);
    const day = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
    const isNew = day !== before;
    before = day;
    if (step >= 86_400) {
      return day;
    }
    const time = `${pad(date.getHours())}:${pad(date.getMinutes())}${step < 60 ? `:${pad(date.getSeconds())}` : ''}`;
    return isNew ? `${time}\n${day}` : time;
  });
}

/** Also a line that does not move needs a height. */
function withMargin(low, high) {
  if (low === null || high === null) {
    return [0, 1];
  }
  const margin = (high - low) * 0.08 || Math.abs(high) * 0.01 || 1;
  return [low - margin, high + margin];
}
