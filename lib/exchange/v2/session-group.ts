/**
 * Sessions that share a quota, in the order of their last requests, except for the last second. Most groups have one session. It is stored
 * without a Set, which saves 200 bytes.
 */
import type { Session } from './session.js';

type SessionGroup = Session | Set<Session>;

export class SessionGroups<Key> {
  /** Bounded by the number of sessions: a group without a session is removed. */
  private readonly groups = new Map<Key, SessionGroup>();

  sizeOf(key: Key): number {
    const group = this.groups.get(key);
    return group instanceof Set ? group.size : Number(group !== undefined);
  }

  membersOf(key: Key): Iterable<Session> {
    const group = this.groups.get(key);
    return group === undefined || group instanceof Set ? (group ?? []) : [group];
  }

  /** Adds a session, or makes it the last one. */
  add(key: Key, session: Session): void {
    const group = this.groups.get(key);
    if (group instanceof Set) {
      group.delete(session);
      group.add(session);
    } else {
      this.groups.set(key, group === undefined || group === session ? session : new Set([group, session]));
    }
  }

  remove(key: Key, session: Session): void {
    const group = this.groups.get(key);
    if (group instanceof Set) {
      group.delete(session);
    }
    if (group === session || (group instanceof Set && group.size === 0)) {
      this.groups.delete(key);
    }
  }
}
