import { useMemo } from 'preact/hooks';
import { html } from './html.js';

const WIDTH = 120;
const HEIGHT = 32;
const PAD = 2;

/** The shape of a line up to its latest reading, without axes. Its numbers are in the plot of the board. */
export function Sparkline({ line, latest, from, to }) {
  // The list of boards is drawn often, and few lines have changed.
  return useMemo(() => draw(line, latest, from, to), [line, latest, from, to]);
}

function draw(line, latest, from, to) {
  const points = line ? line.times.map((time, index) => [time, line.means[index]]) : [];
  if (points.length > 0 && latest.at > points.at(-1)[0]) {
    points.push([latest.at, latest.value]);
  }
  if (points.length < 2) {
    return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true">
      <line x1="0" x2=${WIDTH} y1=${HEIGHT / 2} y2=${HEIGHT / 2} class="spark-none" />
    </svg>`;
  }
  const values = points.map(([, value]) => value);
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const corners = points.map(([time, value]) => {
    const x = Math.max(0, (time - from) / (to - from)) * WIDTH;
    const y = HEIGHT - PAD - ((value - low) / span) * (HEIGHT - 2 * PAD);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">
    <polyline points=${corners.join(' ')} />
  </svg>`;
}
