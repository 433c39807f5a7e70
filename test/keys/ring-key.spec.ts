import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { KeyRing, ReadyKeys, RingKey } from '../../lib/keys/index.js';
import { Sealer, createRandomBlockSource } from '../../lib/protocol/index.js';

const CAPACITY = 3;

function create(count: number) {
  const ready = new ReadyKeys(createRandomBlockSource(), CAPACITY);
  const bytes = Array.from({ length: count }, () => randomBytes(32));
  return { bytes, keys: bytes.map((key, index) => new RingKey(`board-${index}`, key, `${index}`, ready)) };
}

describe('RingKey', () => {
  it('keeps its cipher while there is room, and sets up another one after it gave it up', () => {
    const { bytes, keys } = create(CAPACITY + 1);
    const sealers = keys.slice(0, CAPACITY).map((key) => key.sealer);
    expect(keys.slice(0, CAPACITY).map((key) => key.sealer === sealers[Number(key.digest)])).toEqual([
      true,
      true,
      true,
    ]);
    const sealed = keys[CAPACITY]!.sealer.seal('hello');
    expect(keys[0]!.sealer).not.toBe(sealers[0]);
    expect(keys[2]!.sealer).toBe(sealers[2]);
    expect(new Sealer(bytes[CAPACITY]!).open(sealed.ciphertext, sealed.iv).toString().trimEnd()).toBe('hello');
  });

  it('takes no cipher from another key for an attempt', () => {
    const { bytes, keys } = create(CAPACITY + 1);
    const sealers = keys.slice(0, CAPACITY).map((key) => key.sealer);
    const { ciphertext, iv } = new Sealer(bytes[CAPACITY]!).seal('hello');
    const trial = keys[CAPACITY]!.trialSealer;
    expect(trial.open(ciphertext, iv).toString().trimEnd()).toBe('hello');
    expect(keys[CAPACITY]!.trialSealer).not.toBe(trial);
    expect(keys.slice(0, CAPACITY).map((key) => key.sealer)).toEqual(sealers);
  });

  it('shows no key', () => {
    const { bytes, keys } = create(1);
    expect(JSON.stringify(keys[0])).not.toContain(bytes[0]!.toString('hex').slice(0, 8));
    expect(Object.values(keys[0]!).some((value) => value instanceof Uint8Array)).toBe(false);
  });
});

describe('KeyRing of 10,000 keys', () => {
  it('has ciphers for a bounded number of them', () => {
    const keys = Array.from({ length: 10_000 }, (_, index) => ({ device: `board-${index}`, key: randomBytes(32) }));
    const ring = new KeyRing(keys);
    const first = ring.keys.map((key) => key.sealer);
    const kept = ring.keys.filter((key, index) => key.trialSealer === first[index]).length;
    expect(kept).toBe(2048);
  });
});
