import { describe, expect, it } from 'vitest';
import { KeptReplies, REPLY_MS, type ReplyOwner } from '../../../lib/exchange/v2/kept-replies.js';
import { Random } from '../../../lib/testing/random.js';

const create = (): ReplyOwner => ({ reply: undefined });

/** What one reply of this length counts. */
function costOf(datagram: Buffer): number {
  const replies = new KeptReplies(Infinity);
  replies.keep(create(), datagram, 0);
  return replies.bytes;
}

describe('KeptReplies', () => {
  it('counts the memory that a datagram holds, and some for each reply', () => {
    expect(costOf(Buffer.alloc(1000))).toBe(1256);
    expect(costOf(Buffer.alloc(1000).subarray(0, 10))).toBe(costOf(Buffer.alloc(1000)));
  });

  it('keeps exactly its budget, and evicts the oldest reply beyond it', () => {
    const datagram = Buffer.alloc(1000);
    const replies = new KeptReplies(2 * costOf(datagram));
    const owners = [create(), create(), create()] as const;
    owners.slice(0, 2).forEach((owner) => replies.keep(owner, datagram, 0));
    expect(owners.map(({ reply }) => reply !== undefined)).toEqual([true, true, false]);
    replies.keep(owners[2], datagram, 0);
    expect(owners.map(({ reply }) => reply !== undefined)).toEqual([false, true, true]);
  });

  it('agrees with a plain list, whatever is kept, replaced, forgotten and outlived', () => {
    const random = new Random(1);
    const maxBytes = 10_000;
    const replies = new KeptReplies(maxBytes);
    const owners = Array.from({ length: 20 }, create);
    /** Oldest first. */
    let list: Array<{ owner: ReplyOwner; bytes: number; keptAt: number }> = [];
    let now = 0;
    for (let step = 0; step < 5000; step++) {
      const owner = random.pick(owners);
      now += random.chance(0.02) ? REPLY_MS : random.below(200);
      const act = random.pick(['keep', 'keep', 'forget', 'find'] as const);
      if (act === 'keep') {
        const datagram = Buffer.alloc(random.between(1, 2000));
        replies.keep(owner, datagram, now);
        list = [...list.filter((each) => each.owner !== owner), { owner, bytes: costOf(datagram), keptAt: now }];
        list = list.filter(({ keptAt }) => now - keptAt <= REPLY_MS);
        while (list.reduce((sum, { bytes }) => sum + bytes, 0) > maxBytes) {
          list.shift();
        }
      } else {
        const isGone = act === 'forget' || list.some((each) => each.owner === owner && now - each.keptAt > REPLY_MS);
        list = isGone ? list.filter((each) => each.owner !== owner) : list;
        if (act === 'forget') {
          replies.forget(owner);
        } else {
          expect(replies.find(owner, now) !== undefined).toBe(list.some((each) => each.owner === owner));
        }
      }
      expect(owners.filter(({ reply }) => reply)).toEqual(
        owners.filter((each) => list.some((entry) => entry.owner === each)),
      );
      expect(replies.bytes).toBe(list.reduce((sum, { bytes }) => sum + bytes, 0));
    }
  });
});
