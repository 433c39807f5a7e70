/**
 * Finds the id, and the key, under which the hash of a request is right.
 */
import { timingSafeEqual } from 'node:crypto';
import { type Envelope, type Sealed, digest } from '../protocol/index.js';
import { deriveId, derivePair } from './id-pair.js';
import type { KeyRing, RingKey } from './key-ring.js';
import type { PairHistory, PairName } from './pair-history.js';
import { type Reading, plainReadings, shiftedReadings } from './reading.js';

/** What a hash was found to be right under. */
export interface Verified {
  readonly key: RingKey;
  readonly id: Buffer;
  readonly reading: Reading;
  /** Whether the id is live and unused. One that is not proves who asks and tells where the device's queue stands, no more. */
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
    /** Whether readings of devices that are out of step are accepted. */
    private readonly repair: boolean,
  ) {}

  /** `undefined` where the hash fits nothing, 'trial-budget' where not everything could be tried. */
  verify(question: Question, keys: KeyRing): Verified | 'trial-budget' | undefined {
    const { history, isUsable } = question;
    const pairOf = this.pairSource(question.endpoint);
    for (const reading of plainReadings(history, isUsable, pairOf)) {
      const found = tryKeys(question, keys, reading, true);
      if (found) {
        return found;
      }
    }
    if (!this.repair) {
      return undefined;
    }
    if (isUsable(history.last)) {
      for (const reading of shiftedReadings(history, pairOf)) {
        const found = tryKeys(question, keys, reading, true);
        if (found) {
          return found;
        }
      }
    }
    const { before } = history;
    if (before && !isUsable(before)) {
      return tryKeys(question, keys, { read: pairOf(before), uses: before, leftover: 'pair' }, false);
    }
    return undefined;
  }

  /** Derives each pair once. */
  private pairSource(endpoint: string): (name: PairName) => Sealed {
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
  { envelope: { hash, data, iv }, knownKey, mayTry }: Question,
  keys: KeyRing,
  reading: Reading,
  isLive: boolean,
): Verified | 'trial-budget' | undefined {
  for (const key of keys.startingWith(knownKey)) {
    if (key !== knownKey && !mayTry()) {
      return 'trial-budget';
    }
    const id = deriveId(key.sealer, reading.read);
    if (timingSafeEqual(digest(id, data, iv), hash)) {
      return { key, id, reading, isLive };
    }
  }
  return undefined;
}
