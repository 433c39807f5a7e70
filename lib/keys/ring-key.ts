/**
 * A key that a server accepts. A cipher takes 4 kB and a key 32 bytes, so a fleet of 100,000 keys has ciphers for some of them only.
 */
import { type KeyObject, createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { type RandomBlockSource, Sealer } from '../protocol/index.js';
import { keyIdOf } from '../protocol/v2/index.js';
import { fingerprint } from './derive-key.js';

/**
 * Keys that keep their ciphers; 8 MiB of memory. The others set theirs up for each message, which takes about 5 µs. With more boards
 * than this, each reporting in turn, an exchange costs that much more.
 */
export const MAX_READY_KEYS = 2048;

/**
 * Keys the digests by which equal keys are recognised. With a plain hash, an attacker who sees a digest could test guesses of a weak
 * key file.
 */
const DIGEST_SECRET = randomBytes(32);

/** Tells keys apart without keeping them. */
export function digestOf(key: Uint8Array): string {
  return createHmac('sha256', DIGEST_SECRET).update(key).digest('base64');
}

/** The keys with ciphers, shared by a ring and those that replace it. */
export class ReadyKeys {
  /** Oldest first from `next`. Bounded by `capacity`. */
  private readonly keys: RingKey[] = [];
  private next = 0;

  constructor(
    readonly randomBlock: RandomBlockSource,
    private readonly capacity: number = MAX_READY_KEYS,
  ) {}

  get hasRoom(): boolean {
    return this.keys.length < this.capacity;
  }

  /** Adds a key; the one that was added first gives up its cipher if there is no room. */
  add(key: RingKey): void {
    if (this.hasRoom) {
      this.keys.push(key);
      return;
    }
    this.keys[this.next]!.rest();
    this.keys[this.next] = key;
    this.next = (this.next + 1) % this.capacity;
  }
}

/** What a device may speak: `any` for both protocols, `v2` for that one alone. */
export type BenUdpProtocolRule = 'any' | 'v2';

export class RingKey {
  /** Names the key in logs. */
  readonly fingerprint: string;
  /** The key id of protocol v2, as Latin-1. Computed at once: a stranger must not be able to cause the work for a whole ring. */
  readonly v2Id: string;
  /** Node overwrites the bytes when this is collected. */
  private readonly secret: KeyObject;
  private ready: Sealer | undefined;

  /**
   * @param key 32 bytes; not kept.
   * @param protocol may change while the key stays, by a reload.
   */
  constructor(
    readonly device: string | undefined,
    key: Uint8Array,
    readonly digest: string,
    private readonly readyKeys: ReadyKeys,
    public protocol: BenUdpProtocolRule = 'any',
  ) {
    this.fingerprint = fingerprint(key);
    this.v2Id = keyIdOf(key);
    this.secret = createSecretKey(key);
  }

  /** Names the key in lists of known boards, in hex: the key id of protocol v2, an HMAC of a label under the key. */
  get boardFingerprint(): string {
    return Buffer.from(this.v2Id, 'latin1').toString('hex');
  }

  /** Seals and opens messages. If you keep it, it works on, and its memory is beyond the bound of `ReadyKeys`. */
  get sealer(): Sealer {
    if (!this.ready) {
      this.ready = new Sealer(this.secret, this.readyKeys.randomBlock);
      this.readyKeys.add(this);
    }
    return this.ready;
  }

  /** For one attempt among many keys: takes no other key's cipher away. */
  get trialSealer(): Sealer {
    return this.ready ?? (this.readyKeys.hasRoom ? this.sealer : new Sealer(this.secret, this.readyKeys.randomBlock));
  }

  /** Calls `use` with the bytes of the key, and overwrites them afterwards. */
  withBytes<T>(use: (key: Buffer) => T): T {
    const bytes = this.secret.export();
    try {
      return use(bytes);
    } finally {
      bytes.fill(0);
    }
  }

  /** Gives the cipher up. The next message sets up another one. */
  rest(): void {
    this.ready = undefined;
  }
}
