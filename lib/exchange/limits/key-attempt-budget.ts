/**
 * The budget for trying keys. Nothing in a request names its key, so one whose key is not known costs a trial for each key there
 * is, and whoever sends junk could use up the time in which new devices are to be recognised. Three rules keep that apart:
 * a request that verifies costs nothing, for one that looks doubtful no search begins once half of the budget is used, and all keys
 * are tried or none, for a search that is broken off has cost its time and finds nobody.
 */
import { type BenUdpRate, RateLimit, RateTable } from './rate-limit.js';
import { readIpPrefix } from './ip-prefix.js';

/** Sources whose trials are counted; a power of two. */
const SOURCES = 65_536;

/** Part of the budget after which whatever a source sends is doubtful. Nothing is refused for it while others leave enough. */
const SHARE_OF_A_SOURCE = 1 / 5;

/** Data of a request for which the trial of a key counts as one. A hash goes over all of it: 4 kB take 2.4 times as long as 16 bytes. */
const BYTES_OF_A_TRIAL = 2048;

export class KeyAttemptBudget {
  private readonly budget: RateLimit;
  private readonly sources: RateTable;
  private readonly reserve: number;

  constructor(rate: BenUdpRate) {
    const share = {
      perSecond: rate.perSecond * SHARE_OF_A_SOURCE,
      burst: Math.max(1, rate.burst * SHARE_OF_A_SOURCE),
    };
    this.budget = new RateLimit(rate);
    this.sources = new RateTable(share, SOURCES);
    this.reserve = Math.floor(rate.burst / 2);
  }

  /** Opens the account of one request. */
  open(address: string, dataBytes: number, now: number): AttemptCharge {
    return new AttemptCharge(this, address, Math.ceil(dataBytes / BYTES_OF_A_TRIAL), now);
  }

  /** Whether a search may begin. */
  allows(address: string, isDoubtful: boolean, now: number): boolean {
    const { high, low } = readIpPrefix(address);
    const mustLeave = isDoubtful || !this.sources.allows(high, low, now) ? this.reserve : 0;
    return this.budget.allows(now, mustLeave);
  }

  /** Takes trials out of the budget, in advance where it does not hold as many. */
  take(address: string, count: number, now: number): void {
    const { high, low } = readIpPrefix(address);
    this.sources.take(high, low, now, count);
    this.budget.take(now, count);
  }

  refund(address: string, count: number): void {
    const { high, low } = readIpPrefix(address);
    this.sources.refund(high, low, count);
    this.budget.refund(count);
  }
}

/** What the trials for one request are charged to. */
export class AttemptCharge {
  private charged = 0;

  constructor(
    private readonly trials: KeyAttemptBudget,
    private readonly address: string,
    private readonly weight: number,
    private readonly now: number,
  ) {}

  /**
   * Charges the trial of so many keys where the budget allows it.
   *
   * @param isDoubtful whether the half that is kept for new devices must be left.
   */
  charge(keys: number, isDoubtful: boolean): boolean {
    if (!this.trials.allows(this.address, isDoubtful, this.now)) {
      return false;
    }
    const count = keys * this.weight;
    this.trials.take(this.address, count, this.now);
    this.charged += count;
    return true;
  }

  /** The request has verified, and its id is used up: nobody can repeat that. */
  refund(): void {
    if (this.charged > 0) {
      this.trials.refund(this.address, this.charged);
      this.charged = 0;
    }
  }
}
