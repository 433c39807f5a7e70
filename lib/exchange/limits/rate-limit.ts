/**
 * Rate limits of fixed size: the generic cell rate algorithm keeps one number per bucket, the time at which it is full again.
 */
import { randomInt } from 'node:crypto';

/** So many at once, and so many a second after that. */
export interface BenUdpRate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Thousands of intervals added up are off by a little of one. */
const ROUNDING = 1e-6;

/** Whether one more is within the rate, for a bucket that is full again at `fullAt` and in which so many are to stay. */
export function isWithinRate(rate: BenUdpRate, fullAt: number, now: number, reserve = 0): boolean {
  return fullAt - now <= (rate.burst - reserve - 1 + ROUNDING) * intervalOf(rate);
}

/** When the bucket will be full again if so many are taken now; what it does not hold is taken in advance. */
export function fullAfter(rate: BenUdpRate, fullAt: number, now: number, count = 1): number {
  return Math.max(fullAt, now) + count * intervalOf(rate);
}

/** When the bucket will be full again if so many are given back. */
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

  /** @param reserve how many are to stay. */
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
 * Buckets for more keys than there is room for: an entry belongs to whoever used it last. A flood that pushes others out
 * makes their limits forgetful, never their traffic suffer. Where an entry lies depends on a secret, so nobody can aim.
 */
export class RateTable {
  private readonly owners: Uint32Array;
  private readonly fullAt: Float64Array;
  private readonly secretHigh = randomInt(0x1_0000_0000);
  private readonly secretLow = randomInt(0x1_0000_0000);
  private readonly mask: number;

  /** @param size a power of two. */
  constructor(
    private readonly rate: BenUdpRate,
    size: number,
  ) {
    this.owners = new Uint32Array(size);
    this.fullAt = new Float64Array(size);
    this.mask = size - 1;
  }

  allows(high: number, low: number, now: number): boolean {
    const owner = this.hash(high, low);
    const index = owner & this.mask;
    return this.owners[index] !== owner || isWithinRate(this.rate, this.fullAt[index]!, now);
  }

  take(high: number, low: number, now: number, count = 1): void {
    const owner = this.hash(high, low);
    const index = owner & this.mask;
    const fullAt = this.owners[index] === owner ? this.fullAt[index]! : now;
    this.owners[index] = owner;
    this.fullAt[index] = fullAfter(this.rate, fullAt, now, count);
  }

  refund(high: number, low: number, count = 1): void {
    const owner = this.hash(high, low);
    const index = owner & this.mask;
    if (this.owners[index] === owner) {
      this.fullAt[index] = refund(this.rate, this.fullAt[index]!, count);
    }
  }

  /** Mixes a key with the secret: multiplications by odd numbers and shifted XORs, which lose nothing of `low`. */
  private hash(high: number, low: number): number {
    let hash = Math.imul(high ^ this.secretHigh, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ low ^ this.secretLow, 0x85ebca77);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae3d);
    return (hash ^ (hash >>> 16)) >>> 0;
  }
}
