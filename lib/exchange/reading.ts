/**
 * What a device may have read as its pair.
 *
 * A device's socket keeps datagrams it has not read, and the device reads two at each exchange. Once a stray, duplicated or
 * late datagram is in the way, one that sends `noreturn` stays out of step for ever: each time it reads the end of one pair
 * and the beginning of the next, or the pair before. A strict server would never hear it again. The ids it computes then are
 * as secret as the right one, and as fresh where a datagram of a live pair is among the two, so they are accepted.
 */
import type { Sealed } from '../protocol/index.js';
import { type PairHistory, type PairName, isSamePair } from './pair-history.js';

export interface Reading {
  /** What the device took for datagrams 2 and 3. */
  readonly read: Sealed;
  /** The pair whose id a request under this reading uses up. */
  readonly uses: PairName;
  /** How many datagrams are still unread on the device if it read this. */
  readonly leftover: number;
}

/** Turns a pair's name into its datagrams. */
export type PairSource = (name: PairName) => Sealed;

/** A datagram that was sent, of which pair. */
interface SentDatagram {
  readonly pair: PairName;
  readonly part: keyof Sealed;
}

/** The reading that is meant: the latest pair, whole. */
export function plainReading({ latest }: PairHistory, pairOf: PairSource): Reading | undefined {
  return latest && !latest.isSingle ? { read: pairOf(latest), uses: latest, leftover: 0 } : undefined;
}

/** All other readings, the likely ones first. */
export function* oddReadings({ sent }: PairHistory, pairOf: PairSource): Iterable<Reading> {
  yield* shiftedReadings(sent.flatMap(datagramsOf), pairOf);
  const [latest, before] = sent;
  if (!latest || latest.isSingle) {
    return;
  }
  const { ciphertext, iv } = pairOf(latest);
  if (!before || !isSamePair(before, latest)) {
    // The two changed places on the way. Where the same pair was sent twice, the device is shifted, as above.
    yield { read: { ciphertext: iv, iv: ciphertext }, uses: latest, leftover: 0 };
  }
  // The first came twice.
  yield { read: { ciphertext, iv: ciphertext }, uses: latest, leftover: 1 };
  // The second came twice, and the first never.
  yield { read: { ciphertext: iv, iv }, uses: latest, leftover: 0 };
}

/** Any two datagrams in a row: so many as came after them are still unread. */
function* shiftedReadings(datagrams: readonly SentDatagram[], pairOf: PairSource): Iterable<Reading> {
  for (let leftover = 0; leftover + 1 < datagrams.length; leftover++) {
    const second = datagrams[leftover]!;
    const first = datagrams[leftover + 1]!;
    const isPlain = leftover === 0 && first.pair === second.pair;
    if (!isPlain) {
      yield {
        read: { ciphertext: pairOf(first.pair)[first.part], iv: pairOf(second.pair)[second.part] },
        // The newer of the two makes the id fresh.
        uses: second.pair,
        leftover,
      };
    }
  }
}

/** The datagrams of a pair, the later one first. */
function datagramsOf(pair: PairHistory['sent'][number]): SentDatagram[] {
  const ciphertext: SentDatagram = { pair, part: 'ciphertext' };
  return pair.isSingle ? [ciphertext] : [{ pair, part: 'iv' }, ciphertext];
}
