/**
 * Whether a request may be on its way for a pair or a GRANT that was issued a moment ago. It counts and does not remember them: a request
 * takes the latest from the count, so one that is never used expires by itself, even under continuous load.
 */

const BUCKET_MS = 100;

/** How long after its pair or GRANT a request may arrive: the round trip, and the cryptography of a slow board. */
export const REQUEST_DUE_MS = 1000;

/** One more than fit in the time, because the oldest has partly expired. */
const BUCKETS = REQUEST_DUE_MS / BUCKET_MS + 1;

export class AwaitedRequests {
  /** Requests by the time of the issue, as a ring. */
  private readonly counts = new Uint32Array(BUCKETS);
  private newest = -BUCKETS;
  private issuedAt = -Infinity;

  issue(now: number): void {
    this.forgetOld(now);
    this.counts[this.newest % BUCKETS]!++;
    this.issuedAt = now;
  }

  use(now: number): void {
    this.forgetOld(now);
    for (let age = 0; age < BUCKETS; age++) {
      const index = (this.newest + BUCKETS - age) % BUCKETS;
      if (this.counts[index]! > 0) {
        this.counts[index]!--;
        return;
      }
    }
  }

  isAny(now: number): boolean {
    this.forgetOld(now);
    return now - this.issuedAt < REQUEST_DUE_MS && this.counts.some((count) => count > 0);
  }

  private forgetOld(now: number): void {
    const bucket = Math.floor(now / BUCKET_MS);
    if (bucket - this.newest >= BUCKETS) {
      this.counts.fill(0);
    } else {
      for (let each = this.newest + 1; each <= bucket; each++) {
        this.counts[each % BUCKETS] = 0;
      }
    }
    this.newest = Math.max(this.newest, bucket);
  }
}
