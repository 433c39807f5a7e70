/**
 * The keys of a session as both sides use them. Only this file and `deriveSessionKeys` know their order in memory.
 */
import { HASH_BYTES } from '../wire.js';
import { TextCipher } from './text-cipher.js';

/** The keys that a side uses for one direction, in #private fields: print-outs of an object that holds a session can't reach them. */
export class DirectionKeys {
  readonly texts: TextCipher;
  readonly #tagKey: Uint8Array;

  /** Each key has 32 bytes and is not copied. */
  constructor(textKey: Uint8Array, tagKey: Uint8Array) {
    this.texts = new TextCipher(textKey);
    this.#tagKey = tagKey;
  }

  /** A method, because `inspect` can call getters. */
  tagKey(): Uint8Array {
    return this.#tagKey;
  }
}

/** The ciphers and tag keys of a session. */
export interface SessionCiphers {
  readonly requests: DirectionKeys;
  readonly replies: DirectionKeys;
}

/** @param keys as `deriveSessionKeys` writes them; not copied. */
export function createSessionCiphers(keys: Buffer): SessionCiphers {
  return {
    requests: new DirectionKeys(keyAt(keys, 0), requestTagKeyIn(keys)),
    replies: new DirectionKeys(keyAt(keys, 2), keyAt(keys, 3)),
  };
}

/** The key of the tags of requests: a view of the keys of a session. */
export function requestTagKeyIn(keys: Buffer): Buffer {
  return keyAt(keys, 1);
}

function keyAt(keys: Buffer, index: number): Buffer {
  return keys.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
}
