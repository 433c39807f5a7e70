/**
 * The budget for trying keys. A request does not name its key, so a request from an unknown endpoint costs one attempt for each
 * key. Junk could use up the attempts that new devices need. Three rules prevent that:
 * - A request that verifies costs nothing.
 * - If half of the budget is used, no search begins for a doubtful request.
 * - A search tries all keys or none, because half a search costs time and finds nobody.
 */
import { type RandomFill, systemRandom } from '../../random.js';
import type { IpPrefix } from '../remote.js';
import { type BenUdpRate, RateLimit, RateTable } from './rate-limit.js';

/** Sources whose attempts are counted; a power of two. */
const SOURCES = 65_536;

/** A source that has used this share of the budget is doubtful. It is refused only if others leave too little. */
const SHARE_OF_A_SOURCE = 1 / 5;

/** The same for the keys that verified at an address. They are few, so the share serves many requests. */
export const SHARE_OF_AN_ADDRESS = 1 / 2;

/** Bytes of request data for which one key counts as one attempt. The hash covers all data: 4 kB take 2.4 times as long as 16 bytes. */
const BYTES_PER_ATTEMPT = 2048;

export class KeyAttemptBudget {
  private readonly budget: RateLimit;
  private readonly sources: RateTable;
  private readonly reserve: number;

  constructor(rate: BenUdpRate, random: RandomFill = systemRandom, shareOfSource = SHARE_OF_A_SOURCE) {
    const share = { perSecond: rate.perSecond * shareOfSource, burst: Math.max(1, rate.burst * shareOfSource) };
    this.budget = new RateLimit(rate);
    this.sources = new RateTable(share, SOURCES, random);
    this.reserve = Math.floor(rate.burst / 2);
  }

  /**
   * Opens the account of one request.
   *
   * @param source whose share it counts for; `undefined` if its sender did not say hello. It must leave the reserve anyway, and otherwise
   * junk from a spoofed address would make its boards doubtful.
   * @param isFree whether its attempts cost nothing.
   */
  open(source: IpPrefix | undefined, dataBytes: number, now: number, isFree = false): AttemptCharge {
    return new AttemptCharge(this, source, isFree ? 0 : Math.ceil(dataBytes / BYTES_PER_ATTEMPT), now);
  }

  /** Whether a search may begin. */
  allows(source: IpPrefix | undefined, isDoubtful: boolean, now: number): boolean {
    const hasReserve = !isDoubtful && source !== undefined && this.sources.allows(source.high, source.low, now);
    const mustLeave = hasReserve ? 0 : this.reserve;
    return this.budget.allows(now, mustLeave);
  }

  /** Takes attempts out of the budget. If it holds fewer, they are taken in advance. */
  take(source: IpPrefix | undefined, count: number, now: number): void {
    if (source) {
      this.sources.take(source.high, source.low, now, count);
    }
    this.budget.take(now, count);
  }

  refund(source: IpPrefix | undefined, count: number): void {
    if (source) {
      this.sources.refund(source.high, source.low, count);
    }
    this.budget.refund(count);
  }
}

/** The attempts that one request is charged with. */
export class AttemptCharge {
  private charged = 0;

  /** @param weight the attempts that one key counts as; 0 if they cost nothing. */
  constructor(
    private readonly budget: KeyAttemptBudget,
    private readonly source: IpPrefix | undefined,
    readonly weight: number,
    private readonly now: number,
  ) {}

  /**
   * Takes the attempts for this number of keys, if the budget allows it.
   *
   * @param isDoubtful whether the half that is reserved for new devices must be left.
   */
  take(keys: number, isDoubtful: boolean): boolean {
    if (this.weight > 0 && !this.budget.allows(this.source, isDoubtful, this.now)) {
      return false;
    }
    const count = keys * this.weight;
    this.budget.take(this.source, count, this.now);
    this.charged += count;
    return true;
  }

  /** Refunds the attempts for this number of keys, because they were not made. */
  refund(keys: number): void {
    this.refundAttempts(keys * this.weight);
  }

  /** Refunds everything: the request has verified and its id is consumed, so nobody can repeat it. */
  refundAll(): void {
    this.refundAttempts(this.charged);
  }

  private refundAttempts(count: number): void {
    if (count > 0) {
      this.budget.refund(this.source, count);
      this.charged -= count;
    }
  }
}
