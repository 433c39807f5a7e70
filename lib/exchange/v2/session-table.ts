/**
 * The sessions of a server process: found by their id, and bounded for each key.
 *
 * A session that ran something less than `QUIET_MS` ago is never evicted. The device relies on that: if the server does not know its
 * session, its request has not run for that long.
 */
import type { RingKey } from '../../keys/index.js';
import { SESSION_MS } from '../../protocol/v2/index.js';
import type { AddressKey } from '../remote.js';
import { type HolderKey, holderQuota, keyOfDevice } from '../limits/holder.js';
import { SessionGroups } from './session-group.js';
import type { Session } from './session.js';

/** Time since its last request in which a session is never evicted, in milliseconds. */
export const QUIET_MS = 30_000;

/**
 * Sessions of a key that belongs to one device. A device has one, but each of its restarts leaves one behind that can't be evicted for
 * `QUIET_MS`. A client has up to an eighth of them.
 */
export const SESSIONS_PER_KEY = 64;

/** In a full table, a key with this many sessions evicts its own. So it can't evict more of others. */
export const SESSIONS_OF_OTHERS = 8;

/** Sessions of a process. A shared key gets at most three quarters of them for each address. */
export const MAX_SESSIONS = 131_072;

/** The order of the sessions follows their requests once in each interval of this length, in milliseconds. */
const TOUCH_MS = 1000;

/** Expired sessions that one addition removes: more than it adds, so they can't pile up. */
const SWEPT = 2;

/** The sessions of a shared key. */
interface SharedKeySessions {
  /** In the order of their last requests, except for the last second. */
  readonly all: Set<Session>;
  readonly byAddress: SessionGroups<AddressKey>;
}

export class SessionTable {
  /** By id, in the order of their last requests, except for the last second. Bounded by `capacity`. */
  private readonly sessions = new Map<number, Session>();
  /** The sessions of each device that has some. Both collections are bounded by `sessions`. */
  private readonly named = new SessionGroups<RingKey>();
  private readonly shared = new Map<RingKey, SharedKeySessions>();

  /** Sessions of a shared key for an address. */
  private readonly perAddress: number;

  /** @param onRemoved called for each session that ends. */
  constructor(
    private readonly onRemoved: (session: Session) => void,
    private readonly capacity: number = MAX_SESSIONS,
  ) {
    this.perAddress = holderQuota(capacity);
  }

  get size(): number {
    return this.sessions.size;
  }

  /**
   * The sessions with the latest requests, at most `limit`, the latest last.
   *
   * @param placesOf the most that a holder gets, asked once for each.
   */
  latest(limit: number, placesOf: (holder: HolderKey) => number): Session[] {
    const left = new Map<AddressKey | RingKey, number>();
    const found: Session[] = [];
    for (const session of [...this.sessions.values()].toReversed()) {
      if (found.length >= limit) {
        break;
      }
      const { key, address } = session;
      const holder = address ?? key;
      const places = left.get(holder) ?? placesOf(address ?? keyOfDevice(key.device!));
      left.set(holder, places - 1);
      if (places > 0) {
        found.push(session);
      }
    }
    return found.toReversed();
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
    if (!this.makeRoom(session, now)) {
      return false;
    }
    this.toEnd(session);
    return true;
  }

  /** Records a request of a session. */
  touch(session: Session, now: number): void {
    // By intervals: the time since its last request may always be short, and then it would keep the place of its first one.
    if (Math.floor(session.lastAt / TOUCH_MS) !== Math.floor(now / TOUCH_MS)) {
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

  /** A full quota evicts one of its own sessions. In a full table, a key with more than a few does the same. */
  private makeRoom({ key, address }: Session, now: number): boolean {
    const shared = this.shared.get(key);
    const [group, size, quota] =
      address === undefined
        ? [this.named.membersOf(key), this.named.sizeOf(key), SESSIONS_PER_KEY]
        : [shared?.byAddress.membersOf(address) ?? [], shared?.byAddress.sizeOf(address) ?? 0, this.perAddress];
    if (size >= quota) {
      return this.evict(group, now);
    }
    if (this.sessions.size < this.capacity) {
      return true;
    }
    const [own, count] = shared ? [shared.all, shared.all.size] : [group, size];
    return this.evict(count >= SESSIONS_OF_OTHERS ? own : this.sessions.values(), now);
  }

  /**
   * A running handler does not keep its session: its device has given up long ago, and handlers that hang must not lock a device out.
   *
   * @param sessions in the order of their last requests.
   */
  private evict(sessions: Iterable<Session>, now: number): boolean {
    const [oldest] = sessions;
    if (!oldest || now - oldest.lastAt < QUIET_MS) {
      return false;
    }
    this.remove(oldest);
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
    const { key, address } = session;
    this.sessions.delete(session.id);
    if (address === undefined) {
      this.named.remove(key, session);
    } else {
      const shared = this.shared.get(key)!;
      shared.all.delete(session);
      shared.byAddress.remove(address, session);
      if (shared.all.size === 0) {
        this.shared.delete(key);
      }
    }
    session.isEnded = true;
    this.onRemoved(session);
  }

  /** Adds a session, or makes it the last one. */
  private toEnd(session: Session): void {
    const { id, key, address } = session;
    this.sessions.delete(id);
    this.sessions.set(id, session);
    if (address === undefined) {
      this.named.add(key, session);
      return;
    }
    const shared = this.shared.get(key) ?? { all: new Set(), byAddress: new SessionGroups() };
    this.shared.set(key, shared);
    shared.all.delete(session);
    shared.all.add(session);
    shared.byAddress.add(address, session);
  }
}

function isExpired({ lastAt }: Session, now: number): boolean {
  return now - lastAt > SESSION_MS;
}
