import { useState } from 'preact/hooks';
import { formatDate, formatTime } from './format.js';
import { useLoaded } from './hooks.js';
import { html } from './html.js';

const HOUR_MS = 3_600_000;
const RANGES = [
  ['Hour', HOUR_MS, 60_000],
  ['Day', 24 * HOUR_MS, 30 * 60_000],
  ['Week', 168 * HOUR_MS, 4 * HOUR_MS],
];
/** The last one is for all others. */
const COLORS = 6;
const WIDTH = 720;
const HEIGHT = 160;
const GAP = 1;

const UNKNOWN = 'no key verified';
/** The meaning of the colours. */
const GROUPS = [
  ['By reason', ({ reason }) => reason],
  ['By board', ({ board }) => board || UNKNOWN],
];

export function RejectionsView({ live }) {
  const [[, spanMs, bucket], setRange] = useState(RANGES[1]);
  const [group, setGroup] = useState(GROUPS[0]);
  // New counts are loaded with the first rejection after them, at most every few seconds.
  const newest = Math.floor((live.recentRejections[0]?.at ?? 0) / 5000);
  const to = live.now() + 1000;
  const { data, error, isLoading } = useLoaded('rejections', { from: to - spanMs, to, bucket }, [
    spanMs,
    newest,
    live.generation,
  ]);
  const [, groupOf] = group;
  const groups = sortGroups(data?.counts ?? [], groupOf);
  const colorOf = (count) => `series-${Math.min(groups.indexOf(groupOf(count)) + 1, COLORS)}`;
  return html`
    <h1>Rejections</h1>
    <section class="card" aria-labelledby="over-time">
      <div class="card-head">
        <h2 id="over-time">Datagrams without an answer</h2>
        <div class="segments" role="group" aria-label="Colours">
          ${GROUPS.map(
            (each) =>
              html`<button aria-pressed=${each === group ? 'true' : 'false'} onClick=${() => setGroup(each)}>
                ${each[0]}
              </button>`,
          )}
        </div>
        <div class="segments" role="group" aria-label="Time to show">
          ${RANGES.map(
            (range) =>
              html`<button aria-pressed=${range[1] === spanMs ? 'true' : 'false'} onClick=${() => setRange(range)}>
                ${range[0]}
              </button>`,
          )}
        </div>
      </div>
      ${error && html`<p role="alert" class="error-text">The counts could not be loaded: ${error.message}</p>`}
      ${!data && isLoading && html`<p class="empty" role="status">Loading …</p>`}
      ${
        data?.counts.length === 0 &&
        html`<p class="empty">Nothing was rejected in this time. Wrong keys, noise and copies would show here.</p>`
      }
      ${
        data?.counts.length > 0 &&
        html`
          <${Bars} counts=${data.counts} from=${to - spanMs} to=${to} bucket=${bucket} colorOf=${colorOf} />
          <${RejectionTable} counts=${data.counts} reasons=${live.reasons} colorOf=${colorOf} hasBoards />
        `
      }
    </section>
    <section class="card" aria-labelledby="latest-title">
      <h2 id="latest-title">The latest</h2>
      ${
        live.recentRejections.length === 0
          ? html`<p class="empty">None since the server started.</p>`
          : html`<${Recent} rejections=${live.recentRejections} />`
      }
    </section>
  `;
}

/** The largest first, so that bars are stacked alike and the common ones have colours. */
function sortGroups(counts, groupOf) {
  const sums = new Map();
  for (const each of counts) {
    sums.set(groupOf(each), (sums.get(groupOf(each)) ?? 0) + each.count);
  }
  return [...sums].toSorted(([, a], [, b]) => b - a).map(([name]) => name);
}

function Bars({ counts, from, to, bucket, colorOf }) {
  const first = Math.floor(from / bucket);
  const slots = Math.floor(to / bucket) - first + 1;
  const stacks = Array.from({ length: slots }, () => []);
  for (const each of counts) {
    stacks[Math.round(each.at / bucket) - first]?.push(each);
  }
  // The class names of the colours are in the order of their groups.
  const sorted = stacks.map((stack) => stack.toSorted((a, b) => (colorOf(a) < colorOf(b) ? -1 : 1)));
  const sumOf = (stack) => stack.reduce((sum, { count }) => sum + count, 0);
  const highest = Math.max(...stacks.map(sumOf));
  const total = stacks.reduce((sum, stack) => sum + sumOf(stack), 0);
  const width = WIDTH / slots;
  return html`<div class="bars">
    <svg
      viewBox="0 0 ${WIDTH} ${HEIGHT}"
      preserveAspectRatio="none"
      role="img"
      aria-label=${`${total} datagrams, at most ${highest} in one bar`}
    >
      ${sorted.map((stack, slot) => {
        let top = HEIGHT;
        return stack.map((each) => {
          const { reason, board, count } = each;
          const height = (count / highest) * (HEIGHT - 4);
          top -= height;
          return html`<rect
            class=${colorOf(each)}
            x=${slot * width + GAP / 2}
            y=${top}
            width=${Math.max(1, width - GAP)}
            height=${height}
          >
            <title>${`${formatDate((first + slot) * bucket)}: ${count} ${reason}, ${board || UNKNOWN}`}</title>
          </rect>`;
        });
      })}
    </svg>
    <p class="bar-axis hint">
      <span>${formatDate(from)}</span><span>at most ${highest} in a bar</span><span>now</span>
    </p>
  </div>`;
}

/** Sums by reason, and by board if there are several. */
export function RejectionTable({ counts, reasons, colorOf, hasBoards }) {
  const sums = new Map();
  for (const { reason, board, count } of counts) {
    const key = `${reason}\n${board}`;
    const sum = sums.get(key) ?? { reason, board, count: 0 };
    sums.set(key, { ...sum, count: sum.count + count });
  }
  const rows = [...sums.values()].toSorted((a, b) => b.count - a.count);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Rejections by reason">
    <table>
      <thead>
        <tr>
          <th>Reason</th>
          ${hasBoards && html`<th>Board</th>`}
          <th class="number">Datagrams</th>
          <th>Meaning</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ({ reason, board, count }) =>
            html`<tr key=${`${reason} ${board}`}>
              <td class="reason">
                ${colorOf && html`<span class=${`dot ${colorOf({ reason, board })}`}></span>`}<code>${reason}</code>
              </td>
              ${hasBoards && html`<td>${board || html`<span class="hint">${UNKNOWN}</span>`}</td>`}
              <td class="number">${count.toLocaleString('en')}</td>
              <td class="meaning">${reasons[reason]}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function Recent({ rejections }) {
  return html`<p class="hint">An address may be forged: the key that verifies is the identity of a board.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="The latest rejections">
      <table>
        <thead>
          <tr>
            <th>Time</th>
            <th>Reason</th>
            <th>Board</th>
            <th>Address</th>
          </tr>
        </thead>
        <tbody>
          ${rejections.map(
            ({ at, reason, board, address }, index) =>
              html`<tr key=${`${at} ${index}`}>
                <td class="time">${formatTime(at)}</td>
                <td><code>${reason}</code></td>
                <td>${board || '–'}</td>
                <td>${address}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}
