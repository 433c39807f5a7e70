import { html } from './html.js';

const WIDTH = 120;
const HEIGHT = 32;
const PAD = 2;

/** The shape of a line, without axes. Its numbers are in the plot of the board. */
export function Sparkline({ line, from, to }) {
  if (!line || line.times.length < 2) {
    return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true">
      <line x1="0" x2=${WIDTH} y1=${HEIGHT / 2} y2=${HEIGHT / 2} class="spark-none" />
    </svg>`;
  }
  const { times, means } = line;
  const low = Math.min(...means);
  const span = Math.max(...means) - low || 1;
  const points = times.map((time, index) => {
    const x = ((time - from) / (to - from)) * WIDTH;
    const y = HEIGHT - PAD - ((means[index] - low) / span) * (HEIGHT - 2 * PAD);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">
    <polyline points=${points.join(' ')} />
  </svg>`;
}
