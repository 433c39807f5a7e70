/**
 * HMAC-SHA-256 of bytes under many keys, one or two texts for each. `Hmac` is for many short texts under one key.
 *
 * The key is mixed into two blocks that are reused for every key, so a key needs no allocation.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { INNER_PAD, OUTER_PAD, SHA256_BLOCK_BYTES } from '../hmac.js';
import { HASH_BYTES } from '../wire.js';
import { TAG_BYTES } from './wire.js';

/** Longer messages are allowed, but cost a buffer. */
const USUAL_MESSAGE_BYTES = 4096;

const INNER = Buffer.alloc(SHA256_BLOCK_BYTES + USUAL_MESSAGE_BYTES, INNER_PAD);
const OUTER = Buffer.alloc(SHA256_BLOCK_BYTES + HASH_BYTES, OUTER_PAD);
const EXPECTED = Buffer.alloc(TAG_BYTES);

/**
 * The tag of a message: the first 16 bytes of the HMAC.
 *
 * @param key 32 bytes.
 * @returns the whole HMAC as Latin-1, which takes half the time of a Buffer. `writeTag` and `isTag` read its first 16 bytes.
 */
export function tagOf(key: Uint8Array, ...message: readonly Uint8Array[]): string {
  const digest = hash('sha256', prepareOuter(key, message), 'binary');
  forgetKey();
  return digest;
}

/** Writes the HMAC of a message, which is itself a secret, to `target`. It never becomes a text, because a text can't be overwritten. */
export function deriveInto(target: Buffer, at: number, key: Uint8Array, ...message: readonly Uint8Array[]): void {
  const digest = hash('sha256', prepareOuter(key, message), 'buffer');
  forgetKey();
  target.set(digest, at);
  digest.fill(0);
}

export function writeTag(target: Buffer, at: number, tag: string): void {
  target.write(tag, at, TAG_BYTES, 'latin1');
}

/** Whether the bytes at `at` are the tag, in constant time. */
export function isTag(datagram: Buffer, at: number, tag: string): boolean {
  EXPECTED.write(tag, 0, TAG_BYTES, 'latin1');
  return timingSafeEqual(EXPECTED, datagram.subarray(at, at + TAG_BYTES));
}

function prepareOuter(key: Uint8Array, message: readonly Uint8Array[]): Buffer {
  let length = SHA256_BLOCK_BYTES;
  for (const part of message) {
    length += part.length;
  }
  const inner = length <= INNER.length ? INNER : Buffer.alloc(length, INNER_PAD);
  for (let index = 0; index < HASH_BYTES; index++) {
    inner[index] = key[index]! ^ INNER_PAD;
    OUTER[index] = key[index]! ^ OUTER_PAD;
  }
  let at = SHA256_BLOCK_BYTES;
  for (const part of message) {
    inner.set(part, at);
    at += part.length;
  }
  OUTER.write(hash('sha256', inner.subarray(0, length), 'binary'), SHA256_BLOCK_BYTES, 'latin1');
  if (inner !== INNER) {
    inner.fill(0);
  }
  return OUTER;
}

/** A loop, because a call of `fill` takes longer than 32 bytes do. */
function forgetKey(): void {
  for (let index = 0; index < HASH_BYTES; index++) {
    INNER[index] = 0;
    OUTER[index] = 0;
  }
}
