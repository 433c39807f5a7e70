/**
 * What a device may have read as its pair.
 *
 * A device's socket keeps datagrams it has not read, and the device reads two at each exchange. Once a stray, duplicated or
 * late datagram is in the way, one that sends `noreturn` stays out of step for ever: each time it reads the end of one pair
 * and the beginning of the next, or the pair before. A strict server would never hear it again. The ids it computes then are
 * as secret as the right one, and as fresh where a datagram of a live pair is among the two, so they are accepted.
 */
import type { Sealed } from '../../protocol/index.js';
import { type PairHistory, type PairName, isSamePair } from './pair-history.js';

export interface IdCandidate {
  /** What the device took for datagrams 2 and 3. */
  readonly sealedId: Sealed;
  /** The pair whose id a request under this reading uses up. */
  readonly uses: PairName;
  /** How many datagrams are still unread on the device if it read this. */
  readonly unread: number;
}

/** Turns a pair's name into its datagrams. */
export type PairLookup = (name: PairName) => Sealed;

/** A datagram that was sent, of which pair. */
interface SentDatagram {
  readonly pair: PairName;
  readonly part: keyof Sealed;
}

/** The reading that is meant: the latest pair, whole. */
export function inStepCandidate({ latest }: PairHistory, pairOf: PairLookup): IdCandidate | undefined {
  return latest && !latest.isSingle ? { sealedId: pairOf(latest), uses: latest, unread: 0 } : undefined;
}

/** All other readings, the likely ones first. */
export function* outOfStepCandidates({ sent }: PairHistory, pairOf: PairLookup): Iterable<IdCandidate> {
  yield* shiftedCandidates(sent.flatMap(datagramsOf), pairOf);
  const [latest, before] = sent;
  if (!latest || latest.isSingle) {
    return;
  }
  const { ciphertext, iv } = pairOf(latest);
  if (!before || !isSamePair(before, latest)) {
    // The two changed places on the way. Where the same pair was sent twice, the device is shifted, as above.
    yield { sealedId: { ciphertext: iv, iv: ciphertext }, uses: latest, unread: 0 };
  }
  // The first came twice.
  yield { sealedId: { ciphertext, iv: ciphertext }, uses: latest, unread: 1 };
  // The second came twice, and the first never.
  yield { sealedId: { ciphertext: iv, iv }, uses: latest, unread: 0 };
}

/** Any two datagrams in a row: so many as came after them are still unread. */
function* shiftedCandidates(datagrams: readonly SentDatagram[], pairOf: PairLookup): Iterable<IdCandidate> {
  for (let unread = 0; unread + 1 < datagrams.length; unread++) {
    const second = datagrams[unread]!;
    const first = datagrams[unread + 1]!;
    const isPlain = unread === 0 && first.pair === second.pair;
    if (!isPlain) {
      yield {
        sealedId: { ciphertext: pairOf(first.pair)[first.part], iv: pairOf(second.pair)[second.part] },
        // The newer of the two makes the id fresh.
        uses: second.pair,
        unread,
      };
    }
  }
}

/** The datagrams of a pair, the later one first. */
function datagramsOf(pair: PairHistory['sent'][number]): SentDatagram[] {
  const ciphertext: SentDatagram = { pair, part: 'ciphertext' };
  return pair.isSingle ? [ciphertext] : [{ pair, part: 'iv' }, ciphertext];
}
