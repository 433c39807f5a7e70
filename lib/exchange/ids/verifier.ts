/**
 * Finds the id and the key under which the hash of a request is right. It knows which pairs a device may have read, and in which order
 * keys are tried: first those that are likely, free of charge, then a search among all.
 */
import type { KeyRing, RingKey } from '../../keys/index.js';
import type { Envelope, Hmac, Sealed } from '../../protocol/index.js';
import type { Endpoint } from '../endpoint.js';
import type { AttemptCharge } from '../limits/key-attempt-budget.js';
import type { Sender } from '../remote.js';
import { type IdCandidate, type PairLookup, inStepCandidate, outOfStepCandidates } from './id-candidate.js';
import { LIVE_SLOTS, derivePair, toPair } from './id-pair.js';
import { KeySearch, type Match, type Round, matchOf } from './key-search.js';
import { type PairHistory, type PairName, historyOf, isSamePair } from './pair-history.js';

/** A request that claims to come from the holder of a key. */
export interface Claim {
  readonly envelope: Envelope;
  readonly sender: Sender;
  /** The current slot. */
  readonly slot: number;
  /** The endpoint, if it has verified before. */
  readonly known: Endpoint | undefined;
  /** The pairs that the endpoint was sent, if that is remembered. */
  readonly sent: PairHistory | undefined;
}

export class Verifier {
  constructor(
    private readonly secret: Hmac,
    /** Whether requests of devices that are out of step are accepted. */
    private readonly repair: boolean,
  ) {}

  /** Tries the keys that the endpoint is likely to have. A device that is in step needs no other attempt. */
  tryLikely(claim: Claim, likely: readonly RingKey[]): Match | undefined {
    if (likely.length === 0) {
      return undefined;
    }
    for (const history of historiesOf(claim)) {
      const candidate = usableCandidate(claim, history, (name) => this.pairOf(claim, name));
      if (!candidate) {
        continue;
      }
      for (const key of likely) {
        const match = matchOf(claim.envelope, key, candidate);
        if (match) {
          return match;
        }
      }
    }
    return undefined;
  }

  /** A search for all other ids and keys, the likely ones first. */
  search(claim: Claim, ring: KeyRing, charge: AttemptCharge): KeySearch {
    return new KeySearch(claim.envelope, this.roundsOf(claim, ring), charge);
  }

  private *roundsOf(claim: Claim, ring: KeyRing): Iterable<Round> {
    const { keys } = ring;
    const { known, sent } = claim;
    const pairOf = this.createPairLookup(claim);
    const inSteps = inStepCandidates(claim, pairOf);
    const outOfSteps = this.repair && sent ? outOfStepCandidates(sent, pairOf) : [];
    if (known && ring.has(known.key)) {
      yield { keys: [known.key], candidates: outOfSteps, isDoubtful: false };
      // Another key is only likely if another device has got the address, and that device is in step.
      yield { keys, candidates: inSteps, isDoubtful: true, tried: known.key };
      return;
    }
    yield { keys, candidates: inSteps, isDoubtful: sent === undefined };
    yield { keys, candidates: outOfSteps, isDoubtful: true };
  }

  /** Derives each pair at most once. */
  private createPairLookup(claim: Claim): PairLookup {
    const pairs: Array<{ readonly name: PairName; readonly pair: Sealed }> = [];
    return (name) => {
      const found = pairs.find((each) => isSamePair(each.name, name));
      if (found) {
        return found.pair;
      }
      const pair = this.pairOf(claim, name);
      pairs.push({ name, pair });
      return pair;
    };
  }

  private pairOf({ sender, known }: Claim, name: PairName): Sealed {
    const atHand = known?.isLatest(name) ? known.derived : undefined;
    return toPair(atHand ?? derivePair(this.secret, sender.name, name.slot, name.n));
  }
}

/** Whether the id of a pair is live and unused. */
export function isUsable({ slot, known }: Pick<Claim, 'slot' | 'known'>, pair: PairName): boolean {
  return pair.slot > slot - LIVE_SLOTS && pair.n >= (known?.usedIn(pair.slot) ?? 0);
}

/** The pairs that the endpoint was sent. If that is not remembered, it got the first pair of this slot, or of the one before. */
export function historiesOf({ sent, slot }: Pick<Claim, 'sent' | 'slot'>): readonly PairHistory[] {
  return sent ? [sent] : [historyOf([slot], -Infinity), historyOf([slot - 1], -Infinity)];
}

function* inStepCandidates(claim: Claim, pairOf: PairLookup): Iterable<IdCandidate> {
  for (const history of historiesOf(claim)) {
    const candidate = usableCandidate(claim, history, pairOf);
    if (candidate) {
      yield candidate;
    }
  }
}

/** The candidate of a device in step, if its id is live and unused. */
function usableCandidate(claim: Claim, history: PairHistory, pairOf: PairLookup): IdCandidate | undefined {
  const candidate = inStepCandidate(history, pairOf);
  return candidate && isUsable(claim, candidate.uses) ? candidate : undefined;
}
