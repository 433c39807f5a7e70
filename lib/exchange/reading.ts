/**
 * What a device may have read as its pair.
 *
 * A device's socket keeps datagrams it has not read. One that never reads more than two, because it sends `noreturn`, stays
 * out of step for ever once a stray, duplicated or late datagram is in the way: each time it reads the end of one pair and
 * the beginning of the next. A strict server would never hear it again. The ids it computes then are as secret and as fresh
 * as the right one, so they are accepted too.
 */
import type { Sealed } from '../protocol/index.js';
import { type PairHistory, type PairName, isSamePair } from './pair-history.js';

export interface Reading {
  /** What the device took for datagrams 2 and 3. */
  readonly read: Sealed;
  /** The pair whose id a request under this reading uses up. */
  readonly uses: PairName;
  /** What is still unread on the device if it read this. */
  readonly leftover: 'nothing' | 'iv' | 'pair';
}

/** Turns a pair's name into its datagrams. */
export type PairSource = (name: PairName) => Sealed;

/** A pair read as it was meant: the last one, or the one before, while the last one still waits to be read. */
export function* plainReadings(
  { last, before }: PairHistory,
  isUsable: (name: PairName) => boolean,
  pairOf: PairSource,
): Iterable<Reading> {
  if (isUsable(last)) {
    yield { read: pairOf(last), uses: last, leftover: 'nothing' };
  }
  if (before && !isSamePair(before, last) && isUsable(before)) {
    yield { read: pairOf(before), uses: before, leftover: 'pair' };
  }
}

/**
 * The readings of a device that is out of step by one datagram, and of datagrams that the network repeated or exchanged.
 * Each holds a datagram of the last pair, so the id is fresh, and is used up with that pair.
 */
export function* shiftedReadings({ last, before, isSingle }: PairHistory, pairOf: PairSource): Iterable<Reading> {
  const { ciphertext, iv } = pairOf(last);
  if (before) {
    // What stayed of the pair before, then the beginning of this one. Nothing stays where only that was sent.
    yield {
      read: { ciphertext: pairOf(before).iv, iv: ciphertext },
      uses: last,
      leftover: isSingle ? 'nothing' : 'iv',
    };
  }
  if (isSingle) {
    return;
  }
  if (!before || !isSamePair(before, last)) {
    // The two changed places. Where the same pair was sent twice, the reading above says this, and more is left.
    yield { read: { ciphertext: iv, iv: ciphertext }, uses: last, leftover: 'nothing' };
  }
  // The first came twice.
  yield { read: { ciphertext, iv: ciphertext }, uses: last, leftover: 'iv' };
  // The second came twice, and the first never.
  yield { read: { ciphertext: iv, iv }, uses: last, leftover: 'nothing' };
}
