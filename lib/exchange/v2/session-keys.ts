/**
 * The keys of sessions: 128 bytes each, in blocks for many sessions, because a Buffer for each would take some 400 bytes of its own.
 * The ciphers of a session take 12 kB, so only the sessions that were used last have some. The others set theirs up again.
 */
import { inspect } from 'node:util';
import { SESSION_KEY_BYTES, type DirectionKeys, TextCipher, deriveSessionKeys } from '../../protocol/v2/index.js';
import { HASH_BYTES } from '../../protocol/index.js';

const SESSIONS_PER_BLOCK = 256;

/** Sessions with ciphers; 12 MiB. With more boards than this, each reporting in turn, an exchange takes about 10 µs more. */
export const MAX_READY_SESSIONS = 1024;

/** The keys of a session, ready for use. They are void after `release`. */
export interface ReadyKeys {
  readonly requests: DirectionKeys;
  readonly replies: DirectionKeys;
}

/** Has a place for its keys, and ciphers if it is one of those that were used last. */
export interface KeyOwner {
  readonly place: number;
  ready: ReadyKeys | undefined;
}

export class SessionKeys {
  readonly #blocks: Buffer[] = [];
  private readonly free: number[] = [];
  private places = 0;
  /** The sessions with ciphers, oldest first from `next`. Bounded by `MAX_READY_SESSIONS`. */
  private readonly owners: KeyOwner[] = [];
  private next = 0;

  constructor(private readonly capacity: number = MAX_READY_SESSIONS) {}

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
    owner.ready = undefined;
    this.free.push(owner.place);
  }

  readyOf(owner: KeyOwner): ReadyKeys {
    if (!owner.ready) {
      const [requestText, requestTag, replyText, replyTag] = [0, 1, 2, 3].map((index) =>
        this.bytesAt(owner.place).subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
      ) as [Buffer, Buffer, Buffer, Buffer];
      owner.ready = {
        requests: { texts: new TextCipher(requestText), tags: requestTag },
        replies: { texts: new TextCipher(replyText), tags: replyTag },
      };
      this.addReady(owner);
    }
    return owner.ready;
  }

  /** The key of the tags of requests. */
  requestTagKey({ ready, place }: KeyOwner): Uint8Array {
    return ready?.requests.tags ?? this.bytesAt(place).subarray(HASH_BYTES, 2 * HASH_BYTES);
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

  private addReady(owner: KeyOwner): void {
    if (this.owners.length < this.capacity) {
      this.owners.push(owner);
      return;
    }
    this.owners[this.next]!.ready = undefined;
    this.owners[this.next] = owner;
    this.next = (this.next + 1) % this.capacity;
  }
}
