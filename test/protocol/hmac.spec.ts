import { createHmac, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Hmac } from '../../lib/protocol/index.js';

describe('Hmac', () => {
  it.each([0, 1, 31, 32, 63, 64, 65, 200])(
    "is node:crypto's under a key of %i bytes, for texts of every length",
    (length) => {
      const key = randomBytes(length);
      const hmac = new Hmac(key);
      // Then shorter again, so the end of a longer text would be noticed.
      for (const texts of [300, 128, 129, 64, 55, 56, 1, 0]) {
        const text = 'é'.repeat(texts);
        expect(hmac.digest(text)).toBe(createHmac('sha256', key).update(text, 'latin1').digest('binary'));
      }
    },
  );
});
