import { createDecipheriv, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { derivePair, openId, slotAt, toPair } from '../../../lib/exchange/index.js';
import { Hmac, Sealer, stripWhiteSpace } from '../../../lib/protocol/index.js';
import { KEY, OTHER_KEY } from '../../support/pure-device.js';

const secret = new Hmac(Buffer.alloc(32, 7));

describe('derivePair', () => {
  it('gives the same 32 bytes for the same endpoint, slot and n', () => {
    expect(derivePair(secret, 'a|1', 5, 0)).toBe(derivePair(secret, 'a|1', 5, 0));
  });

  it('gives other bytes for another secret, endpoint, slot or n', () => {
    const pairs = [
      derivePair(secret, 'a|1', 5, 0),
      derivePair(new Hmac(Buffer.alloc(32, 8)), 'a|1', 5, 0),
      derivePair(secret, 'a|2', 5, 0),
      derivePair(secret, 'b|1', 5, 0),
      derivePair(secret, 'a|1', 6, 0),
      derivePair(secret, 'a|1', 5, 1),
      // Digits that could be mistaken for each other without separators.
      derivePair(secret, 'a|1', 50, 1),
      derivePair(secret, 'a|15', 0, 1),
    ];
    expect(new Set(pairs).size).toBe(pairs.length);
  });

  it('is one block and its IV', () => {
    const { ciphertext, iv } = toPair(derivePair(secret, 'a|1', 5, 0));
    expect([ciphertext.length, iv.length]).toEqual([16, 16]);
  });
});

describe('openId', () => {
  it('is the id that a device computes from the pair, under any key', () => {
    for (const key of [KEY, OTHER_KEY, randomBytes(32)]) {
      const pair = toPair(derivePair(secret, 'a|1', 5, 0));
      const decipher = createDecipheriv('aes-256-cbc', key, pair.iv).setAutoPadding(false);
      expect(openId(new Sealer(key), pair)).toEqual(stripWhiteSpace(decipher.update(pair.ciphertext)));
    }
  });
});

describe('slotAt', () => {
  it('changes every 10 s', () => {
    expect([0, 9999.9, 10_000, 19_999].map(slotAt)).toEqual([0, 0, 1, 1]);
  });
});
