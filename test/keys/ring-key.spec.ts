import { randomBytes } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { KeyRing, ReadyKeys, RingKey } from '../../lib/keys/index.js';
import { Sealer, createRandomBlockSource } from '../../lib/protocol/index.js';

const CAPACITY = 3;

function create(count: number) {
  const ready = new ReadyKeys(createRandomBlockSource(), CAPACITY);
  const bytes = Array.from({ length: count }, () => randomBytes(32));
  return {
    readyKeys: ready,
    bytes,
    keys: bytes.map((key, index) => new RingKey(`board-${index}`, key, ready)),
  };
}

describe('RingKey', () => {
  it('keeps its cipher while there is room, and sets up another one after it gave it up', () => {
    const { bytes, keys } = create(CAPACITY + 1);
    const sealers = keys.slice(0, CAPACITY).map((key) => key.sealer);
    expect(keys.slice(0, CAPACITY).map((key, index) => key.sealer === sealers[index])).toEqual([true, true, true]);
    const sealed = keys[CAPACITY]!.sealer.seal('hello');
    expect(keys[0]!.sealer).not.toBe(sealers[0]);
    expect(keys[2]!.sealer).toBe(sealers[2]);
    expect(new Sealer(bytes[CAPACITY]!).open(sealed.ciphertext, sealed.iv).toString().trimEnd()).toBe('hello');
  });

  it('needs no cipher for an attempt', () => {
    const { bytes, keys } = create(CAPACITY + 1);
    const sealers = keys.slice(0, CAPACITY).map((key) => key.sealer);
    const target = Buffer.alloc(16);
    keys[CAPACITY]!.openBlock(new Sealer(bytes[CAPACITY]!).seal('hello'), target);
    expect(target.toString().trimEnd()).toBe('hello');
    expect(keys.slice(0, CAPACITY).map((key) => key.sealer)).toEqual(sealers);
  });

  it('with a cipher uses it for an attempt', () => {
    const { bytes, keys } = create(1);
    const open = vi.spyOn(keys[0]!.sealer, 'open');
    const target = Buffer.alloc(16);
    keys[0]!.openBlock(new Sealer(bytes[0]!).seal('hello'), target);
    expect(target.toString().trimEnd()).toBe('hello');
    expect(open).toHaveBeenCalledOnce();
  });

  it('that has left opens nothing, even if another key has its memory now', () => {
    const { bytes, keys, readyKeys } = create(1);
    keys[0]!.leave();
    const other = randomBytes(32);
    readyKeys.memory.add(other);
    for (const contents of [bytes[0]!, other]) {
      const target = Buffer.alloc(16);
      keys[0]!.openBlock(new Sealer(contents).seal('hello'), target);
      expect(target).toEqual(Buffer.alloc(16));
    }
  });

  it('that has left is overwritten, opens nothing, and still seals replies', () => {
    const { bytes, keys } = create(1);
    const [key, contents] = [keys[0]!, bytes[0]!];
    const target = Buffer.alloc(16);
    key.leave();
    key.leave();
    key.openBlock(new Sealer(contents).seal('hello'), target);
    expect(target.toString().trimEnd()).not.toBe('hello');
    const { ciphertext, iv } = key.sealer.seal('reply');
    expect(new Sealer(contents).open(ciphertext, iv).toString().trimEnd()).toBe('reply');
    expect(key.withBytes((copy) => Buffer.from(copy))).toEqual(contents);
  });

  it('shows no key', () => {
    const { bytes, keys } = create(1);
    expect(JSON.stringify(keys[0])).not.toContain(bytes[0]!.toString('hex').slice(0, 8));
    expect(Object.values(keys[0]!).some((value) => value instanceof Uint8Array)).toBe(false);
  });
});

describe('KeyRing', () => {
  it('that is replaced overwrites the keys that have left, and no other', () => {
    const [kept, gone] = [randomBytes(32), randomBytes(32)];
    const previous = new KeyRing([
      { device: 'kept', key: kept },
      { device: 'gone', key: gone },
    ]);
    previous.retire(new KeyRing([{ device: 'kept', key: kept }], previous));
    const opened = [kept, gone].map((contents, index) => {
      const target = Buffer.alloc(16);
      previous.keys[index]!.openBlock(new Sealer(contents).seal('hello'), target);
      return target.toString().trimEnd() === 'hello';
    });
    expect(opened).toEqual([true, false]);
    expect(previous.keys.map(({ v2Id }) => previous.withV2Id(v2Id).length)).toEqual([1, 0]);
  });
});

describe('KeyRing of 10,000 keys', () => {
  it('has ciphers for a bounded number of them', () => {
    const keys = Array.from({ length: 10_000 }, (_, index) => ({ device: `board-${index}`, key: randomBytes(32) }));
    const ring = new KeyRing(keys);
    const first = ring.keys.map((key) => key.sealer);
    // From the last one on: to ask for the sealer of a key that gave it up takes away that of another.
    const kept = ring.keys.toReversed().findIndex((key, index) => key.sealer !== first.at(-1 - index));
    expect(kept).toBe(2048);
  });
});
