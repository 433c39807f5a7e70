import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type EnvelopeKey,
  MIN_ENVELOPE_BYTES,
  formatEnvelope,
  looksLikeEnvelope,
  parseEnvelope,
} from '../../lib/protocol/index.js';

const ORDERS: EnvelopeKey[][] = [
  ['hash', 'data', 'iv'],
  ['hash', 'iv', 'data'],
  ['data', 'hash', 'iv'],
  ['data', 'iv', 'hash'],
  ['iv', 'hash', 'data'],
  ['iv', 'data', 'hash'],
];
const envelope = { hash: randomBytes(32), data: randomBytes(48), iv: randomBytes(16) };
const text = formatEnvelope(envelope).toString('latin1');

const literal = (byte: string, length: number) => `b'${byte.repeat(length)}'`;
const envelopeText = ({ hash = literal('h', 32), data = literal('d', 16), iv = literal('i', 16) } = {}) =>
  `{'hash': ${hash}, 'data': ${data}, 'iv': ${iv}}`;
const parseText = (datagram: string) => parseEnvelope(Buffer.from(datagram, 'latin1'));

describe('parseEnvelope', () => {
  it.each(ORDERS)('reads the keys in the order %s, %s, %s', (...order) => {
    expect(parseEnvelope(formatEnvelope(envelope, order))).toEqual(envelope);
  });

  it('reads back every byte value, for any bytes', () => {
    const bytes = (length: number) =>
      fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Buffer.from(b));
    fc.assert(
      fc.property(
        bytes(32),
        bytes(16),
        fc.integer({ min: 1, max: 8 }).chain((blocks) => bytes(16 * blocks)),
        fc.constantFrom(...ORDERS),
        (hash, iv, data, order) => {
          expect(parseEnvelope(formatEnvelope({ hash, data, iv }, order))).toEqual({
            hash,
            data,
            iv,
          });
        },
      ),
    );
  });

  it('reads hex digits of either case', () => {
    const iv = literal('\\xaF', 16);
    expect(parseText(envelopeText({ iv }))).toMatchObject({ iv: Buffer.alloc(16, 0xaf) });
  });

  it.each([
    ['a hash of 31 bytes', envelopeText({ hash: literal('h', 31) })],
    ['a hash of 33 bytes', envelopeText({ hash: literal('h', 33) })],
    ['an IV of 15 bytes', envelopeText({ iv: literal('i', 15) })],
    ['an IV of 17 bytes', envelopeText({ iv: literal('i', 17) })],
    ['no data', envelopeText({ data: literal('d', 0) })],
    ['data of 15 bytes', envelopeText({ data: literal('d', 15) })],
    ['data of 17 bytes', envelopeText({ data: literal('d', 17) })],
  ])('refuses %s because of its size', (_title, datagram) => {
    expect(parseText(datagram)).toBe('bad-sizes');
  });

  it.each([
    ['the empty datagram', ''],
    ['the empty dict', '{}'],
    ['a missing key', `{'hash': ${literal('h', 32)}, 'data': ${literal('d', 16)}}`],
    ['a duplicate key', envelopeText().replace("'iv'", "'hash'")],
    ['a fourth key', envelopeText().replace(/\}$/, ", 'n': b''}")],
    ['another key', envelopeText().replace("'iv'", "'id'")],
    ['a key in double quotes', envelopeText().replace("'iv'", '"iv"')],
    ['a str where bytes belong', envelopeText().replace(/b'i/, "'i")],
    ['no space behind a comma', envelopeText().replace(', ', ',')],
    ['two spaces behind a colon', envelopeText().replace(': ', ':  ')],
    ['a space in front', ` ${envelopeText()}`],
    ['something behind', `${envelopeText()} `],
    ['a comma behind the last value', envelopeText().replace(/\}$/, ',}')],
    ['no closing brace', envelopeText().slice(0, -1)],
    ['an unterminated literal', `{'hash': b'${'h'.repeat(100)}`],
    ['an escape that repr never prints', envelopeText({ iv: "b'\\a'" })],
    ['a \\x with one digit', envelopeText({ iv: "b'\\x4'" })],
    ['a \\x with no hex digits', envelopeText({ iv: "b'\\xgg'" })],
    ['a literal that ends in a backslash', `{'hash': b'\\`],
    ['a raw control character', envelopeText({ iv: literal('\x00', 16) })],
    ['a raw byte beyond ASCII', envelopeText({ iv: literal('\xff', 16) })],
    ['a __proto__ key', envelopeText().replace("'iv'", "'__proto__'")],
  ])('refuses %s', (_title, datagram) => {
    expect(parseText(datagram)).toBe('bad-envelope');
  });

  it('returns a fault or an envelope for any datagram and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (datagram) => {
        expect(typeof parseEnvelope(datagram)).toMatch(/string|object/);
      }),
    );
  });

  it('refuses every cut-off of an envelope', () => {
    for (let length = 0; length < text.length; length++) {
      expect(parseText(text.slice(0, length))).toBe('bad-envelope');
    }
  });
});

describe('looksLikeEnvelope', () => {
  const shortest = envelopeText();

  it(`passes ${MIN_ENVELOPE_BYTES} bytes, the shortest envelope`, () => {
    expect(shortest).toHaveLength(MIN_ENVELOPE_BYTES);
    expect(looksLikeEnvelope(Buffer.from(shortest))).toBe(true);
    expect(typeof parseText(shortest)).toBe('object');
  });

  it(`refuses ${MIN_ENVELOPE_BYTES - 1} bytes, and another first byte`, () => {
    expect(looksLikeEnvelope(Buffer.from(shortest.slice(0, -1)))).toBe(false);
    expect(looksLikeEnvelope(Buffer.from(`[${shortest.slice(1)}`))).toBe(false);
  });
});
