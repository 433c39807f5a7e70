import { describe, expect, it } from 'vitest';
import { LastAdded } from '../lib/last-added.js';

describe('LastAdded', () => {
  it('returns the item that was added first, once there is no room', () => {
    const lastAdded = new LastAdded<string>(3);
    expect([...'abcdefg'].map((item) => lastAdded.add(item))).toEqual([undefined, undefined, undefined, ...'abcd']);
  });

  it('may have room for one', () => {
    const lastAdded = new LastAdded<string>(1);
    expect([...'abc'].map((item) => lastAdded.add(item))).toEqual([undefined, 'a', 'b']);
  });
});
