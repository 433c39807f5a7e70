import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';

describe('deriveKey', () => {
  it.each([0, 1, 32, 33, 1000])('is the SHA-256 of a key file of %i bytes', (length) => {
    const contents = randomBytes(length);
    expect(deriveKey(contents)).toEqual(createHash('sha256').update(contents).digest());
  });
});

describe('fingerprint', () => {
  it('distinguishes keys by 8 hex digits that are not part of the key or its hash', () => {
    const key = randomBytes(32);
    expect(fingerprint(key)).toMatch(/^[0-9a-f]{8}$/);
    expect(fingerprint(key)).not.toBe(fingerprint(randomBytes(32)));
    expect(key.toString('hex')).not.toContain(fingerprint(key));
    expect(deriveKey(key).toString('hex')).not.toContain(fingerprint(key));
  });
});
