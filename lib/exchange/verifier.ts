/**
 * Finds the id, and the key, under which the hash of a request is right.
 */
import { type Envelope, type Hmac, type Sealed, isDigest } from '../protocol/index.js';
import { derivePair, openId, toPair } from './id-pair.js';
import type { KeyRing, RingKey } from './key-ring.js';
import { type PairHistory, type PairName, isSamePair } from './pair-history.js';
import { type PairSource, type Reading, oddReadings, plainReading } from './reading.js';
import { type Remote, endpointName } from './source.js';

/** What a hash was found to be right under. */
export interface Verified {
  readonly key: RingKey;
  readonly id: Buffer;
  readonly reading: Reading;
  /** Whether the id is live and unused. One that is not shows who asks and what its device has unread, and no more. */
  readonly isLive: boolean;
}

export interface Question {
  readonly envelope: Envelope;
  readonly remote: Remote;
  readonly history: PairHistory;
  /** Whether the history is more than a guess: what a device has left unread can't be told from one. */
  readonly isRemembered: boolean;
  /** What the latest pair of the history was derived to, where that is still known. */
  readonly derived: string | undefined;
  /** Whether the id of a pair is live and unused. */
  readonly isUsable: (pair: PairName) => boolean;
  /** The key that verified last. */
  readonly knownKey: RingKey | undefined;
  /** Asked before each other key is tried. */
  readonly mayTry: () => boolean;
}

export class Verifier {
  constructor(
    private readonly secret: Hmac,
    /** Whether devices that are out of step are heard. */
    private readonly repair: boolean,
  ) {}

  /** `undefined` where the hash fits nothing, 'trial-budget' where not everything could be tried. */
  verify(question: Question, keys: KeyRing): Verified | 'trial-budget' | undefined {
    const { history, isUsable } = question;
    const pairOf = this.createPairSource(question);
    const plain = plainReading(history, pairOf);
    const found = plain && isUsable(plain.uses) ? tryKeys(question, keys, plain) : undefined;
    if (found || !this.repair || !question.isRemembered) {
      return found;
    }
    for (const reading of oddReadings(history, pairOf)) {
      const odd = tryKeys(question, keys, reading);
      if (odd) {
        return odd;
      }
    }
    return undefined;
  }

  /** Derives each pair at most once. */
  private createPairSource({ remote, history, derived }: Question): PairSource {
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

/** The key that verified last is tried first, and without asking. One that is not in the ring any more is not tried. */
function tryKeys(question: Question, keys: KeyRing, reading: Reading): Verified | 'trial-budget' | undefined {
  const { knownKey, mayTry } = question;
  const verified = knownKey && keys.has(knownKey) ? tryKey(question, knownKey, reading) : undefined;
  if (verified) {
    return verified;
  }
  for (const key of keys.keys) {
    if (key === knownKey) {
      continue;
    }
    if (!mayTry()) {
      return 'trial-budget';
    }
    const found = tryKey(question, key, reading);
    if (found) {
      return found;
    }
  }
  return undefined;
}

function tryKey({ envelope, isUsable }: Question, key: RingKey, reading: Reading): Verified | undefined {
  const id = openId(key.sealer, reading.read);
  return isDigest(envelope.hash, id, envelope.data, envelope.iv)
    ? { key, id, reading, isLive: isUsable(reading.uses) }
    : undefined;
}
