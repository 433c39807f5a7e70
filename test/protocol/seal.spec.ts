import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  Sealer,
  decodeUtf8,
  digest,
  isDigest,
  sealedLength,
  stripWhiteSpace,
  unpad,
} from '../../lib/protocol/index.js';

const key = randomBytes(32);
const LENGTHS = [0, 1, 15, 16, 17, 31, 32, 47, 64];

/** The obviously correct way: a new cipher for each message. */
function sealPlainly(text: string, iv: Buffer): Buffer {
  const padded = text + ' '.repeat(16 - (Buffer.byteLength(text) % 16));
  const cipher = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
  return Buffer.concat([cipher.update(padded, 'utf8'), cipher.final()]);
}

describe('Sealer', () => {
  it.each(LENGTHS)('seals a text of %i bytes as a new cipher would', (length) => {
    const sealer = new Sealer(key);
    const text = 'x'.repeat(length);
    for (let message = 0; message < 3; message++) {
      const { ciphertext, iv } = sealer.seal(text);
      expect(ciphertext).toEqual(sealPlainly(text, iv));
      expect(ciphertext).toHaveLength(sealedLength(length));
    }
  });

  it('counts bytes, not characters', () => {
    const { ciphertext, iv } = new Sealer(key).seal('€'.repeat(16));
    expect(ciphertext).toHaveLength(64);
    expect(ciphertext).toEqual(sealPlainly('€'.repeat(16), iv));
  });

  it('opens its own texts, after any other messages', () => {
    const sealer = new Sealer(key);
    const other = new Sealer(key);
    for (const length of [...LENGTHS, ...LENGTHS.toReversed()]) {
      const text = 'é'.repeat(length);
      const { ciphertext, iv } = other.seal(text);
      expect(unpad(sealer.open(ciphertext, iv))?.toString()).toBe(text);
    }
  });

  it('never uses an IV twice in 10,000 messages of the same text', () => {
    const sealer = new Sealer(key);
    const ivs = new Set(Array.from({ length: 10_000 }, () => sealer.seal('same').iv.toString('hex')));
    expect(ivs.size).toBe(10_000);
  });

  it('works correctly after it refused a partial block or a short IV', () => {
    const sealer = new Sealer(key);
    const { ciphertext, iv } = sealer.seal('text');
    expect(() => sealer.open(ciphertext.subarray(1), iv)).toThrow(RangeError);
    expect(() => sealer.open(ciphertext, iv.subarray(1))).toThrow(RangeError);
    expect(unpad(sealer.open(ciphertext, iv))?.toString()).toBe('text');
  });

  it('opens an empty text, and works correctly after it', () => {
    const sealer = new Sealer(key);
    const { ciphertext, iv } = sealer.seal('text');
    sealer.open(ciphertext, iv);
    expect(sealer.open(Buffer.alloc(0), iv)).toHaveLength(0);
    expect(unpad(sealer.open(ciphertext, iv))?.toString()).toBe('text');
  });
});

describe('digest', () => {
  it('is SHA-256 of id, ciphertext and IV in a row', () => {
    const [id, ciphertext, iv] = [randomBytes(11), randomBytes(48), randomBytes(16)];
    const expected = createHash('sha256')
      .update(Buffer.concat([id, ciphertext, iv]))
      .digest();
    expect(digest(id, ciphertext, iv)).toEqual(expected);
    expect(isDigest(expected, id, ciphertext, iv)).toBe(true);
  });

  it.each([
    { what: 'a byte that differs', change: (bytes: Buffer) => bytes.fill(bytes[31]! ^ 1, 31) },
    { what: 'a byte too few', change: (bytes: Buffer) => bytes.subarray(1) },
    { what: 'a byte too many', change: (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)]) },
    { what: 'nothing', change: () => Buffer.alloc(0) },
  ])('is not $what', ({ change }) => {
    const [id, ciphertext, iv] = [randomBytes(11), randomBytes(48), randomBytes(16)];
    expect(isDigest(change(digest(id, ciphertext, iv)), id, ciphertext, iv)).toBe(false);
  });
});

describe('unpad', () => {
  it.each([
    [1, 'text' + ' '.repeat(1)],
    [16, 'text' + ' '.repeat(16)],
  ])('removes %i spaces', (_count, padded) => {
    expect(unpad(Buffer.from(padded))?.toString()).toBe('text');
  });

  it.each([
    [0, 'text'],
    [17, 'text' + ' '.repeat(17)],
  ])('refuses %i spaces', (_count, padded) => {
    expect(unpad(Buffer.from(padded))).toBeUndefined();
  });

  it('accepts no other white space as padding', () => {
    expect(unpad(Buffer.from('text\n'))).toBeUndefined();
  });
});

describe('decodeUtf8', () => {
  it.each([
    ['a truncated sequence', [0xe2, 0x82]],
    ['an overlong form', [0xc0, 0x80]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a lone continuation byte', [0x80]],
    ['a byte that never occurs', [0xff]],
  ])('refuses %s', (_title, bytes) => {
    expect(decodeUtf8(Buffer.from(bytes))).toBeUndefined();
  });

  it('keeps a byte order mark, which the text parser then refuses', () => {
    expect(decodeUtf8(Buffer.from([0xef, 0xbb, 0xbf, 0x7b]))).toBe('\ufeff{');
  });
});

describe('stripWhiteSpace', () => {
  it('strips only the six ASCII white space characters at both ends', () => {
    expect(stripWhiteSpace(Buffer.from(' \t\n\v\f\ra b\r\f\v\n\t ')).toString()).toBe('a b');
    expect(stripWhiteSpace(Buffer.from([0x1c, 0x41, 0x85, 0xa0]))).toEqual(Buffer.from([0x1c, 0x41, 0x85, 0xa0]));
    expect(stripWhiteSpace(Buffer.from('   '))).toHaveLength(0);
  });
});
