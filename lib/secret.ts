/**
 * Bytes that must not be seen: a key, or the secret behind the id pairs. They live in memory of their own, never in the pool
 * that Node shares between small Buffers, and no print-out of an object that holds them shows them.
 */
import { inspect } from 'node:util';

const SHOWN = '[secret]';

export class Secret {
  // A #private field: `inspect` with `showHidden` and loops over own keys don't reach it.
  readonly #bytes: Buffer;

  /** @param bytes copied; the caller's own are not touched. */
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.alloc(bytes.length);
    this.#bytes.set(bytes);
  }

  /** The bytes themselves. If you copy them, overwrite the copy after use. */
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
