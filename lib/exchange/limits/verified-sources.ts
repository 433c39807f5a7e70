/**
 * The addresses from which a request verified. Only key holders can write here. An address authenticates nothing, so this decides only
 * whose budget a hello draws on.
 */
import { type RandomFill, systemRandom } from '../../random.js';
import type { IpPrefix } from '../remote.js';
import { KeyedHash } from './rate-limit.js';

/** Addresses that are remembered; a power of two. An entry belongs to the address that verified last. 768 KiB. */
const SOURCES = 65_536;

/** How long an address stays verified after a request of it. */
export const VERIFIED_SOURCE_MS = 86_400_000;

export class VerifiedSources {
  private readonly owners = new Uint32Array(SOURCES);
  private readonly verifiedAt = new Float64Array(SOURCES).fill(-Infinity);
  private readonly hash: KeyedHash;

  constructor(random: RandomFill = systemRandom) {
    this.hash = new KeyedHash(random);
  }

  has({ high, low }: IpPrefix, now: number): boolean {
    const owner = this.hash.of(high, low);
    const index = owner & (SOURCES - 1);
    return this.owners[index] === owner && now - this.verifiedAt[index]! < VERIFIED_SOURCE_MS;
  }

  record({ high, low }: IpPrefix, now: number): void {
    const owner = this.hash.of(high, low);
    const index = owner & (SOURCES - 1);
    this.owners[index] = owner;
    this.verifiedAt[index] = now;
  }
}
