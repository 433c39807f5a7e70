/**
 * The pairs that a device may have read.
 *
 * The socket of a device keeps unread datagrams, and the device reads two of them in each exchange. After one stray, duplicated or
 * late datagram, a device that sends `noreturn` stays out of step for ever: it reads the end of one pair and the beginning of the
 * next, or the pair before. A strict server would never accept a request of it again. The ids that such a device computes are as
 * secret as the right one. They are as fresh too, if one of the two datagrams is of a live pair. So the server accepts them.
 */
import type { Sealed } from '../../protocol/index.js';
import { type PairHistory, type PairName, isSamePair } from './pair-history.js';

export interface IdCandidate {
  /** The datagrams that the device took for 2 and 3. */
  readonly sealedId: Sealed;
  /** The pair whose id such a request consumes. */
  readonly uses: PairName;
  /** Datagrams that are still unread on the device if it read these two. */
  readonly unread: number;
}

/** Turns the name of a pair into its datagrams. */
export type PairLookup = (name: PairName) => Sealed;

/** One datagram of a sent pair. */
interface SentDatagram {
  readonly pair: PairName;
  readonly part: keyof Sealed;
}

/** The candidate of a device in step: the latest pair, both datagrams of it. */
export function inStepCandidate({ latest }: PairHistory, pairOf: PairLookup): IdCandidate | undefined {
  return latest && !latest.isSingle ? { sealedId: pairOf(latest), uses: latest, unread: 0 } : undefined;
}

/** All other candidates, the likely ones first. */
export function* outOfStepCandidates({ sent }: PairHistory, pairOf: PairLookup): Iterable<IdCandidate> {
  yield* shiftedCandidates(sent.flatMap(datagramsOf), pairOf);
  const [latest, before] = sent;
  if (!latest || latest.isSingle) {
    return;
  }
  const { ciphertext, iv } = pairOf(latest);
  if (!before || !isSamePair(before, latest)) {
    // The network swapped the two. If the same pair was sent twice, the device is shifted, as above.
    yield { sealedId: { ciphertext: iv, iv: ciphertext }, uses: latest, unread: 0 };
  }
  // The first arrived twice.
  yield { sealedId: { ciphertext, iv: ciphertext }, uses: latest, unread: 1 };
  // The second arrived twice, and the first never.
  yield { sealedId: { ciphertext: iv, iv }, uses: latest, unread: 0 };
}

/** Any two consecutive datagrams. All datagrams after them are still unread. */
function* shiftedCandidates(datagrams: readonly SentDatagram[], pairOf: PairLookup): Iterable<IdCandidate> {
  for (let unread = 0; unread + 1 < datagrams.length; unread++) {
    const second = datagrams[unread]!;
    const first = datagrams[unread + 1]!;
    const isInStep = unread === 0 && first.pair === second.pair;
    if (!isInStep) {
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
