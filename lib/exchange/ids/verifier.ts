/**
 * Finds the id, and the key, under which the hash of a request is right.
 */
import { type Envelope, type Hmac, type Sealed, isDigest } from '../../protocol/index.js';
import { derivePair, openId, toPair } from './id-pair.js';
import type { KeyRing, RingKey } from '../../keys/key-ring.js';
import type { AttemptCharge } from '../limits/key-attempt-budget.js';
import { type PairHistory, type PairName, isSamePair } from './pair-history.js';
import { type PairLookup, type IdCandidate, outOfStepCandidates, inStepCandidate } from './id-candidate.js';
import { type BenUdpRemote, endpointName } from '../limits/ip-prefix.js';

/** What a hash was found to be right under. */
export interface Verified {
  readonly key: RingKey;
  readonly id: Buffer;
  readonly candidate: IdCandidate;
  /** Whether the id is live and unused. One that is not shows who asks and what its device has unread, and no more. */
  readonly isLive: boolean;
}

export interface VerifyInput {
  readonly envelope: Envelope;
  readonly remote: BenUdpRemote;
  readonly history: PairHistory;
  /** Whether the history is more than a guess: what a device has left unread can't be told from one. */
  readonly isRemembered: boolean;
  /** What the latest pair of the history was derived to, where that is still known. */
  readonly derived: string | undefined;
  /** Whether the id of a pair is live and unused. */
  readonly isUsable: (pair: PairName) => boolean;
  /** The key that verified last. */
  readonly knownKey: RingKey | undefined;
  /** What trials are charged to. */
  readonly attempts: AttemptCharge;
}

export class Verifier {
  constructor(
    private readonly secret: Hmac,
    /** Whether devices that are out of step are heard. */
    private readonly repair: boolean,
  ) {}

  /** `undefined` where the hash fits nothing, 'key-attempt-budget' where not everything could be tried. */
  verify(input: VerifyInput, keys: KeyRing): Verified | 'key-attempt-budget' | undefined {
    const { history, isRemembered, isUsable } = input;
    // A key that is not in the ring any more is not tried.
    const knownKey = input.knownKey && keys.has(input.knownKey) ? input.knownKey : undefined;
    const pairOf = this.createPairSource(input);
    const latest = inStepCandidate(history, pairOf);
    const plain = latest && isUsable(latest.uses) ? latest : undefined;
    // The one trial that is free: no more is needed for a known device that is in step.
    const found = plain && knownKey && tryKey(input, knownKey, plain);
    if (found) {
      return found;
    }
    const plains = plain ? [plain] : [];
    const odds = this.repair && isRemembered ? outOfStepCandidates(history, pairOf) : [];
    if (!knownKey) {
      return search(input, keys.keys, plains, !isRemembered) ?? search(input, keys.keys, odds, true);
    }
    // Another key is likely only where another device has got the address, and that one is in step.
    return search(input, [knownKey], odds, false) ?? search(input, keys.keys, plains, true, knownKey);
  }

  /** Derives each pair at most once. */
  private createPairSource({ remote, history, derived }: VerifyInput): PairLookup {
    const pairs: Array<{ readonly name: PairName; readonly pair: Sealed }> = [];
    return (name) => {
      const known = pairs.find((each) => isSamePair(each.name, name));
      if (known) {
        return known.pair;
      }
      const isAtHand = derived !== undefined && history.latest !== undefined && isSamePair(history.latest, name);
      const pair = toPair(isAtHand ? derived : derivePair(this.secret, endpointName(remote), name.slot, name.n));
      pairs.push({ name, pair });
      return pair;
    };
  }
}

/** Tries keys under one candidate after the other, each charged before; the key that was tried by itself already is left out. */
function search(
  input: VerifyInput,
  keys: readonly RingKey[],
  candidates: Iterable<IdCandidate>,
  isDoubtful: boolean,
  tried?: RingKey,
): Verified | 'key-attempt-budget' | undefined {
  const count = tried ? keys.length - 1 : keys.length;
  if (count === 0) {
    return undefined;
  }
  for (const candidate of candidates) {
    if (!input.attempts.charge(count, isDoubtful)) {
      return 'key-attempt-budget';
    }
    for (const key of keys) {
      const found = key === tried ? undefined : tryKey(input, key, candidate);
      if (found) {
        return found;
      }
    }
  }
  return undefined;
}

function tryKey({ envelope, isUsable }: VerifyInput, key: RingKey, candidate: IdCandidate): Verified | undefined {
  const id = openId(key.sealer, candidate.sealedId);
  if (!isDigest(envelope.hash, id, envelope.data, envelope.iv)) {
    // It may be the id of another device, whose key was not tried yet.
    id.fill(0);
    return undefined;
  }
  return { key, id, candidate, isLive: isUsable(candidate.uses) };
}
