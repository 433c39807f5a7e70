/**
 * Finds the id, and the key, under which the hash of a request is right.
 */
import { timingSafeEqual } from 'node:crypto';
import { type Envelope, type Sealed, digest } from '../protocol/index.js';
import { deriveId, derivePair } from './id-pair.js';
import type { KeyRing, RingKey } from './key-ring.js';
import type { PairHistory, PairName } from './pair-history.js';
import { type PairSource, type Reading, oddReadings, plainReading } from './reading.js';

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
  /** Address and port. */
  readonly endpoint: string;
  readonly history: PairHistory;
  /** Whether the id of a pair is live and unused. */
  readonly isUsable: (pair: PairName) => boolean;
  /** The key that verified last. */
  readonly knownKey: RingKey | undefined;
  /** Asked before each other key is tried. */
  readonly mayTry: () => boolean;
}

export class Verifier {
  constructor(
    private readonly secret: Uint8Array,
    /** Whether devices that are out of step are heard. */
    private readonly repair: boolean,
  ) {}

  /** `undefined` where the hash fits nothing, 'trial-budget' where not everything could be tried. */
  verify(question: Question, keys: KeyRing): Verified | 'trial-budget' | undefined {
    const { history, endpoint, isUsable } = question;
    const pairOf = this.createPairSource(endpoint);
    const plain = plainReading(history, pairOf);
    const found = plain && isUsable(plain.uses) ? tryKeys(question, keys, plain) : undefined;
    if (found || !this.repair) {
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

  /** Derives each pair once. */
  private createPairSource(endpoint: string): PairSource {
    const pairs = new Map<string, Sealed>();
    return ({ slot, n }) => {
      const name = `${slot}|${n}`;
      let pair = pairs.get(name);
      if (!pair) {
        pair = derivePair(this.secret, endpoint, slot, n);
        pairs.set(name, pair);
      }
      return pair;
    };
  }
}

function tryKeys(
  { envelope: { hash, data, iv }, knownKey, mayTry, isUsable }: Question,
  keys: KeyRing,
  reading: Reading,
): Verified | 'trial-budget' | undefined {
  for (const key of keys.startingWith(knownKey)) {
    if (key !== knownKey && !mayTry()) {
      return 'trial-budget';
    }
    const id = deriveId(key.sealer, reading.read);
    if (timingSafeEqual(digest(id, data, iv), hash)) {
      return { key, id, reading, isLive: isUsable(reading.uses) };
    }
  }
  return undefined;
}
