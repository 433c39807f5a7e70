/**
 * Decrypts one block of AES-256-CBC (FIPS 197), each time under another key: an attempt to find the key of a request.
 *
 * `node:crypto` needs an object for each key. Setting one up takes ten times as long as the block, and freeing thousands of them at once
 * blocks the event loop for 40 ms. Here nothing is left to collect. Everything longer than an id goes through `node:crypto`.
 *
 * Because of the tables, the time of an attempt depends on key and block, by less than can be measured over a network. A program on the
 * same machine that observes the processor caches may learn more: see SECURITY.md.
 */
import { BLOCK_BYTES, KEY_BYTES } from './wire.js';

const WORD_BYTES = 4;
const KEY_WORDS = KEY_BYTES / WORD_BYTES;
const BLOCK_WORDS = BLOCK_BYTES / WORD_BYTES;
const ROUNDS = 14;

/** The substitution of encryption, which the key schedule uses, and its inverse. */
const SUBSTITUTE = new Uint8Array(256);
const RESTORE = new Uint8Array(256);
/** A column of the inverse mix for each restored byte at its top. The columns for the other bytes are rotations of it. */
const UNMIX = new Int32Array(256);

/** Overwritten after each use. */
const schedule = new Int32Array(BLOCK_WORDS * (ROUNDS + 1));

fillTables();

/**
 * @param keys holds the 32 bytes of the key from `at` on.
 * @param block 16 bytes; `iv` is XORed into the plaintext.
 * @param target gets the plaintext, 16 bytes.
 */
export function decryptBlock(keys: Buffer, at: number, block: Buffer, iv: Buffer, target: Buffer): void {
  expandKey(keys, at);
  const last = BLOCK_WORDS * ROUNDS;
  let a = block.readInt32BE(0) ^ schedule[last]!;
  let b = block.readInt32BE(4) ^ schedule[last + 1]!;
  let c = block.readInt32BE(8) ^ schedule[last + 2]!;
  let d = block.readInt32BE(12) ^ schedule[last + 3]!;
  for (let round = last - BLOCK_WORDS; round > 0; round -= BLOCK_WORDS) {
    const e = unmix(a, d, c, b) ^ schedule[round]!;
    const f = unmix(b, a, d, c) ^ schedule[round + 1]!;
    const g = unmix(c, b, a, d) ^ schedule[round + 2]!;
    const h = unmix(d, c, b, a) ^ schedule[round + 3]!;
    [a, b, c, d] = [e, f, g, h];
  }
  target.writeInt32BE(gather(RESTORE, a, d, c, b) ^ schedule[0]! ^ iv.readInt32BE(0), 0);
  target.writeInt32BE(gather(RESTORE, b, a, d, c) ^ schedule[1]! ^ iv.readInt32BE(4), 4);
  target.writeInt32BE(gather(RESTORE, c, b, a, d) ^ schedule[2]! ^ iv.readInt32BE(8), 8);
  target.writeInt32BE(gather(RESTORE, d, c, b, a) ^ schedule[3]! ^ iv.readInt32BE(12), 12);
  schedule.fill(0);
}

/** The round keys for decryption: those of the inner rounds are unmixed, so that each round is one look-up for each byte. */
function expandKey(keys: Buffer, at: number): void {
  for (let index = 0; index < KEY_WORDS; index++) {
    schedule[index] = keys.readInt32BE(at + index * WORD_BYTES);
  }
  for (let index = KEY_WORDS, constant = 1; index < schedule.length; index++) {
    let word = schedule[index - 1]!;
    if (index % KEY_WORDS === 0) {
      word = (word << 8) | (word >>> 24);
      word = gather(SUBSTITUTE, word, word, word, word) ^ (constant << 24);
      constant <<= 1;
    } else if (index % KEY_WORDS === KEY_WORDS / 2) {
      word = gather(SUBSTITUTE, word, word, word, word);
    }
    schedule[index] = schedule[index - KEY_WORDS]! ^ word;
  }
  for (let index = BLOCK_WORDS; index < BLOCK_WORDS * ROUNDS; index++) {
    const word = schedule[index]!;
    const substituted = gather(SUBSTITUTE, word, word, word, word);
    schedule[index] = unmix(substituted, substituted, substituted, substituted);
  }
}

/** Looks up the first byte of `a`, the second of `b`, and so on. */
function gather(table: Uint8Array, a: number, b: number, c: number, d: number): number {
  return (
    (table[a >>> 24]! << 24) | (table[(b >>> 16) & 0xff]! << 16) | (table[(c >>> 8) & 0xff]! << 8) | table[d & 0xff]!
  );
}

/** The same bytes restored, as one column of the inverse mix. */
function unmix(a: number, b: number, c: number, d: number): number {
  return (
    UNMIX[a >>> 24]! ^
    rotate(UNMIX[(b >>> 16) & 0xff]!, 8) ^
    rotate(UNMIX[(c >>> 8) & 0xff]!, 16) ^
    rotate(UNMIX[d & 0xff]!, 24)
  );
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

/** The tables, computed from the field of 2^8 elements that FIPS 197 defines. */
function fillTables(): void {
  const powers = new Uint8Array(256);
  const logarithms = new Uint8Array(256);
  for (let exponent = 0, element = 1; exponent < 255; exponent++) {
    powers[exponent] = element;
    logarithms[element] = exponent;
    // Three generates the field: x + 1 times.
    element ^= (element << 1) ^ (element >= 0x80 ? 0x11b : 0);
  }
  const product = (a: number, b: number): number => (a === 0 ? 0 : powers[(logarithms[a]! + logarithms[b]!) % 255]!);
  for (let element = 0; element < 256; element++) {
    const inverse = element === 0 ? 0 : powers[(255 - logarithms[element]!) % 255]!;
    const spread = inverse * 0x101;
    const substitute = ((inverse ^ (spread >>> 4) ^ (spread >>> 5) ^ (spread >>> 6) ^ (spread >>> 7)) & 0xff) ^ 0x63;
    SUBSTITUTE[element] = substitute;
    RESTORE[substitute] = element;
    UNMIX[substitute] =
      (product(element, 14) << 24) | (product(element, 9) << 16) | (product(element, 13) << 8) | product(element, 11);
  }
}
