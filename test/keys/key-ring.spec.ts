import { randomBytes } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { KeyRing, ReadyKeys, RingKey } from '../../lib/keys/index.js';
import { createRandomBlockSource } from '../../lib/protocol/index.js';
import { fingerprint } from '../../lib/keys/index.js';
import { KEY, OTHER_KEY } from '../support/pure-device.js';

describe('KeyRing', () => {
  const ring = new KeyRing([
    { device: 'a', key: KEY },
    { device: 'b', key: OTHER_KEY },
  ]);

  it('keeps the order of its keys, and tells whether a key is in it', () => {
    expect(ring.keys.map(({ device }) => device)).toEqual(['a', 'b']);
    expect(ring.keys.map((key) => ring.has(key))).toEqual([true, true]);
    const [other] = new KeyRing([{ device: 'a', key: KEY }]).keys;
    expect(ring.has(other!)).toBe(false);
  });

  it('names the changes by device and fingerprint', () => {
    const fresh = randomBytes(32);
    const next = new KeyRing(
      [
        { device: 'a', key: KEY },
        { device: 'b', key: fresh },
      ],
      ring,
    );
    expect(next.describeChange(ring)).toBe(
      `2 in all, added b (key ${fingerprint(fresh)}); removed b (key ${fingerprint(OTHER_KEY)})`,
    );
    expect(next.describeChange(next)).toBe('2 in all, none added or removed');
  });

  it.each([
    { count: 8, ending: /^(?:key [0-9a-f]{8}, ){7}key [0-9a-f]{8}$/ },
    { count: 9, ending: /^(?:key [0-9a-f]{8}, ){7}key [0-9a-f]{8} and 1 more$/ },
    { count: 1000, ending: /^(?:key [0-9a-f]{8}, ){7}key [0-9a-f]{8} and 992 more$/ },
  ])('names $count keys in a log line of bounded length', ({ count, ending }) => {
    const keys = Array.from({ length: count }, () => ({ device: undefined, key: randomBytes(32) }));
    expect(new KeyRing(keys).describe()).toMatch(ending);
  });

  it('lets the name of a device begin no line of its own', () => {
    const device = 'a\n[Nest] \u001b[31m';
    const escaped = String.raw`a\n[Nest] \u001b[31m`;
    expect(new KeyRing([{ device, key: KEY }]).describe()).toBe(`${escaped} (key ${fingerprint(KEY)})`);
    expect(new KeyRing([]).describeChange(new KeyRing([{ device, key: KEY }]))).toContain(`removed ${escaped} (`);
    const copies = () =>
      new KeyRing([
        { device: 'b', key: KEY },
        { device, key: KEY },
      ]);
    expect(copies).toThrow(`device "${escaped}" and device "b" have the same key`);
  });

  it('tells two keys apart that have one id', () => {
    const [other] = new KeyRing([{ device: 'a', key: OTHER_KEY }]).keys;
    const member = new RingKey('a', KEY, new ReadyKeys(createRandomBlockSource()), other!.v2Id);
    const before = new KeyRing([member]);
    const [fresh] = new KeyRing([{ device: 'a', key: OTHER_KEY }], before).keys;
    expect(fresh).not.toBe(member);
    expect(fresh!.is(OTHER_KEY)).toBe(true);
    const both = new KeyRing([member, { device: 'b', key: OTHER_KEY }], before);
    expect(both.keys).toHaveLength(2);
    expect(both.withV2Id(other!.v2Id)).toHaveLength(2);
    expect(both.withV2Id(other!.v2Id)).toEqual(expect.arrayContaining([...both.keys]));
  });

  it('finds a key by its id without a look at the others, from the first time on', () => {
    const fleet = new KeyRing(
      Array.from({ length: 100 }, (_, index) => ({ device: `${index}`, key: randomBytes(32) })),
    );
    const key = fleet.keys[7]!;
    const { v2Id } = key;
    const looked = vi.fn();
    for (const each of fleet.keys) {
      Object.defineProperty(each, 'v2Id', { get: looked });
    }
    expect(fleet.withV2Id(v2Id)).toEqual([key]);
    expect(fleet.withV2Id('nobody')).toEqual([]);
    expect(looked).not.toHaveBeenCalled();
  });

  it('refuses one key for two devices and names them, not the key', () => {
    const create = () =>
      new KeyRing([
        { device: 'a', key: KEY },
        { device: undefined, key: Buffer.from(KEY) },
      ]);
    expect(create).toThrow(
      expect.objectContaining({
        code: 'BEN_KEY_DUPLICATE',
        message: expect.stringMatching(/shared key.*"a"/),
      }),
    );
    expect(create).not.toThrow(KEY.toString('hex'));
  });
});
