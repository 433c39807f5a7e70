import { useState } from 'preact/hooks';
import { formatAge, formatDuration, formatValue } from './format.js';
import { useLoaded } from './hooks.js';
import { html } from './html.js';
import { stateOf } from './live.js';
import { Sparkline } from './spark.js';

const DAY_MS = 86_400_000;
const SPARK_POINTS = 48;
/** As many as the server draws at once. */
const PAGE_SIZE = 60;
const SHOWN_METRICS = 3;

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
  const names = found
    .map(({ board }) => board.name)
    .toSorted()
    .join(',');
  const to = live.now();
  const { data = [] } = useLoaded('history', { boards: names, from: to - DAY_MS, to, points: SPARK_POINTS }, [
    names,
    live.generation,
  ]);
  const lines = new Map(data.map((line) => [`${line.board}/${line.metric}`, line]));
  return html`<ul class="boards" aria-label="Boards">
    ${found.map(
      ({ board, state }) =>
        html`<${BoardRow} key=${board.name} board=${board} state=${state} lines=${lines} live=${live} to=${to} />`,
    )}
  </ul>`;
}

function BoardRow({ board, state, lines, live, to }) {
  const { name, lastSeenAt, metrics } = board;
  const shown = Object.entries(metrics).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const rest = shown.length - SHOWN_METRICS;
  return html`<li class=${`board ${state}`}>
    <div class="board-head">
      <h2><a href=${`#/boards/${encodeURIComponent(name)}`}>${name}</a></h2>
      <${StateBadge} state=${state} />
      <p class="seen">${describeSeen(state, lastSeenAt, live.now())}</p>
    </div>
    ${
      shown.length === 0
        ? html`<p class="no-metrics">No readings yet</p>`
        : html`<ul class="metrics">
            ${shown.slice(0, SHOWN_METRICS).map(
              ([metric, { value }]) =>
                html`<li key=${metric}>
                  <span class="metric-name">${metric}</span>
                  <span class="metric-value">${formatValue(value)}</span>
                  <${Sparkline} line=${lines.get(`${name}/${metric}`)} from=${to - DAY_MS} to=${to} />
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
