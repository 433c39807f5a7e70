/** The table of verified addresses when it is full. */
import { describe, expect, it } from 'vitest';
import {
  KEYS_PER_ADDRESS,
  VERIFIED_SOURCE_MS,
  VerifiedSources,
} from '../../../lib/exchange/limits/verified-sources.js';
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

  it('has all of them for a key with a name that several boards share', () => {
    const [fleet] = new KeyRing([{ device: 'fleet', key: KEY, shared: true }]).keys as [RingKey];
    const sources = new VerifiedSources();
    recordAll(sources, fleet, many);
    const left = many.filter((address) => sources.has(prefixOf(address), many.length));
    expect(left.length).toBeGreaterThan(0.9 * ENTRIES);
  });

  describe('with the boards from before a restart, the latest first', () => {
    const DAYS = VERIFIED_SOURCE_MS;
    const { keys } = new KeyRing(
      Array.from({ length: KEYS_PER_ADDRESS + 1 }, (_, index) => ({
        device: `${index}`,
        key: Buffer.alloc(32, `k${index};`),
      })),
    );

    it('knows an address by its latest board, although others are silent for longer', () => {
      const sources = new VerifiedSources();
      keys.slice(0, 3).forEach((key, days) => sources.record(prefixOf(1), key, -days * DAYS));
      expect([sources.has(prefixOf(1), DAYS - 1), sources.has(prefixOf(1), DAYS)]).toEqual([true, false]);
      expect(sources.keysOf(prefixOf(1))).toEqual([keys[2], keys[1], keys[0]]);
    });

    it('keeps the latest keys of an address, and the latest addresses', () => {
      const sources = new VerifiedSources();
      keys.forEach((key, index) => sources.record(prefixOf(1), key, -index));
      expect(sources.keysOf(prefixOf(1))).toEqual(keys.slice(0, KEYS_PER_ADDRESS).toReversed());
      many.forEach((address) => sources.record(prefixOf(address), SHARED, -address));
      const latest = many.slice(0, ENTRIES / 4);
      expect(latest.filter((address) => !sources.has(prefixOf(address), 1)).length).toBeLessThan(ENTRIES / 100);
    });
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

  it('knows an address for a day, and 128 keys of it', () => {
    const sources = new VerifiedSources();
    sources.record(prefixOf(1), NAMED, 5);
    expect([sources.has(prefixOf(1), 86_400_004), sources.has(prefixOf(1), 86_400_005)]).toEqual([true, false]);
    expect(KEYS_PER_ADDRESS).toBe(128);
  });

  it(`has the last ${KEYS_PER_ADDRESS} keys with a name for an address, the latest last, until they leave the ring`, () => {
    const fleet = Array.from({ length: KEYS_PER_ADDRESS + 1 }, (_, index) => ({
      device: `${index}`,
      key: Buffer.alloc(32, `k${index};`),
    }));
    const ring = new KeyRing(fleet);
    const sources = new VerifiedSources();
    const all = ring.keys.slice(0, KEYS_PER_ADDRESS);
    all.forEach((key, index) => sources.record(prefixOf(1), key, index));
    expect(sources.keysOf(prefixOf(1))).toEqual(all);
    sources.record(prefixOf(1), SHARED, 500);
    sources.record(prefixOf(1), all[3]!, 500);
    expect(sources.keysOf(prefixOf(1))).toEqual([...all.filter((key) => key !== all[3]), all[3]]);
    const last = ring.keys.at(-1)!;
    sources.record(prefixOf(1), last, 600);
    expect(sources.keysOf(prefixOf(1))).toHaveLength(KEYS_PER_ADDRESS);
    expect(sources.keyOf(prefixOf(1))).toBe(last);
    sources.record(prefixOf(2), last, 700);
    expect([sources.keysOf(prefixOf(2)), sources.keysOf(prefixOf(3))]).toEqual([[last], []]);
    sources.retain(new KeyRing(fleet.slice(0, 2), ring));
    const left = sources.keysOf(prefixOf(1));
    expect(left.every((key) => all.slice(0, 2).includes(key))).toBe(true);
    expect(left.length).toBeGreaterThan(0);
    expect(sources.keysOf(prefixOf(2))).toEqual([]);
  });
});
