/** The plot of one metric. Drag to zoom; keys too. */
import uPlot from 'uplot';
import { useEffect, useRef } from 'preact/hooks';
import { formatTicks, formatValue } from './format.js';
import { html } from './html.js';

const HEIGHT = 220;
/** A tenth of the range. */
const STEP = 0.1;
const MIN_AXIS_WIDTH = 54;

export function Plot({ series, onZoom }) {
  const box = useRef();
  const plot = useRef();
  const { metric } = series;

  useEffect(() => {
    const place = box.current;
    const size = () => ({ width: place.clientWidth, height: HEIGHT });
    const drawn = new uPlot(optionsFor(metric, size(), onZoom), series.columns(), place);
    plot.current = drawn;
    const observer = new ResizeObserver(() => drawn.setSize(size()));
    observer.observe(place);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const redraw = () => drawn.redraw(false);
    scheme.addEventListener('change', redraw);
    return () => {
      observer.disconnect();
      scheme.removeEventListener('change', redraw);
      drawn.destroy();
    };
  }, [series]);

  useEffect(() => {
    const drawn = plot.current;
    drawn.batch(() => {
      drawn.setData(series.columns(), false);
      drawn.setScale('x', series.scale());
    });
  }, [series, series.version]);

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
    aria-label=${`Plot of ${metric}. ${summarize(series)} Plus and minus zoom, arrows move.`}
    onKeyDown=${zoomByKey}
  ></div>`;
}

export function summarize({ metric, lows, highs }) {
  if (lows.length === 0) {
    return 'No readings in this time.';
  }
  const low = lows.reduce((a, b) => Math.min(a, b));
  const high = highs.reduce((a, b) => Math.max(a, b));
  return `Lowest ${formatValue(low, metric)}, highest ${formatValue(high, metric)}.`;
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
  const value = (_plot, number) => formatValue(number, label);
  return {
    ...size,
    cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: 'board' }, points: { size: 7 } },
    legend: { show: true, live: true },
    scales: { x: { time: true }, y: { range: (_plot, low, high) => withMargin(low, high) } },
    axes: [
      { ...axis, space: 64, values: formatTimes },
      { ...axis, size: widthOf, values: (_plot, ticks, _axis, _space, step) => formatTicks(ticks, step) },
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

/** The width of an axis: plots with short labels begin at the same place, and long labels are not cut. */
function widthOf(_plot, labels) {
  const longest = Math.max(0, ...(labels ?? []).map(({ length }) => length));
  return Math.max(MIN_AXIS_WIDTH, 16 + 7 * longest);
}

/** Days if they are at least a day apart, else times, with the day when it changes. */
function formatTimes(_plot, ticks, _axis, _space, step) {
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
