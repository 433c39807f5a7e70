/**
 * The sessions of a server process: found by their id, and bounded for each key.
 *
 * A session that ran something less than `QUIET_MS` ago is never evicted. The device relies on that: if the server does not know its
 * session, its request has not run for that long.
 */
import type { RingKey } from '../../keys/index.js';
import { SESSION_MS } from '../../protocol/v2/index.js';
import type { Session } from './session.js';

/** Time since its last request in which a session is never evicted, in milliseconds. */
export const QUIET_MS = 30_000;

/** Sessions of a key that belongs to one device. */
export const SESSIONS_PER_KEY = 8;

/** Sessions of a process. */
export const MAX_SESSIONS = 131_072;

/** How often the order of the sessions follows their requests. */
const TOUCH_MS = 1000;

/** Sessions at the old end that an eviction looks at. The ones that it skips go to the young end. */
const SESSIONS_TRIED = 32;

/** Expired sessions that one addition removes: more than it adds, so they can't pile up. */
const SWEPT = 2;

/** The sessions of a shared key. */
interface SharedKeySessions {
  /** In the order of their last requests, except for the last second. */
  readonly all: Set<Session>;
  /** The first session of each address. */
  readonly firsts: Map<number | string, Session>;
}

export class SessionTable {
  /** By id, in the order of their last requests, except for the last second. Bounded by `capacity`. */
  private readonly sessions = new Map<number, Session>();
  /** The first session of each device that has some. */
  private readonly named = new Map<RingKey, Session>();
  private readonly shared = new Map<RingKey, SharedKeySessions>();

  /**
   * @param perAddress sessions of a shared key for an address.
   * @param onRemoved called for each session that ends.
   */
  constructor(
    private readonly perAddress: number,
    private readonly onRemoved: (session: Session) => void,
    private readonly capacity: number = MAX_SESSIONS,
  ) {}

  get size(): number {
    return this.sessions.size;
  }

  get(id: number, now: number): Session | undefined {
    const session = this.sessions.get(id);
    if (session && isExpired(session, now)) {
      this.remove(session);
      return undefined;
    }
    return session;
  }

  /** Adds a session; false if its quota or the table is full, and nothing may be evicted. */
  add(session: Session, now: number): boolean {
    this.sweep(now);
    const group = this.groupOf(session);
    const quota = session.address === undefined ? SESSIONS_PER_KEY : this.perAddress;
    if (group.length >= quota) {
      if (!this.evictFrom(group, now)) {
        return false;
      }
    } else if (this.sessions.size >= this.capacity && !this.evict(session, group, now)) {
      return false;
    }
    this.sessions.set(session.id, session);
    session.sibling = this.firstOf(session);
    this.setFirst(session, session);
    this.shared.get(session.key)?.all.add(session);
    return true;
  }

  /** Records a request of a session. */
  touch(session: Session, now: number): void {
    if (now - session.lastAt > TOUCH_MS) {
      this.toEnd(session);
    }
    session.lastAt = now;
  }

  /** Ends the sessions of all keys but these. */
  keep(isAccepted: (key: RingKey) => boolean): void {
    for (const session of this.sessions.values()) {
      if (!isAccepted(session.key)) {
        this.remove(session);
      }
    }
  }

  /** Makes room in a full table. A key with more sessions than one device needs gives up its own. */
  private evict({ key, address }: Session, group: readonly Session[], now: number): boolean {
    if (address === undefined) {
      return group.length >= SESSIONS_PER_KEY
        ? this.evictFrom(group, now)
        : this.evictOldest(this.sessions.values(), now);
    }
    const all = this.shared.get(key)?.all;
    return this.evictOldest(all && all.size >= SESSIONS_PER_KEY ? all : this.sessions.values(), now);
  }

  /** @param sessions in the order of their last requests. */
  private evictOldest(sessions: Iterable<Session>, now: number): boolean {
    let tries = SESSIONS_TRIED;
    for (const session of sessions) {
      if (isIdle(session, now)) {
        this.remove(session);
        return true;
      }
      if (--tries === 0 || now - session.lastAt < QUIET_MS) {
        return false;
      }
      this.toEnd(session);
    }
    return false;
  }

  /** @param sessions in any order. */
  private evictFrom(sessions: readonly Session[], now: number): boolean {
    const idle = sessions.filter((session) => isIdle(session, now));
    const [first] = idle;
    if (!first) {
      return false;
    }
    this.remove(idle.reduce((oldest, session) => (session.lastAt < oldest.lastAt ? session : oldest), first));
    return true;
  }

  private sweep(now: number): void {
    let count = SWEPT;
    for (const session of this.sessions.values()) {
      if (count-- === 0 || !isExpired(session, now)) {
        return;
      }
      this.remove(session);
    }
  }

  private remove(session: Session): void {
    this.sessions.delete(session.id);
    const rest = this.groupOf(session).filter((each) => each !== session);
    rest.forEach((each, index) => (each.sibling = rest[index + 1]));
    this.setFirst(session, rest[0]);
    session.sibling = undefined;
    session.isEnded = true;
    const shared = this.shared.get(session.key);
    shared?.all.delete(session);
    if (shared?.all.size === 0) {
      this.shared.delete(session.key);
    }
    this.onRemoved(session);
  }

  /** The sessions that share a quota with this one: those of its key, or of its key and address. */
  private groupOf(session: Session): Session[] {
    const group: Session[] = [];
    for (let each = this.firstOf(session); each; each = each.sibling) {
      group.push(each);
    }
    return group;
  }

  private firstOf({ key, address }: Session): Session | undefined {
    return address === undefined ? this.named.get(key) : this.shared.get(key)?.firsts.get(address);
  }

  private setFirst({ key, address }: Session, first: Session | undefined): void {
    if (address === undefined) {
      setOrDelete(this.named, key, first);
      return;
    }
    const shared = this.shared.get(key) ?? { all: new Set(), firsts: new Map() };
    this.shared.set(key, shared);
    setOrDelete(shared.firsts, address, first);
  }

  private toEnd(session: Session): void {
    this.sessions.delete(session.id);
    this.sessions.set(session.id, session);
    const all = this.shared.get(session.key)?.all;
    if (all?.delete(session)) {
      all.add(session);
    }
  }
}

function setOrDelete<Key>(sessions: Map<Key, Session>, key: Key, session: Session | undefined): void {
  if (session) {
    sessions.set(key, session);
  } else {
    sessions.delete(key);
  }
}

function isIdle({ handlers, lastAt }: Session, now: number): boolean {
  return handlers === 0 && now - lastAt >= QUIET_MS;
}

function isExpired({ handlers, lastAt }: Session, now: number): boolean {
  return handlers === 0 && now - lastAt > SESSION_MS;
}
