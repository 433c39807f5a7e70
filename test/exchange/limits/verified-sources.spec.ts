/** The table of verified addresses when it is full. */
import { describe, expect, it } from 'vitest';
import { VerifiedSources } from '../../../lib/exchange/limits/verified-sources.js';
import { KeyRing, type RingKey } from '../../../lib/keys/index.js';
import { KEY, OTHER_KEY } from '../../support/pure-device.js';

const ENTRIES = 65_536;

const [SHARED, NAMED] = new KeyRing([
  { device: undefined, key: KEY },
  { device: 'named', key: OTHER_KEY },
]).keys as [RingKey, RingKey];

const prefixOf = (address: number) => ({ high: 0xffff_ffff, low: address, networkHigh: 0, networkLow: 0 });

function recordAll(sources: VerifiedSources, key: RingKey, addresses: readonly number[]): void {
  addresses.forEach((address) => sources.record(prefixOf(address), key, address));
}

describe('VerifiedSources', () => {
  const many = Array.from({ length: 4 * ENTRIES }, (_, index) => index);

  it('has a quarter of its entries for one named key', () => {
    const sources = new VerifiedSources();
    recordAll(sources, NAMED, many);
    const left = many.filter((address) => sources.has(prefixOf(address), many.length));
    expect(left.length).toBeGreaterThan(ENTRIES / 5);
    expect(left.length).toBeLessThanOrEqual(ENTRIES / 4);
    expect(left.every((address) => sources.keyOf(prefixOf(address)) === NAMED)).toBe(true);
  });

  it('suggests no key of an address whose entry it has reused', () => {
    const sources = new VerifiedSources();
    recordAll(sources, NAMED, many.slice(0, ENTRIES));
    const others = many.slice(ENTRIES);
    recordAll(sources, SHARED, others);
    const left = others.filter((address) => sources.has(prefixOf(address), many.length));
    expect(left.length).toBeGreaterThan(0.9 * ENTRIES);
    expect(left.filter((address) => sources.keyOf(prefixOf(address)) !== undefined)).toEqual([]);
  });
});
