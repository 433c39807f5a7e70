import { describe, expect, it } from 'vitest';
import { packPair, unpackPair } from '../../../lib/exchange/ids/pair-history.js';

/** The last slot of 85 years. */
const LAST_SLOT = 2 ** 28 - 1;

describe('packPair', () => {
  it('keeps slot, number and whether it was single, up to the largest values', () => {
    for (const slot of [0, 1, 17, LAST_SLOT]) {
      for (const n of [0, 1, 1000, 2 ** 24 - 1]) {
        for (const isSingle of [true, false]) {
          expect(unpackPair(packPair({ slot, n }, isSingle))).toEqual({ slot, n, isSingle });
        }
      }
    }
  });
});
