/**
 * Searches for the id and the key of a request, a few attempts at a time. A request does not name its key, so the search tries key after
 * key, for each id that the device may have computed.
 */
import type { RingKey } from '../../keys/index.js';
import { BLOCK_BYTES, type Envelope, isDigest, stripWhiteSpace } from '../../protocol/index.js';
import type { AttemptCharge } from '../limits/key-attempt-budget.js';
import type { IdCandidate } from './id-candidate.js';

/** The id of one attempt. Overwritten after it. */
const attempted = Buffer.alloc(BLOCK_BYTES);

/** The key and the id under which a hash is right. */
export interface Match {
  readonly key: RingKey;
  readonly id: Buffer;
  readonly candidate: IdCandidate;
}

/** Keys that are tried for each of some candidates. */
export interface Round {
  readonly keys: readonly RingKey[];
  readonly candidates: Iterable<IdCandidate>;
  /** Whether the half of the budget that is reserved for new devices must be left. */
  readonly isDoubtful: boolean;
  /** A key that was tried before, and is skipped. */
  readonly tried?: RingKey;
}

/** The match of a search, or the reason why it failed. */
export type SearchResult = Match | 'bad-hash' | 'key-attempt-budget';

export class KeySearch {
  private readonly attempts: Iterator<Match | undefined, SearchResult>;
  /** Attempts that are paid and not made yet. */
  private paid = 0;

  /** @param charge pays for the attempts of each candidate in advance: half a search costs time and finds nobody. */
  constructor(
    private envelope: Envelope,
    rounds: Iterable<Round>,
    private readonly charge: AttemptCharge,
  ) {
    this.attempts = this.tryAll(rounds);
  }

  /** Makes attempts worth at most `limit` keys, and at least one; `undefined` if the search has not ended. */
  run(limit: number): SearchResult | undefined {
    for (let spent = 0; spent < limit; spent += Math.max(1, this.charge.weight)) {
      const { done, value } = this.attempts.next();
      if (done || value) {
        return value;
      }
    }
    return undefined;
  }

  /** Continues with a copy of the envelope, because the next datagram reuses its memory. */
  keepEnvelope(): Envelope {
    const { hash, data, iv } = this.envelope;
    this.envelope = { hash: Buffer.from(hash), data: Buffer.from(data), iv: Buffer.from(iv) };
    return this.envelope;
  }

  /** Refunds the attempts that were not made. */
  abandon(): void {
    this.charge.refund(this.paid);
  }

  private *tryAll(rounds: Iterable<Round>): Iterator<Match | undefined, SearchResult> {
    for (const { keys, candidates, isDoubtful, tried } of rounds) {
      const count = tried ? keys.length - 1 : keys.length;
      for (const candidate of count > 0 ? candidates : []) {
        if (!this.charge.take(count, isDoubtful)) {
          return 'key-attempt-budget';
        }
        this.paid = count;
        for (const key of keys) {
          if (key !== tried) {
            this.paid--;
            yield matchOf(this.envelope, key, candidate);
          }
        }
      }
    }
    return 'bad-hash';
  }
}

export function matchOf({ hash, data, iv }: Envelope, key: RingKey, candidate: IdCandidate): Match | undefined {
  if (!key.openBlock(candidate.sealedId, attempted)) {
    return undefined;
  }
  const opened = stripWhiteSpace(attempted);
  let match: Match | undefined;
  if (isDigest(hash, opened, data, iv)) {
    const id = Buffer.alloc(opened.length);
    id.set(opened);
    match = { key, id, candidate };
  }
  // It may be the id of another device, whose key comes later.
  attempted.fill(0);
  return match;
}
