/**
 * The addresses from which a request verified, and the keys that verified there. Only key holders can write here. An address
 * authenticates nothing, so this decides only whose budget a hello draws on, and which keys are tried first.
 */
import type { KeyRing, RingKey } from '../../keys/index.js';
import { type RandomFill, systemRandom } from '../../random.js';
import type { IpPrefix } from '../remote.js';
import { KeyedHash } from './rate-limit.js';

/** Addresses that are remembered; a power of two. 768 KiB, and 512 KiB for keys with a name. */
const SOURCES = 65_536;

/**
 * A new address replaces the one of these entries that verified longest ago. The key of a device that has one of them replaces that one,
 * so a stolen key gets a quarter of the table at most.
 */
const WAYS = 4;

/** Keys with a name that are remembered for one address: a NAT with as many boards. In a larger one, each replaces another at random. */
export const KEYS_PER_ADDRESS = 128;

/** How long an address stays verified after a request of it. */
export const VERIFIED_SOURCE_MS = 86_400_000;

export class VerifiedSources {
  private readonly owners = new Uint32Array(SOURCES);
  private readonly verifiedAt = new Float64Array(SOURCES).fill(-Infinity);
  /**
   * The keys with a name, the latest last; without a list if there is one, as for most addresses. Allocated for the first named key. Shared
   * keys are few, so a search finds them at once.
   */
  private keys: Array<RingKey | RingKey[] | undefined> | undefined;
  private readonly hash: KeyedHash;

  constructor(random: RandomFill = systemRandom) {
    this.hash = new KeyedHash(random);
  }

  has(prefix: IpPrefix, now: number): boolean {
    const index = this.indexOf(this.ownerOf(prefix));
    return index >= 0 && now - this.verifiedAt[index]! < VERIFIED_SOURCE_MS;
  }

  /** The key with a name that verified last from this address, however long ago. */
  keyOf(prefix: IpPrefix): RingKey | undefined {
    return this.keysOf(prefix).at(-1);
  }

  /** The keys with a name that verified from this address, however long ago, the latest last. */
  keysOf(prefix: IpPrefix): readonly RingKey[] {
    const index = this.indexOf(this.ownerOf(prefix));
    return index >= 0 ? this.keysAt(index) : [];
  }

  record(prefix: IpPrefix, key: RingKey, now: number): void {
    const owner = this.ownerOf(prefix);
    const known = this.indexOf(owner);
    const index = known >= 0 ? known : this.placeFor(owner, key);
    // The boards from before a restart come the latest first.
    const isLatest = now >= this.verifiedAt[index]!;
    if (known < 0) {
      if (!isLatest) {
        return;
      }
      this.owners[index] = owner;
      if (this.keys) {
        this.keys[index] = undefined;
      }
    }
    if (isLatest) {
      this.verifiedAt[index] = now;
    }
    if (key.device !== undefined) {
      this.recordKey(index, key, now, isLatest);
    }
  }

  /** Forgets the keys that have left the ring. */
  retain(ring: KeyRing): void {
    this.keys = this.keys?.map((keys) => {
      if (Array.isArray(keys)) {
        return keys.filter((key) => ring.has(key));
      }
      return keys && ring.has(keys) ? keys : undefined;
    });
  }

  private keysAt(index: number): readonly RingKey[] {
    const keys = this.keys?.[index] ?? [];
    return Array.isArray(keys) ? keys : [keys];
  }

  private recordKey(index: number, key: RingKey, now: number, isLatest: boolean): void {
    this.keys ??= Array<RingKey | RingKey[] | undefined>(SOURCES).fill(undefined);
    const keys = this.keysAt(index);
    if (keys.at(-1) === key) {
      return;
    }
    if (!isLatest) {
      if (keys.length < KEYS_PER_ADDRESS && !keys.includes(key)) {
        this.keys[index] = keys.length === 0 ? key : [key, ...keys];
      }
      return;
    }
    const others = keys.filter((each) => each !== key);
    if (others.length === KEYS_PER_ADDRESS) {
      others.splice(this.hash.of(index, now) % KEYS_PER_ADDRESS, 1);
    }
    this.keys[index] = others.length === 0 ? key : [...others, key];
  }

  private ownerOf({ high, low }: IpPrefix): number {
    return this.hash.of(high, low);
  }

  /** -1 if the address is not remembered. */
  private indexOf(owner: number): number {
    const first = firstOf(owner);
    for (let index = first; index < first + WAYS; index++) {
      if (this.owners[index] === owner && this.verifiedAt[index]! > -Infinity) {
        return index;
      }
    }
    return -1;
  }

  private placeFor(owner: number, key: RingKey): number {
    const first = firstOf(owner);
    let oldest = first;
    for (let index = first; index < first + WAYS; index++) {
      if (!key.shared && this.keysAt(index).at(-1) === key) {
        return index;
      }
      oldest = this.verifiedAt[index]! < this.verifiedAt[oldest]! ? index : oldest;
    }
    return oldest;
  }
}

function firstOf(owner: number): number {
  return owner & (SOURCES - WAYS);
}
