import { describe, expect, it } from 'vitest';
import {
  MAX_METADATA_ENTRIES,
  MAX_METADATA_NAME_LENGTH,
  MAX_METADATA_TEXT_LENGTH,
  checkMetadata,
  readMetadata,
} from '../../lib/protocol/metadata.js';

const entries = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`n${index}`, 'x']));

describe('readMetadata', () => {
  it('keeps texts, and drops and counts everything else', () => {
    const value = { trace: 'x', n: 2, none: null, list: ['x'], nested: { a: 'b' }, bytes: Buffer.from('x'), yes: true };
    expect(readMetadata(value)).toEqual({ metadata: { trace: 'x' }, droppedMetadata: 6 });
  });

  it('returns a frozen ordinary object', () => {
    const { metadata } = readMetadata({ trace: 'x' });
    expect(Object.isFrozen(metadata)).toBe(true);
    expect(`${metadata}`).toBe('[object Object]');
  });

  it(`keeps ${MAX_METADATA_ENTRIES} entries and drops the next`, () => {
    expect(readMetadata(entries(MAX_METADATA_ENTRIES))).toMatchObject({ droppedMetadata: 0 });
    const { metadata, droppedMetadata } = readMetadata(entries(MAX_METADATA_ENTRIES + 1));
    expect(Object.keys(metadata!)).toHaveLength(MAX_METADATA_ENTRIES);
    expect(droppedMetadata).toBe(1);
  });

  it.each([
    ['text', MAX_METADATA_TEXT_LENGTH, (length: number) => ({ a: 'x'.repeat(length) })],
    ['name', MAX_METADATA_NAME_LENGTH, (length: number) => ({ ['x'.repeat(length)]: 'a' })],
  ])('keeps a %s of %i characters and drops a longer one', (_what, length, make) => {
    expect(readMetadata(make(length))).toMatchObject({ droppedMetadata: 0 });
    expect(readMetadata(make(length + 1))).toEqual({ metadata: undefined, droppedMetadata: 1 });
  });

  it.each([null, 'x', 7, ['x'], new Set(['x']), Buffer.from('x')])('drops %s, which is no dict', (value) => {
    expect(readMetadata(value)).toEqual({ metadata: undefined, droppedMetadata: 1 });
  });

  it('counts nothing without metadata', () => {
    expect(readMetadata(undefined)).toEqual({ metadata: undefined, droppedMetadata: 0 });
  });
});

describe('checkMetadata', () => {
  it('accepts a flat record of texts within the limits', () => {
    expect([...checkMetadata({ trace: 'x', absent: undefined })]).toEqual([['trace', 'x']]);
    expect(checkMetadata(entries(MAX_METADATA_ENTRIES)).size).toBe(MAX_METADATA_ENTRIES);
  });

  it.each([
    ['a text', 'x'],
    ['a list', ['x']],
    ['a number in it', { n: 2 }],
    ['a list in it', { tracestate: [{}] }],
    ['null in it', { n: null }],
    ['too many entries', entries(MAX_METADATA_ENTRIES + 1)],
    ['too long a text', { a: 'x'.repeat(MAX_METADATA_TEXT_LENGTH + 1) }],
    ['too long a name', { ['x'.repeat(MAX_METADATA_NAME_LENGTH + 1)]: 'a' }],
  ])('refuses %s', (_what, value) => {
    expect(() => checkMetadata(value)).toThrow(expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }));
  });
});
