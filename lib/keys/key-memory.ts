/**
 * The memory for many keys: 32 bytes each. A Buffer for each key would take some 300 bytes, and an object of `node:crypto` half a kilobyte.
 */
import { KEY_BYTES } from '../protocol/index.js';
import { Secret } from '../secret.js';

/** Keys in a block of 2 KiB. */
const KEYS_PER_BLOCK = 64;

/** The place of a key. */
export interface KeyPlace {
  readonly block: Secret;
  /** The first of its bytes. */
  readonly at: number;
}

/** Overwrites a block when no place in it is referenced any more. */
const abandoned = new FinalizationRegistry<Buffer>((bytes) => bytes.fill(0));

/** The bytes at a place. Hold the place too, because its end overwrites them. */
export function bytesAt({ block, at }: KeyPlace): Buffer {
  return block.expose().subarray(at, at + KEY_BYTES);
}

export class KeyMemory {
  private latest: Secret | undefined;
  /** Keys in the latest block. */
  private used = KEYS_PER_BLOCK;
  /** The places of removed keys, in any block. */
  private readonly free: KeyPlace[] = [];

  /** @param key 32 bytes; copied. */
  add(key: Uint8Array): KeyPlace {
    const place = this.free.pop() ?? this.next();
    place.block.expose().set(key, place.at);
    return place;
  }

  /** Overwrites a key. */
  remove({ block, at }: KeyPlace): void {
    block.expose().fill(0, at, at + KEY_BYTES);
    this.free.push({ block, at });
  }

  private next(): KeyPlace {
    if (!this.latest || this.used === KEYS_PER_BLOCK) {
      this.latest = new Secret(new Uint8Array(KEYS_PER_BLOCK * KEY_BYTES));
      abandoned.register(this.latest, this.latest.expose());
      this.used = 0;
    }
    return { block: this.latest, at: this.used++ * KEY_BYTES };
  }
}
