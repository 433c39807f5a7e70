import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { KeyMemory, bytesAt } from '../../lib/keys/key-memory.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('KeyMemory', () => {
  it('keeps each key where it is, however many follow', () => {
    const memory = new KeyMemory();
    const keys = Array.from({ length: 200 }, () => randomBytes(32));
    const places = keys.map((key) => memory.add(key));
    expect(places.map((place) => Buffer.from(bytesAt(place)))).toEqual(keys);
  });

  it('overwrites a key that is removed, and gives its place to the next one', () => {
    const memory = new KeyMemory();
    const [first, second] = [memory.add(randomBytes(32)), memory.add(Buffer.alloc(32, 2))];
    memory.remove(first);
    expect(bytesAt(first)).toEqual(Buffer.alloc(32));
    const third = memory.add(Buffer.alloc(32, 3));
    expect(third).toEqual(first);
    expect([bytesAt(second)[0], bytesAt(third)[0]]).toEqual([2, 3]);
  });

  it('overwrites keys when nobody holds a place among them any more, and not before', async () => {
    const create = () => {
      const place = new KeyMemory().add(Buffer.alloc(32, 1));
      return { bytes: bytesAt(place), place };
    };
    const held = create();
    const { bytes } = create();
    await expect
      .poll(
        () => {
          collectGarbage();
          return bytes.every((byte) => byte === 0);
        },
        { timeout: 20_000 },
      )
      .toBe(true);
    expect(bytesAt(held.place)).toEqual(Buffer.alloc(32, 1));
    expect(held.bytes).toEqual(Buffer.alloc(32, 1));
  });
});
