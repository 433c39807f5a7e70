/**
 * The state of the page. The stream opens first, then the overview is loaded; events that come in between wait, and are applied after it.
 * So nothing is lost between the two, also when the connection was lost for a while.
 */
import { get } from './api.js';

const KEPT_REJECTIONS = 50;
const KEPT_EXCHANGES = 100;
const KEPT_COMMANDS = 100;
/** Those of several seconds, as long as a history is on the way. */
const KEPT_READINGS = 2000;
const RETRY_MS = 3000;

export class Live {
  /** 'connecting', 'live', 'lost'. */
  status = 'connecting';
  /** Grows with each loaded overview: views load their histories again. */
  generation = 0;
  boards = new Map();
  recentRejections = [];
  exchanges = [];
  /** The latest of all boards. */
  commands = [];
  /** How often commands have changed, by board. */
  commandChanges = new Map();
  /** The oldest first. */
  recentReadings = [];
  reasons = {};
  silentAfterMs = 0;
  database = '';
  #clockOffset = 0;
  #lostAt;
  #watchers = new Set();
  #readers = new Set();
  #stream;
  #waiting;
  #frame = 0;
  #isClosed = false;

  /** @param onLoggedOut called if the session has ended. */
  constructor(onLoggedOut) {
    this.onLoggedOut = onLoggedOut;
  }

  /** The time of the server. It stands still while the connection is lost: nobody knows then whether a board is silent. */
  now() {
    return this.#lostAt ?? Date.now() + this.#clockOffset;
  }

  /** Calls `watcher` after a change, at most once a frame. Returns the end of it. */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Calls `reader` with each batch of readings. Returns the end of it. */
  onReadings(reader) {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }

  connect() {
    const stream = new EventSource('/api/stream');
    this.#stream = stream;
    const on = (type, apply) =>
      stream.addEventListener(type, ({ data }) => {
        const items = JSON.parse(data);
        if (this.#waiting) {
          this.#waiting.push(() => apply(items));
        } else {
          apply(items);
          this.#changed();
        }
      });
    stream.addEventListener('begin', ({ data }) => void this.#load(JSON.parse(data)));
    stream.addEventListener('ping', ({ data }) => this.#setClock(JSON.parse(data)));
    stream.addEventListener('error', () => this.#lost());
    on('reading', (items) => this.#addReadings(items));
    on('heard', (items) => items.forEach(({ board, at, address }) => this.#change(board, { lastSeenAt: at, address })));
    on('rejected', (items) => {
      this.recentRejections = [...items.toReversed(), ...this.recentRejections].slice(0, KEPT_REJECTIONS);
    });
    on('exchange', (items) => {
      this.exchanges = [...items.toReversed(), ...this.exchanges].slice(0, KEPT_EXCHANGES);
    });
    on('command', (items) => items.forEach((item) => this.#putCommand(item)));
  }

  close() {
    this.#isClosed = true;
    this.#stream?.close();
  }

  #setClock({ now }) {
    this.#lostAt = undefined;
    this.#clockOffset = now - Date.now();
  }

  async #load({ now }) {
    this.#setClock({ now });
    // A stream that opens again begins anew: an older load must neither end its waiting nor replace its overview.
    const waiting = [];
    this.#waiting = waiting;
    const isCurrent = () => this.#waiting === waiting && !this.#isClosed;
    try {
      const to = now + 1000;
      const [overview, exchanges, commands, rejections] = await Promise.all([
        get('overview'),
        get('exchanges'),
        get('commands'),
        get('rejections', { from: to - 3_600_000, to, bucket: 3_600_000 }),
      ]);
      if (!isCurrent()) {
        return;
      }
      this.#apply(overview);
      this.exchanges = exchanges;
      this.commands = commands;
      this.recentRejections = rejections.recent;
      this.status = 'live';
      this.generation++;
    } catch (error) {
      if (!isCurrent()) {
        return;
      }
      if (error.status === 401) {
        this.onLoggedOut();
      } else {
        // The stream may be fine, but without the overview it tells of changes to nothing.
        this.#stream.close();
        this.#lost();
      }
    }
    this.#waiting = undefined;
    waiting.forEach((apply) => apply());
    this.#changed();
  }

  #apply({ boards, latest, silentAfterMs, database, reasons }) {
    this.boards = new Map(boards.map((board) => [board.name, { ...board, metrics: {} }]));
    for (const { board, metric, at, value } of latest) {
      const known = this.boards.get(board);
      if (known) {
        known.metrics[metric] = { at, value };
      }
    }
    Object.assign(this, { silentAfterMs, database, reasons });
  }

  #addReadings(readings) {
    for (const [board, metric, at, value] of readings) {
      const { metrics } = this.boards.get(board) ?? { metrics: {} };
      if (at >= (metrics[metric]?.at ?? 0)) {
        this.#change(board, { metrics: { ...metrics, [metric]: { at, value } } });
      }
    }
    this.recentReadings = [...this.recentReadings, ...readings].slice(-KEPT_READINGS);
    this.#readers.forEach((reader) => reader(readings));
  }

  /** A changed board is a new object, so that rows know whether to draw. */
  #change(name, changes) {
    const board = this.boards.get(name) ?? { name, hasKey: true, lastSeenAt: null, address: null, metrics: {} };
    this.boards.set(name, { ...board, ...changes });
  }

  /** The newest first, also if an old one changes that is not in the list. */
  #putCommand(command) {
    const others = this.commands.filter(({ id }) => id !== command.id);
    this.commands = [command, ...others].toSorted((a, b) => b.createdAt - a.createdAt).slice(0, KEPT_COMMANDS);
    this.commandChanges.set(command.board, (this.commandChanges.get(command.board) ?? 0) + 1);
  }

  /** The browser tries again by itself, unless the server has refused: then its session may have ended. */
  #lost() {
    this.#lostAt ??= this.now();
    this.status = 'lost';
    this.#changed();
    if (this.#stream.readyState === EventSource.CLOSED) {
      setTimeout(() => void this.#reconnect(), RETRY_MS);
    }
  }

  async #reconnect() {
    const session = await get('session').catch(() => undefined);
    if (this.#isClosed) {
      return;
    }
    if (session === undefined) {
      setTimeout(() => void this.#reconnect(), RETRY_MS);
    } else if (session.isLoggedIn) {
      this.connect();
    } else {
      this.onLoggedOut();
    }
  }

  #changed() {
    if (this.#frame !== 0) {
      return;
    }
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#watchers.forEach((watcher) => watcher());
    });
  }
}

/** 'silent', 'reporting', 'never'. */
export function stateOf({ lastSeenAt }, live) {
  if (lastSeenAt === null) {
    return 'never';
  }
  return live.now() - lastSeenAt > live.silentAfterMs ? 'silent' : 'reporting';
}
