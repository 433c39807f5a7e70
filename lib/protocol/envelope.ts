/**
 * The request envelope, datagram 4: the Python text of a dict of three bytes values in any order,
 *
 *     {'hash': b'…', 'data': b'…', 'iv': b'…'}
 *
 * This is the only parser of bytes from strangers. So it never throws, allocates no more than the length of the datagram, and accepts
 * exactly the output of `str(dict)`.
 */
import { SIMPLE_ESCAPES, printBytes } from './python-text/string.js';
import { BLOCK_BYTES, HASH_BYTES } from './wire.js';

/** The sealed and signed part of a request. */
export interface Envelope {
  /** `SHA-256(id + data + iv)`, 32 bytes. */
  readonly hash: Buffer;
  /** The sealed request, a non-zero multiple of 16 bytes. */
  readonly data: Buffer;
  /** 16 bytes. */
  readonly iv: Buffer;
}

/** The reason why a datagram is not an envelope. */
export type EnvelopeFault =
  /** Not the text of a dict of hash, data and iv. */
  | 'bad-envelope'
  /** The right dict, but a value has the wrong size. */
  | 'bad-sizes';

export type EnvelopeKey = keyof Envelope;

/** In the order of upstream's source. The order on a device is arbitrary, so every order is accepted. */
export const ENVELOPE_KEYS: readonly EnvelopeKey[] = ['hash', 'data', 'iv'];

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const SPACE = 0x20;

/** `{'iv': b''…` with the three shortest values that a device can print: one character for each byte. */
export const MIN_ENVELOPE_BYTES = "{'hash': b'', 'data': b'', 'iv': b''}".length + HASH_BYTES + 2 * BLOCK_BYTES;

/** The text from the quote to the value, by the first letter of the key. The first letters differ. */
const KEYS: ReadonlyMap<number, { readonly name: EnvelopeKey; readonly text: Buffer }> = new Map(
  ENVELOPE_KEYS.map((name) => [name.charCodeAt(0), { name, text: Buffer.from(`${name}': b`, 'ascii') }]),
);

/** Marks a byte without a value. */
const NONE = -1;

/** The byte for each escape letter. `x` is not in it, because two hex digits follow. */
const ESCAPES = tableOf(SIMPLE_ESCAPES);
const HEX_ESCAPE = 0x78;
const HEX_DIGITS = tableOf(
  [...'0123456789abcdef', ...'ABCDEF'].map((digit) => [digit.charCodeAt(0), Number.parseInt(digit, 16)]),
);

/** A value for each byte. A lookup takes a fraction of the time of a Map, and half of a request is escapes. */
function tableOf(entries: Iterable<readonly [byte: number, value: number]>): Int8Array {
  const table = new Int8Array(256).fill(NONE);
  for (const [byte, value] of entries) {
    table[byte] = value;
  }
  return table;
}

/** Whether a datagram could be an envelope: the cheapest check. */
export function looksLikeEnvelope(datagram: Uint8Array): boolean {
  return datagram.length >= MIN_ENVELOPE_BYTES && datagram[0] === OPEN_BRACE;
}

/**
 * Returns the envelope in a datagram, or its fault.
 *
 * @param bytes memory for the values, at least as long as the datagram, because decoding never lengthens. A caller that needs each
 * envelope only until the next one can reuse it, which avoids an allocation per datagram.
 */
export function parseEnvelope(
  datagram: Uint8Array,
  bytes: Buffer = Buffer.allocUnsafeSlow(datagram.length),
): Envelope | EnvelopeFault {
  const fields: Partial<Record<EnvelopeKey, Buffer>> = {};
  let used = 0;
  let at = 0;
  for (let index = 0; index < KEYS.size; index++) {
    if (index === 0 ? datagram[at++] !== OPEN_BRACE : datagram[at++] !== COMMA || datagram[at++] !== SPACE) {
      return 'bad-envelope';
    }
    const key = datagram[at++] === QUOTE ? KEYS.get(datagram[at] ?? 0) : undefined;
    if (!key || fields[key.name] || !matches(datagram, at, key.text)) {
      return 'bad-envelope';
    }
    at += key.text.length;
    const value = decodeBytesLiteral(datagram, at, bytes, used);
    if (!value) {
      return 'bad-envelope';
    }
    fields[key.name] = bytes.subarray(used, value.used);
    ({ at, used } = value);
  }
  const { hash, data, iv } = fields;
  if (!hash || !data || !iv || datagram[at] !== CLOSE_BRACE || at + 1 !== datagram.length) {
    return 'bad-envelope';
  }
  const hasRightSizes =
    hash.length === HASH_BYTES && iv.length === BLOCK_BYTES && data.length > 0 && data.length % BLOCK_BYTES === 0;
  return hasRightSizes ? { hash, data, iv } : 'bad-sizes';
}

/** The datagram of an envelope, with its keys in this order. */
export function formatEnvelope(envelope: Envelope, order: readonly EnvelopeKey[] = ENVELOPE_KEYS): Buffer {
  return Buffer.from(`{${order.map((key) => `'${key}': ${printBytes(envelope[key])}`).join(', ')}}`, 'ascii');
}

function matches(datagram: Uint8Array, start: number, text: Buffer): boolean {
  for (let index = 0; index < text.length; index++) {
    if (datagram[start + index] !== text[index]) {
      return false;
    }
  }
  return true;
}

/** Decodes the literal whose quote is at `at` into `target`. Returns the positions after the literal and after its bytes. */
function decodeBytesLiteral(
  datagram: Uint8Array,
  start: number,
  target: Buffer,
  offset: number,
): { at: number; used: number } | undefined {
  const quote = datagram[start];
  if (quote !== QUOTE && quote !== DOUBLE_QUOTE) {
    return undefined;
  }
  let at = start + 1;
  let used = offset;
  for (;;) {
    const byte = datagram[at++];
    if (byte === quote) {
      return { at, used };
    }
    if (byte === BACKSLASH) {
      const letter = datagram[at++] ?? 0;
      const value = letter === HEX_ESCAPE ? readHexByte(datagram, at) : ESCAPES[letter]!;
      if (value === NONE) {
        return undefined;
      }
      at += letter === HEX_ESCAPE ? 2 : 0;
      target[used++] = value;
    } else if (byte !== undefined && byte >= SPACE && byte < 0x7f) {
      target[used++] = byte;
    } else {
      return undefined;
    }
  }
}

function readHexByte(datagram: Uint8Array, at: number): number {
  const high = HEX_DIGITS[datagram[at] ?? 0]!;
  const low = HEX_DIGITS[datagram[at + 1] ?? 0]!;
  return high === NONE || low === NONE ? NONE : high * 16 + low;
}
