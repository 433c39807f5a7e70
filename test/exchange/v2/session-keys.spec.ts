import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type KeyOwner, MAX_SESSIONS_WITH_CIPHERS, SessionKeys } from '../../../lib/exchange/v2/session-keys.js';

describe('SessionKeys', () => {
  it('keeps the ciphers of a bounded number of sessions, and sets the others up again', () => {
    const keys = new SessionKeys();
    const owners = Array.from({ length: MAX_SESSIONS_WITH_CIPHERS + 1 }, (): KeyOwner => {
      return { place: keys.take(randomBytes(32)), ciphers: undefined };
    });
    const [first, second, last] = [owners[0]!, owners[1]!, owners.at(-1)!];
    owners.slice(0, -1).forEach((owner) => keys.ciphersOf(owner));
    const ciphers = first.ciphers!;
    const sealed = ciphers.requests.texts.seal(1, 'hello');
    keys.ciphersOf(last);
    expect([first.ciphers === undefined, second.ciphers === undefined]).toEqual([true, false]);
    expect(keys.ciphersOf(first)).not.toBe(ciphers);
    expect(first.ciphers!.requests.texts.seal(1, 'hello')).toEqual(sealed);
    expect(second.ciphers).toBeUndefined();
  });

  it('overwrites the keys of an ended session, and gives its place to the next one', () => {
    const keys = new SessionKeys();
    const owner: KeyOwner = { place: keys.take(randomBytes(32)), ciphers: undefined };
    const tagKey = keys.ciphersOf(owner).requests.tagKey();
    keys.release(owner);
    expect([Buffer.from(tagKey), owner.ciphers]).toEqual([Buffer.alloc(32), undefined]);
    expect(keys.take(randomBytes(32))).toBe(owner.place);
  });
});
