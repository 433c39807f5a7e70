/**
 * A key that a server accepts. A cipher takes 4 kB and a key 32 bytes, so only some keys of a fleet of 100,000 have ciphers.
 */
import { type KeyObject, createSecretKey, timingSafeEqual } from 'node:crypto';
import { LastAdded } from '../last-added.js';
import { type RandomBlockSource, type Sealed, Sealer, decryptBlock } from '../protocol/index.js';
import { keyIdOf } from '../protocol/v2/index.js';
import { type Secret, copyOf } from '../secret.js';
import { fingerprint } from './derive-key.js';
import { KeyMemory, bytesAt } from './key-memory.js';

/**
 * Keys that keep their ciphers; 8 MiB of memory. The others set theirs up for each message, which takes about 5 µs. If more boards than
 * this report in turn, each exchange takes that much longer.
 */
const MAX_READY_KEYS = 2048;

/** The memory of the keys, and those with ciphers, shared by a ring and those that replace it. */
export class ReadyKeys {
  readonly memory = new KeyMemory();
  private readonly keys: LastAdded<RingKey>;

  constructor(
    readonly randomBlock: RandomBlockSource,
    capacity: number = MAX_READY_KEYS,
  ) {
    this.keys = new LastAdded(capacity);
  }

  /** Adds a key. If there is no room, the key that was added first releases its cipher. */
  add(key: RingKey): void {
    this.keys.add(key)?.rest();
  }
}

/** The protocols that a device may use: `any` for both, `v2` for only that one. */
export type BenUdpProtocolRule = 'any' | 'v2';

export class RingKey {
  /** The memory that has the key from `at` on. */
  private readonly block: Secret;
  private readonly at: number;
  /** The key after it has left the ring. Node overwrites its bytes when this is collected. */
  private left: KeyObject | undefined;
  private ready: Sealer | undefined;

  /**
   * @param key 32 bytes; copied into the memory of `readyKeys`.
   * @param v2Id the key id of protocol v2, as Latin-1. Computed at once: a stranger must not be able to cause the work for a whole ring.
   * @param protocol may change while the key stays, by a reload.
   * @param shared whether several boards have it, so quotas belong to their addresses. May change too.
   */
  constructor(
    readonly device: string | undefined,
    key: Uint8Array,
    private readonly readyKeys: ReadyKeys,
    readonly v2Id: string = keyIdOf(key),
    public protocol: BenUdpProtocolRule = 'any',
    public shared = device === undefined,
  ) {
    ({ block: this.block, at: this.at } = readyKeys.memory.add(key));
  }

  /** Names the key in logs. */
  get fingerprint(): string {
    return this.withBytes(fingerprint);
  }

  /**
   * Names the key in lists of known boards, in hex: the key id of protocol v2, an HMAC of a label under the key. Guesses of a weak key
   * file can be tested with it, as with any recording.
   */
  get boardFingerprint(): string {
    return Buffer.from(this.v2Id, 'latin1').toString('hex');
  }

  /** Whether it has left the ring, so no request of it is accepted. */
  get hasLeft(): boolean {
    return this.left !== undefined;
  }

  /** Seals and opens messages. If you keep it, it stays usable, and its memory is beyond the bound of `ReadyKeys`. */
  get sealer(): Sealer {
    if (!this.ready) {
      this.ready = new Sealer(this.left ?? this.bytes(), this.readyKeys.randomBlock);
      this.readyKeys.add(this);
    }
    return this.ready;
  }

  /**
   * Decrypts one block. A key that has a cipher uses it, because an attacker could collect the blocks of a board in use. For one attempt
   * with any other key no cipher is set up, because that takes ten times as long.
   *
   * @param target gets the 16 bytes of the plaintext.
   * @returns false for a key that has left the ring: it opens nothing, because its memory may already hold the key of another board.
   */
  openBlock({ ciphertext, iv }: Sealed, target: Buffer): boolean {
    if (this.left) {
      return false;
    }
    if (this.ready) {
      const plaintext = this.ready.open(ciphertext, iv);
      target.set(plaintext);
      plaintext.fill(0);
    } else {
      decryptBlock(this.block.expose(), this.at, ciphertext, iv, target);
    }
    return true;
  }

  /** Whether these are the bytes of the key, while it is in use. */
  is(key: Uint8Array): boolean {
    return !this.left && timingSafeEqual(this.bytes(), key);
  }

  /** Calls `use` with a copy of the key, and overwrites it afterwards. */
  withBytes<T>(use: (key: Buffer) => T): T {
    const bytes = this.left?.export() ?? copyOf(this.bytes());
    try {
      return use(bytes);
    } finally {
      bytes.fill(0);
    }
  }

  /** Releases the cipher. The next message sets up another one. */
  rest(): void {
    this.ready = undefined;
  }

  /** Overwrites the key, because it has left the ring. It still seals the replies to requests under way. */
  leave(): void {
    if (!this.left) {
      this.left = createSecretKey(this.bytes());
      this.readyKeys.memory.remove({ block: this.block, at: this.at });
    }
  }

  // A getter would be called by tools that print objects.
  private bytes(): Buffer {
    return bytesAt({ block: this.block, at: this.at });
  }
}
