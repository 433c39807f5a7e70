/**
 * The addresses from which a request verified, and the key that verified last there. Only key holders can write here. An address
 * authenticates nothing, so this decides only whose budget a hello draws on, and which key is tried first.
 */
import type { KeyRing, RingKey } from '../../keys/index.js';
import { type RandomFill, systemRandom } from '../../random.js';
import type { IpPrefix } from '../remote.js';
import { KeyedHash } from './rate-limit.js';

/** Addresses that are remembered; a power of two. 768 KiB, and 512 KiB for keys with a name. */
const SOURCES = 65_536;

/**
 * A new address replaces the one of these entries that verified longest ago. A named key that has one of them replaces that one, so a
 * stolen key gets a quarter of the table at most.
 */
const WAYS = 4;

/** How long an address stays verified after a request of it. */
export const VERIFIED_SOURCE_MS = 86_400_000;

export class VerifiedSources {
  private readonly owners = new Uint32Array(SOURCES);
  private readonly verifiedAt = new Float64Array(SOURCES).fill(-Infinity);
  /** Allocated for the first named key. Shared keys are few, so a search finds them at once. */
  private keys: Array<RingKey | undefined> | undefined;
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
    const index = this.indexOf(this.ownerOf(prefix));
    return index >= 0 ? this.keys?.[index] : undefined;
  }

  record(prefix: IpPrefix, key: RingKey, now: number): void {
    const owner = this.ownerOf(prefix);
    const known = this.indexOf(owner);
    const index = known >= 0 ? known : this.placeFor(owner, key);
    this.owners[index] = owner;
    this.verifiedAt[index] = now;
    if (key.device !== undefined) {
      this.keys ??= Array<RingKey | undefined>(SOURCES).fill(undefined);
      this.keys[index] = key;
    } else if (known < 0 && this.keys) {
      this.keys[index] = undefined;
    }
  }

  /** Forgets the keys that have left the ring. */
  retain(ring: KeyRing): void {
    this.keys = this.keys?.map((key) => (key && ring.has(key) ? key : undefined));
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
      if (key.device !== undefined && this.keys?.[index] === key) {
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
