import { useMemo, useState } from 'preact/hooks';
import { formatAge, formatDuration, formatValue } from './format.js';
import { useLines } from './hooks.js';
import { html } from './html.js';
import { stateOf } from './live.js';
import { Sparkline } from './spark.js';

const DAY_MS = 86_400_000;
const SPARK_POINTS = 48;
const PAGE_SIZE = 60;
/** Boards of one request: readings are stored between two of them. */
const LINES_AT_ONCE = 20;
const SHOWN_METRICS = 3;
/** Sparklines are a day long, so more often shows nothing more. */
const REFRESH_MS = 300_000;

const ORDER = { silent: 0, reporting: 1, never: 2 };
const LABEL = { reporting: 'Reporting', silent: 'Silent', never: 'Never heard' };

export function BoardsView({ live }) {
  const [text, setText] = useState('');
  const [limit, setLimit] = useState(PAGE_SIZE);
  const boards = [...live.boards.values()].map((board) => ({ board, state: stateOf(board, live) }));
  const count = (wanted) => boards.filter(({ state }) => state === wanted).length;
  const hourAgo = live.now() - 3_600_000;
  const rejected = live.recentRejections.filter(({ at }) => at > hourAgo).length;
  const found = boards
    .filter(({ board }) => board.name.toLowerCase().includes(text.toLowerCase()))
    .toSorted((a, b) => ORDER[a.state] - ORDER[b.state] || (a.board.name < b.board.name ? -1 : 1));

  return html`
    <h1 class="sr-only">Boards</h1>
    <dl class="tiles">
      <${Tile} kind="ok" label="Reporting" value=${count('reporting')} of=${boards.length} />
      <${Tile} kind=${count('silent') ? 'warn' : ''} label="Silent" value=${count('silent')} />
      <${Tile} label="Never heard" value=${count('never')} />
      <${Tile}
        kind=${rejected ? 'bad' : ''}
        label="Rejected in the last hour"
        value=${rejected >= 50 ? '50+' : rejected}
      />
    </dl>
    ${
      boards.length > 8 &&
      html`<div class="search">
        <label for="search">Find a board</label>
        <input id="search" type="search" value=${text} onInput=${(event) => setText(event.target.value)} />
      </div>`
    }
    ${
      boards.length === 0
        ? html`<${NoBoards} />`
        : found.length === 0
          ? html`<p class="empty">No board has “${text}” in its name.</p>`
          : html`<${BoardList} live=${live} found=${found.slice(0, limit)} />`
    }
    ${
      found.length > limit &&
      html`<button class="more" onClick=${() => setLimit(limit + PAGE_SIZE)}>
        Show more of ${found.length} boards
      </button>`
    }
  `;
}

function Tile({ label, value, of: total, kind = '' }) {
  return html`<div class=${`tile ${kind}`}>
    <dt>${label}</dt>
    <dd>${value}${total !== undefined && html`<small> of ${total}</small>`}</dd>
  </div>`;
}

function BoardList({ live, found }) {
  // The end of the current step, so that lines stay as they are until the next one.
  const to = (Math.floor(live.now() / REFRESH_MS) + 1) * REFRESH_MS;
  const { lines, error, loadAgain } = useLines(
    found.map(({ board }) => board),
    { from: to - DAY_MS, to, points: SPARK_POINTS, atOnce: LINES_AT_ONCE, generation: live.generation },
  );
  return html`
    ${
      error &&
      html`<p role="alert" class="error-text">
        The lines of the last day could not be loaded: ${error.message}
        <button class="quiet" onClick=${loadAgain}>Try again</button>
      </p>`
    }
    <ul class="boards" aria-label="Boards">
      ${found.map(
        ({ board, state }) =>
          html`<${BoardRow}
            key=${board.name}
            board=${board}
            state=${state}
            seen=${describeSeen(state, board.lastSeenAt, live.now())}
            lines=${lines}
            to=${to}
          />`,
      )}
    </ul>
  `;
}

/** Drawn again only if something in it has changed. */
function BoardRow({ board, state, seen, lines, to }) {
  return useMemo(() => drawRow(board, state, seen, lines, to), [board, state, seen, lines, to]);
}

function drawRow({ name, metrics }, state, seen, lines, to) {
  const shown = Object.entries(metrics).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const rest = shown.length - SHOWN_METRICS;
  return html`<li class=${`board ${state}`}>
    <div class="board-head">
      <h2><a href=${`#/boards/${encodeURIComponent(name)}`}>${name}</a></h2>
      <${StateBadge} state=${state} />
      <p class="seen">${seen}</p>
    </div>
    ${
      shown.length === 0
        ? html`<p class="no-metrics">No readings yet</p>`
        : html`<ul class="metrics">
            ${shown.slice(0, SHOWN_METRICS).map(
              ([metric, latest]) =>
                html`<li key=${metric}>
                  <span class="metric-name">${metric}</span>
                  <span class="metric-value">${formatValue(latest.value, metric)}</span>
                  <${Sparkline} line=${lines.get(`${name}/${metric}`)} latest=${latest} from=${to - DAY_MS} to=${to} />
                </li>`,
            )}
            ${rest > 0 && html`<li class="metric-more">and ${rest} more</li>`}
          </ul>`
    }
  </li>`;
}

export function StateBadge({ state }) {
  return html`<span class=${`badge ${state}`}>${LABEL[state]}</span>`;
}

export function describeSeen(state, lastSeenAt, now) {
  if (state === 'never') {
    return 'Has a key. No request has come yet.';
  }
  return state === 'silent' ? `Silent for ${formatDuration(now - lastSeenAt)}` : `Heard ${formatAge(now - lastSeenAt)}`;
}

function NoBoards() {
  return html`<section class="empty">
    <h2>No boards yet</h2>
    <p>Put a key file such as <code>kitchen.sec</code> into the folder of keys, and copy it to the board.</p>
  </section>`;
}
