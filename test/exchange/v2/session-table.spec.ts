import { describe, expect, it } from 'vitest';
import { QUIET_MS, SESSIONS_PER_KEY, SessionTable } from '../../../lib/exchange/v2/session-table.js';
import { holderQuota } from '../../../lib/exchange/limits/holder.js';
import { Session } from '../../../lib/exchange/v2/session.js';
import type { RingKey } from '../../../lib/keys/index.js';
import { SESSION_MS } from '../../../lib/protocol/v2/index.js';

/** Only the identity of a key counts here. */
const createKey = () => ({}) as RingKey;

function create({ capacity = 100 } = {}) {
  const removed: number[] = [];
  const table = new SessionTable(({ id }) => removed.push(id), capacity);
  let lastId = 0;
  const session = (key = createKey(), address?: number) => new Session(++lastId, key, address, lastId);
  /** Adds a session whose last request came at `now`. */
  const add = (now: number, key?: RingKey, address?: number): Session | undefined => {
    const added = session(key, address);
    added.lastAt = now;
    return table.add(added, now) ? added : undefined;
  };
  return { table, removed, add };
}

describe('SessionTable', () => {
  it('ends a session after its time', () => {
    const { table, removed, add } = create();
    const session = add(0)!;
    expect(table.get(session.id, SESSION_MS)).toBe(session);
    expect([table.get(session.id, SESSION_MS + 1), removed]).toEqual([undefined, [session.id]]);
  });

  it('removes two ended sessions with each new one', () => {
    const { table, removed, add } = create();
    const ended = [add(0)!, add(0)!, add(0)!, add(0)!].map(({ id }) => id);
    add(SESSION_MS + 1);
    expect(removed).toEqual(ended.slice(0, 2));
    add(SESSION_MS + 1);
    expect([removed, table.size]).toEqual([ended, 2]);
  });

  it('removes ended sessions behind one whose requests come less than a second apart', () => {
    const { table, removed, add } = create();
    const [busy, ended] = [add(0)!, add(0)!];
    for (let now = 900; now <= SESSION_MS + 1; now += 900) {
      table.touch(busy, now);
    }
    add(SESSION_MS + 1);
    expect(removed).toEqual([ended.id]);
  });

  describe('of a key with as many sessions as it may have', () => {
    it('gives up the one with the oldest request for a new one', () => {
      const { table, removed, add } = create();
      const key = createKey();
      const sessions = Array.from({ length: SESSIONS_PER_KEY }, () => add(0, key)!);
      const touched = [sessions[3]!, sessions[0]!, sessions[5]!];
      touched.forEach((session, order) => table.touch(session, 2000 * (order + 1)));
      for (let count = 0; count < SESSIONS_PER_KEY; count++) {
        expect(add(QUIET_MS + 6000, key)).toBeDefined();
      }
      const inOrder = [...sessions.filter((session) => !touched.includes(session)), ...touched];
      expect(removed).toEqual(inOrder.map(({ id }) => id));
      // The rest had requests a moment ago.
      expect(add(QUIET_MS + 6000, key)).toBeUndefined();
    });

    it('counts those that are left', () => {
      const { table, add } = create();
      const key = createKey();
      const sessions = Array.from({ length: SESSIONS_PER_KEY }, () => add(0, key)!);
      for (const index of [4, 2, 7]) {
        sessions[index]!.lastAt = -SESSION_MS - 1;
        table.get(sessions[index]!.id, 0);
        expect([add(0, key) !== undefined, add(0, key)]).toEqual([true, undefined]);
      }
    });
  });

  it('lets an address with its share of a shared key give up its own session', () => {
    const capacity = 8;
    const { table, removed, add } = create({ capacity });
    const key = createKey();
    const quota = holderQuota(capacity);
    const other = add(0, key, 2)!;
    const sessions = Array.from({ length: quota }, () => add(0, key, 1)!);
    expect(add(QUIET_MS - 1, key, 1)).toBeUndefined();
    expect(add(QUIET_MS, key, 1)).toBeDefined();
    expect([removed, table.size]).toEqual([[sessions[0]!.id], quota + 1]);
    expect(table.get(other.id, QUIET_MS)).toBe(other);
    sessions[1]!.lastAt = -SESSION_MS;
    table.get(sessions[1]!.id, QUIET_MS);
    expect(add(QUIET_MS, key, 1)).toBeDefined();
    expect(removed).toEqual([sessions[0]!.id, sessions[1]!.id]);
  });

  describe('that is full', () => {
    it('evicts the session with the oldest request, and none with a request in the last 30 s', () => {
      const { table, removed, add } = create({ capacity: 3 });
      const [first, second, third] = [add(0)!, add(0)!, add(0)!];
      table.touch(second, 2000);
      expect(add(29_999)).toBeUndefined();
      expect(add(30_000)).toBeDefined();
      expect(add(30_000)).toBeDefined();
      expect(removed).toEqual([first.id, third.id]);
      expect(add(31_999)).toBeUndefined();
      expect(add(32_000)).toBeDefined();
      expect(removed).toEqual([first.id, third.id, second.id]);
    });

    it('finds an idle session behind those whose requests come less than a second apart', () => {
      const { table, removed, add } = create({ capacity: 65 });
      const sessions = Array.from({ length: 65 }, () => add(0)!);
      const idle = sessions.at(-1)!;
      for (let now = 900; now <= QUIET_MS; now += 900) {
        sessions.filter((session) => session !== idle).forEach((session) => table.touch(session, now));
      }
      expect([add(QUIET_MS) !== undefined, removed]).toEqual([true, [idle.id]]);
    });

    it('takes room from a shared key with more sessions than a device needs, for a session of that key', () => {
      const { table, removed, add } = create({ capacity: SESSIONS_PER_KEY + 1 });
      const key = createKey();
      add(0);
      const shared = Array.from({ length: SESSIONS_PER_KEY }, (_, address) => add(1, key, address)!);
      const [first, ...rest] = shared.map(({ id }) => id);
      // A request puts the first one behind the others.
      table.touch(shared[0]!, 2000);
      for (let address = 100; address < 103; address++) {
        expect(add(QUIET_MS + 1, key, address)).toBeDefined();
      }
      expect(removed).toEqual(rest.slice(0, 3));
      expect([table.size, table.get(first!, QUIET_MS)]).toEqual([SESSIONS_PER_KEY + 1, shared[0]]);
    });
  });

  it('ends the sessions of keys that are not accepted any more', () => {
    const { table, removed, add } = create();
    const [kept, dropped] = [createKey(), createKey()];
    const sessions = [add(0, kept)!, add(0, dropped)!, add(0, dropped, 1)!];
    table.keep((key) => key === kept);
    expect(removed).toEqual([sessions[1]!.id, sessions[2]!.id]);
    expect(sessions.map(({ isEnded }) => isEnded)).toEqual([false, true, true]);
  });
});
