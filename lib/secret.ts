/**
 * Secret bytes: a key, or the secret of the id pairs. They are a separate allocation, never in the pool that Node shares between small
 * Buffers. If an object that holds them is printed, they do not appear.
 */
import { inspect } from 'node:util';

const SHOWN = '[secret]';

export class Secret {
  // A #private field: `inspect` with `showHidden` and loops over own keys can't reach it.
  readonly #bytes: Buffer;

  /** @param bytes are copied. The caller keeps its own copy. */
  constructor(bytes: Uint8Array) {
    this.#bytes = copyOf(bytes);
  }

  /** The bytes. If you copy them, overwrite the copy after use. */
  expose(): Buffer {
    return this.#bytes;
  }

  /** Overwrites the bytes. */
  wipe(): void {
    this.#bytes.fill(0);
  }

  toJSON(): string {
    return SHOWN;
  }

  [inspect.custom](): string {
    return SHOWN;
  }
}

/** A copy in a separate allocation: not in the pool that Node shares between small Buffers, and not a part of a longer one. */
export function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.alloc(bytes.length);
  copy.set(bytes);
  return copy;
}
