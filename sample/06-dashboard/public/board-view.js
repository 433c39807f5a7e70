import { useMemo, useState } from 'preact/hooks';
import { StateBadge, describeSeen } from './boards-view.js';
import { CommandForm, CommandList } from './commands.js';
import { Waterfall } from './exchanges.js';
import { formatDate, formatValue } from './format.js';
import { useLoaded } from './hooks.js';
import { html } from './html.js';
import { stateOf } from './live.js';
import { Plot, summarize } from './plot.js';
import { RejectionTable } from './rejections.js';
import { useSeries } from './series.js';

const HOUR_MS = 3_600_000;
const RANGES = [
  ['Hour', HOUR_MS],
  ['Day', 24 * HOUR_MS],
  ['Week', 168 * HOUR_MS],
  ['Year', 365 * 24 * HOUR_MS],
];
const POINTS = 500;
/** Less is nothing that a board can show. */
const MIN_SPAN_MS = 10_000;
const MAX_SPAN_MS = 2 * 365 * 24 * HOUR_MS;
const TABLE_ROWS = 24;

export function BoardView({ live, name }) {
  const board = live.boards.get(name);
  // Those of `live` are the latest of all boards, and this board may have older ones.
  const { data: commands = [], error } = useLoaded('commands', { board: name }, [
    name,
    live.generation,
    live.commandChanges.get(name),
  ]);
  if (!board) {
    return html`<section class="empty">
      <h1>No board is called “${name}”</h1>
      <p><a href="#/boards">All boards</a></p>
    </section>`;
  }
  const state = stateOf(board, live);
  const exchange = live.exchanges.find((each) => each.board === name);
  return html`
    <p class="crumb"><a href="#/boards">Boards</a></p>
    <div class="title">
      <h1>${name}</h1>
      <${StateBadge} state=${state} />
      <p class="seen">
        ${describeSeen(state, board.lastSeenAt, live.now())}${board.address && `, from ${board.address}`}
      </p>
    </div>
    <${Readings} live=${live} board=${board} />
    <div class="columns">
      <section class="card" aria-labelledby="commands-title">
        <h2 id="commands-title">Commands</h2>
        <${CommandForm} board=${name} commands=${commands} />
        ${error && html`<p role="alert" class="error-text">The commands could not be loaded: ${error.message}</p>`}
        <${CommandList} commands=${commands} live=${live} isOfOneBoard />
      </section>
      <section class="card" aria-labelledby="exchange-title">
        <h2 id="exchange-title">Latest exchange</h2>
        ${
          exchange
            ? html`<${Waterfall} exchange=${exchange} />`
            : html`<p class="hint">None among the latest exchanges of all boards.</p>`
        }
        <h3>Rejected in the last day</h3>
        <${BoardRejections} live=${live} name=${name} />
      </section>
    </div>
  `;
}

function Readings({ live, board }) {
  const [spanMs, setSpan] = useState(24 * HOUR_MS);
  const [zoom, setZoom] = useState();
  const to = zoom?.to ?? live.now() + 1000;
  const from = zoom?.from ?? to - spanMs;
  const parameters = { boards: board.name, from, to, points: POINTS };
  // A metric that the board has not reported before gets its plot too.
  const metrics = Object.keys(board.metrics).toSorted().join(',');
  const {
    data: lines,
    asked,
    error,
    isLoading,
    loadAgain,
  } = useLoaded('history', parameters, [board.name, metrics, spanMs, zoom, live.generation]);
  // The plots keep the range that their lines were loaded for.
  const range = useMemo(() => asked && { ...asked, isLive: !zoom }, [asked]);

  const select = (ms) => {
    setZoom(undefined);
    setSpan(ms);
  };
  const zoomTo = (begin, end) => {
    if (end - begin >= MIN_SPAN_MS && end - begin <= MAX_SPAN_MS && begin > 0) {
      setZoom({ from: Math.round(begin), to: Math.round(end) });
    }
  };
  return html`<section class="card" aria-labelledby="readings-title">
    <div class="card-head">
      <h2 id="readings-title">Readings</h2>
      <div class="segments" role="group" aria-label="Time to show">
        ${RANGES.map(
          ([label, ms]) =>
            html`<button aria-pressed=${!zoom && ms === spanMs ? 'true' : 'false'} onClick=${() => select(ms)}>
              ${label}
            </button>`,
        )}
      </div>
      ${
        zoom
          ? html`<button class="quiet" onClick=${() => setZoom(undefined)}>Reset zoom</button>`
          : html`<p class="hint zoom-hint">Drag over a plot to zoom</p>`
      }
    </div>
    ${zoom && html`<p class="hint" role="status">${formatDate(zoom.from)} to ${formatDate(zoom.to)}</p>`}
    ${
      error &&
      html`<p role="alert" class="failed error-text">
        The readings could not be loaded: ${error.message}
        <button class="quiet" onClick=${loadAgain}>Try again</button>
      </p>`
    }
    ${!lines && isLoading && html`<p class="empty plot-space" role="status">Loading readings …</p>`}
    ${
      lines?.length === 0 &&
      html`<p class="empty">
        No readings yet. A board sends <code>${'{"action": "report", "data": {"temperature": 21.5}}'}</code>.
      </p>`
    }
    <div class="plots" aria-busy=${isLoading}>
      ${lines?.map(
        (line) =>
          html`<${Metric}
            key=${line.metric}
            live=${live}
            board=${board}
            line=${line}
            range=${range}
            onZoom=${zoomTo}
          />`,
      )}
    </div>
  </section>`;
}

function Metric({ live, board, line, range, onZoom }) {
  const series = useSeries(live, board.name, line, range);
  return html`<figure>
    <figcaption>
      <strong>${line.metric}</strong>
      <span class="metric-value">${formatValue(board.metrics[line.metric]?.value, line.metric)}</span>
      <span class="hint">${summarize(series)}</span>
    </figcaption>
    <${Plot} series=${series} onZoom=${onZoom} />
    <${Numbers} series=${series} />
  </figure>`;
}

/** The same numbers for those who can't see a plot. */
function Numbers({ series }) {
  const [isOpen, setOpen] = useState(false);
  const { metric, times, means, lows, highs } = series;
  const first = Math.max(0, times.length - TABLE_ROWS);
  return html`<details onToggle=${(event) => setOpen(event.target.open)}>
    <summary>Numbers</summary>
    ${
      isOpen &&
      html`<div class="scroll" tabindex="0" role="region" aria-label=${`Numbers of ${metric}`}>
        <table>
          <thead>
            <tr>
              <th>From</th>
              <th>Mean</th>
              <th>Lowest</th>
              <th>Highest</th>
            </tr>
          </thead>
          <tbody>
            ${times
              .slice(first)
              .map(
                (time, index) =>
                  html`<tr key=${time}>
                    <td>${formatDate(time)}</td>
                    <td>${formatValue(means[first + index], metric)}</td>
                    <td>${formatValue(lows[first + index], metric)}</td>
                    <td>${formatValue(highs[first + index], metric)}</td>
                  </tr>`,
              )
              .toReversed()}
          </tbody>
        </table>
      </div>`
    }
  </details>`;
}

function BoardRejections({ live, name }) {
  const to = live.now() + 1000;
  const range = { from: to - 24 * HOUR_MS, to, bucket: HOUR_MS };
  const { data, error, isLoading } = useLoaded('rejections', range, [name, live.generation]);
  const counts = data?.counts.filter(({ board }) => board === name) ?? [];
  if (error) {
    return html`<p role="alert" class="error-text">The counts could not be loaded: ${error.message}</p>`;
  }
  if (!data && isLoading) {
    return html`<p class="hint" role="status">Loading …</p>`;
  }
  return counts.length === 0
    ? html`<p class="hint">
        None that its key verified. Those of a wrong key are under <a href="#/rejections">Rejections</a>.
      </p>`
    : html`<${RejectionTable} counts=${counts} reasons=${live.reasons} />`;
}
