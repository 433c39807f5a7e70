/**
 * The budget for trying keys. Nothing in a request names its key, so one whose key is not known costs a trial for each key there
 * is, and whoever sends junk could use up the time in which new devices are to be recognised. Three rules keep that apart:
 * a request that verifies costs nothing, one that looks doubtful can't touch half of the budget, and all keys are tried or none,
 * for a search that is broken off has cost its time and finds nobody.
 */
import { type Rate, RateLimit } from './rate-limit.js';

/** Data of a request for which the trial of a key counts as one. A hash goes over all of it: 4 kB take 2.4 times as long as 16 bytes. */
const BYTES_OF_A_TRIAL = 2048;

export class KeyTrials {
  private readonly budget: RateLimit;
  private readonly reserve: number;

  constructor(rate: Rate) {
    this.budget = new RateLimit(rate);
    this.reserve = Math.floor(rate.burst / 2);
  }

  /** Opens the account of one request. */
  open(dataBytes: number, now: number): TrialAccount {
    return new TrialAccount(this.budget, this.reserve, Math.ceil(dataBytes / BYTES_OF_A_TRIAL), now);
  }
}

/** What the trials for one request are charged to. */
export class TrialAccount {
  /** Trials that are charged. */
  charged = 0;

  constructor(
    private readonly budget: RateLimit,
    private readonly reserve: number,
    private readonly weight: number,
    private readonly now: number,
  ) {}

  /**
   * Charges the trial of so many keys where the budget holds one; what it does not hold is taken in advance.
   *
   * @param isDoubtful whether the half that is kept for new devices must be left.
   */
  charge(keys: number, isDoubtful: boolean): boolean {
    if (!this.budget.allows(this.now, isDoubtful ? this.reserve : 0)) {
      return false;
    }
    const count = keys * this.weight;
    this.budget.take(this.now, count);
    this.charged += count;
    return true;
  }

  /** The request has verified, under an id that is live: nobody can repeat that. */
  giveBack(): void {
    this.budget.giveBack(this.charged);
    this.charged = 0;
  }
}
