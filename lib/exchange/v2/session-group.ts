/**
 * Sessions that share a quota, in the order of their last requests, except for the last second.
 */
import { type SmallSet, membersOf, sizeOf, withLast, without } from '../small-set.js';
import type { Session } from './session.js';

export class SessionGroups<Key> {
  /** Bounded by the number of sessions: a group without a session is removed. */
  private readonly groups = new Map<Key, SmallSet<Session>>();

  sizeOf(key: Key): number {
    return sizeOf(this.groups.get(key));
  }

  membersOf(key: Key): Iterable<Session> {
    return membersOf(this.groups.get(key));
  }

  /** Adds a session, or makes it the last one. */
  add(key: Key, session: Session): void {
    this.groups.set(key, withLast(this.groups.get(key), session));
  }

  remove(key: Key, session: Session): void {
    const rest = without(this.groups.get(key), session);
    if (rest) {
      this.groups.set(key, rest);
    } else {
      this.groups.delete(key);
    }
  }
}
