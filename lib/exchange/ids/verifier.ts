/**
 * Finds the id and the key under which the hash of a request is right.
 */
import type { KeyRing, RingKey } from '../../keys/index.js';
import { type Envelope, type Hmac, type Sealed, isDigest } from '../../protocol/index.js';
import type { AttemptCharge } from '../limits/key-attempt-budget.js';
import type { Sender } from '../remote.js';
import { type IdCandidate, type PairLookup, inStepCandidate, outOfStepCandidates } from './id-candidate.js';
import { derivePair, openId, toPair } from './id-pair.js';
import { type PairHistory, type PairName, isSamePair } from './pair-history.js';

/** The key and the id under which a hash is right. */
export interface Verified {
  readonly key: RingKey;
  readonly id: Buffer;
  readonly candidate: IdCandidate;
  /** Whether the id is live and unused. If not, it only shows which device sent the request, and how many datagrams it has unread. */
  readonly isLive: boolean;
}

export interface VerifyInput {
  readonly envelope: Envelope;
  readonly sender: Sender;
  readonly history: PairHistory;
  /** Whether the history is known. The unread datagrams of a device can't be concluded from a guess. */
  readonly isRemembered: boolean;
  /** The derived bytes of the latest pair, if they are still known. */
  readonly derived: string | undefined;
  /** Whether the id of a pair is live and unused. */
  readonly isUsable: (pair: PairName) => boolean;
  /** The key that verified last. */
  readonly knownKey: RingKey | undefined;
  /** Whether only the free attempt is made. */
  readonly isFreeOnly: boolean;
  /** The attempts are charged to this. */
  readonly attempts: AttemptCharge;
}

export class Verifier {
  constructor(
    private readonly secret: Hmac,
    /** Whether requests of devices that are out of step are accepted. */
    private readonly repair: boolean,
  ) {}

  /** `undefined` if the hash matches nothing, 'key-attempt-budget' if the budget did not allow to try everything. */
  verify(input: VerifyInput, keys: KeyRing): Verified | 'key-attempt-budget' | undefined {
    const { history, isRemembered, isUsable } = input;
    // A key that has left the ring is not tried.
    const knownKey = input.knownKey && keys.has(input.knownKey) ? input.knownKey : undefined;
    const pairOf = this.createPairLookup(input);
    const latest = inStepCandidate(history, pairOf);
    const inStep = latest && isUsable(latest.uses) ? latest : undefined;
    // This attempt is free. A known device that is in step needs no other.
    const found = inStep && knownKey && tryKey(input, knownKey, inStep);
    if (found || input.isFreeOnly) {
      return found || undefined;
    }
    const inSteps = inStep ? [inStep] : [];
    const outOfSteps = this.repair && isRemembered ? outOfStepCandidates(history, pairOf) : [];
    if (!knownKey) {
      return search(input, keys.keys, inSteps, !isRemembered) ?? search(input, keys.keys, outOfSteps, true);
    }
    // Another key is only likely if another device has got the address, and that device is in step.
    return search(input, [knownKey], outOfSteps, false) ?? search(input, keys.keys, inSteps, true, knownKey);
  }

  /** Derives each pair at most once. */
  private createPairLookup({ sender, history, derived }: VerifyInput): PairLookup {
    const pairs: Array<{ readonly name: PairName; readonly pair: Sealed }> = [];
    return (name) => {
      const known = pairs.find((each) => isSamePair(each.name, name));
      if (known) {
        return known.pair;
      }
      const isAtHand = derived !== undefined && history.latest !== undefined && isSamePair(history.latest, name);
      const pair = toPair(isAtHand ? derived : derivePair(this.secret, sender.name, name.slot, name.n));
      pairs.push({ name, pair });
      return pair;
    };
  }
}

/** Tries keys for one candidate after the other. Each candidate is charged in advance. A key that was tried before is left out. */
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
  const id = openId(key.trialSealer, candidate.sealedId);
  if (!isDigest(envelope.hash, id, envelope.data, envelope.iv)) {
    // It may be the id of another device, whose key comes later.
    id.fill(0);
    return undefined;
  }
  return { key, id, candidate, isLive: isUsable(candidate.uses) };
}
