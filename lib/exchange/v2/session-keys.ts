/**
 * The keys of sessions: 128 bytes each, in blocks for many sessions, because a separate Buffer for each would add about 400 bytes.
 * The ciphers of a session take 12 kB, so only the sessions that set them up last keep theirs. The others set them up again.
 */
import { inspect } from 'node:util';
import { LastAdded } from '../../last-added.js';
import {
  SESSION_KEY_BYTES,
  type SessionCiphers,
  createSessionCiphers,
  deriveSessionKeys,
  requestTagKeyIn,
} from '../../protocol/v2/index.js';

const SESSIONS_PER_BLOCK = 256;

/** Sessions with ciphers; 12 MiB. With more boards than this, each reporting in turn, an exchange takes about 10 µs more. */
export const MAX_SESSIONS_WITH_CIPHERS = 1024;

/** Has a place for its keys, and ciphers if it is one of the sessions that set them up last. */
export interface KeyOwner {
  readonly place: number;
  ciphers: SessionCiphers | undefined;
}

export class SessionKeys {
  /** Bounded by the most sessions there were at once. */
  readonly #blocks: Buffer[] = [];
  /** Places of ended sessions. */
  private readonly free: number[] = [];
  private places = 0;
  private readonly withCiphers = new LastAdded<KeyOwner>(MAX_SESSIONS_WITH_CIPHERS);

  /**
   * Derives the keys of a session and keeps them.
   *
   * @param secret not kept.
   * @returns their place.
   */
  take(secret: Uint8Array): number {
    const index = this.free.pop() ?? this.places++;
    if (index === this.#blocks.length * SESSIONS_PER_BLOCK) {
      this.#blocks.push(Buffer.alloc(SESSIONS_PER_BLOCK * SESSION_KEY_BYTES));
    }
    deriveSessionKeys(secret, this.bytesAt(index));
    return index;
  }

  /** Overwrites the keys of a session. */
  release(owner: KeyOwner): void {
    this.bytesAt(owner.place).fill(0);
    owner.ciphers = undefined;
    this.free.push(owner.place);
  }

  /** The ciphers of a session, which are void after `release`. */
  ciphersOf(owner: KeyOwner): SessionCiphers {
    if (!owner.ciphers) {
      owner.ciphers = createSessionCiphers(this.bytesAt(owner.place));
      const replaced = this.withCiphers.add(owner);
      if (replaced) {
        replaced.ciphers = undefined;
      }
    }
    return owner.ciphers;
  }

  /** The key of the tags of requests. */
  requestTagKey({ ciphers, place }: KeyOwner): Uint8Array {
    return ciphers?.requests.tagKey() ?? requestTagKeyIn(this.bytesAt(place));
  }

  /** Overwrites all keys. */
  wipe(): void {
    this.#blocks.forEach((block) => block.fill(0));
  }

  [inspect.custom](): string {
    return '[secret]';
  }

  private bytesAt(index: number): Buffer {
    const at = (index % SESSIONS_PER_BLOCK) * SESSION_KEY_BYTES;
    return this.#blocks[Math.floor(index / SESSIONS_PER_BLOCK)]!.subarray(at, at + SESSION_KEY_BYTES);
  }
}
