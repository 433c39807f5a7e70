/**
 * Rate limits of a fixed size. The generic cell rate algorithm keeps one number per bucket: the time at which it is full again.
 */
import { type RandomFill, randomUint32, systemRandom } from '../../random.js';

/** A rate limit: `burst` at once, then `perSecond`. */
export interface BenUdpRate {
  readonly perSecond: number;
  readonly burst: number;
}

/** The sum of thousands of intervals is inexact by a small part of one. */
const ROUNDING = 1e-6;

/** Whether one more is within the rate, if the bucket is full again at `fullAt` and `reserve` must stay in it. */
export function isWithinRate(rate: BenUdpRate, fullAt: number, now: number, reserve = 0): boolean {
  return fullAt - now <= (rate.burst - reserve - 1 + ROUNDING) * intervalOf(rate);
}

/** The time at which the bucket is full again if `count` are taken now. If it holds fewer, they are taken in advance. */
export function fullAfter(rate: BenUdpRate, fullAt: number, now: number, count = 1): number {
  return Math.max(fullAt, now) + count * intervalOf(rate);
}

/** The time at which the bucket is full again if `count` are refunded. */
export function refund(rate: BenUdpRate, fullAt: number, count = 1): number {
  return fullAt - count * intervalOf(rate);
}

function intervalOf({ perSecond }: BenUdpRate): number {
  return 1000 / perSecond;
}

/** One bucket. */
export class RateLimit {
  private fullAt = -Infinity;

  constructor(private readonly rate: BenUdpRate) {}

  /** @param reserve the number that must stay in the bucket. */
  allows(now: number, reserve = 0): boolean {
    return isWithinRate(this.rate, this.fullAt, now, reserve);
  }

  take(now: number, count = 1): void {
    this.fullAt = fullAfter(this.rate, this.fullAt, now, count);
  }

  refund(count = 1): void {
    this.fullAt = refund(this.rate, this.fullAt, count);
  }
}

/**
 * Buckets for more keys than there are entries: an entry belongs to the key that used it last. If a flood replaces the entry of another
 * key, that key gets a full bucket, so the flood can't block it.
 */
export class RateTable {
  private readonly owners: Uint32Array;
  private readonly fullAt: Float64Array;
  private readonly hash: KeyedHash;
  private readonly mask: number;

  /** @param size a power of two. */
  constructor(
    private readonly rate: BenUdpRate,
    size: number,
    random: RandomFill = systemRandom,
  ) {
    this.owners = new Uint32Array(size);
    this.fullAt = new Float64Array(size);
    this.hash = new KeyedHash(random);
    this.mask = size - 1;
  }

  allows(high: number, low: number, now: number): boolean {
    const owner = this.hash.of(high, low);
    const index = owner & this.mask;
    return this.owners[index] !== owner || isWithinRate(this.rate, this.fullAt[index]!, now);
  }

  take(high: number, low: number, now: number, count = 1): void {
    const owner = this.hash.of(high, low);
    const index = owner & this.mask;
    const fullAt = this.owners[index] === owner ? this.fullAt[index]! : now;
    this.owners[index] = owner;
    this.fullAt[index] = fullAfter(this.rate, fullAt, now, count);
  }

  refund(high: number, low: number, count = 1): void {
    const owner = this.hash.of(high, low);
    const index = owner & this.mask;
    if (this.owners[index] === owner) {
      this.fullAt[index] = refund(this.rate, this.fullAt[index]!, count);
    }
  }
}

/** Places the entries of a table. The place depends on a secret, so an attacker can't choose whose entry to replace. */
export class KeyedHash {
  private readonly secretHigh: number;
  private readonly secretLow: number;

  constructor(random: RandomFill) {
    this.secretHigh = randomUint32(random);
    this.secretLow = randomUint32(random);
  }

  /** Multiplications by odd numbers and shifted XORs are reversible, so they keep all bits of `low`. */
  of(high: number, low: number): number {
    let hash = Math.imul(high ^ this.secretHigh, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ low ^ this.secretLow, 0x85ebca77);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae3d);
    return (hash ^ (hash >>> 16)) >>> 0;
  }
}
