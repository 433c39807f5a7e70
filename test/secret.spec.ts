import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../lib/secret.js';

const BYTES = Buffer.from('0123456789abcdef0123456789abcdef');

describe('Secret', () => {
  it('holds a copy of its own memory, and leaves the bytes that it was given alone', () => {
    const given = Buffer.from(BYTES);
    const secret = new Secret(given);
    const held = secret.expose();
    expect(held).toEqual(BYTES);
    expect([held.byteOffset, held.buffer.byteLength]).toEqual([0, BYTES.length]);
    secret.wipe();
    expect(held.every((byte) => byte === 0)).toBe(true);
    expect(given).toEqual(BYTES);
  });

  it.each([
    ['JSON.stringify', (value: unknown) => JSON.stringify(value)],
    ['inspect', (value: unknown) => inspect(value, { depth: Infinity, showHidden: true, getters: true })],
    ['inspect without custom', (value: unknown) => inspect(value, { showHidden: true, customInspect: false })],
    ['String', String],
  ])('shows nothing to %s', (_name, print) => {
    const text = print({ nested: [new Secret(BYTES)], toString: () => String(new Secret(BYTES)) });
    expect(text).not.toContain('0123456789');
    expect(text).not.toContain('48,49,50');
    expect(text).not.toContain('30 31 32');
  });
});
