/**
 * The latest pairs that an endpoint was sent. A device with unread datagrams in its socket takes its id from the oldest of them.
 */

/** Names a pair: the input of its derivation, without the endpoint. */
export interface PairName {
  readonly slot: number;
  /** Counts the pairs of the endpoint in the slot, from its first request on. Before that, each slot has one pair, with 0. */
  readonly n: number;
}

/** A pair that was sent to an endpoint. */
export interface SentPair extends PairName {
  /** Whether only the first datagram was sent, to bring the device back into step. */
  readonly isSingle: boolean;
}

export interface PairHistory {
  /** At most `REMEMBERED_PAIRS`, the latest first. A pair that was sent twice is in it twice. */
  readonly sent: readonly SentPair[];
  /** The first of `sent`. */
  readonly latest: SentPair | undefined;
  /** The time of the latest hello that was not a copy. */
  readonly sentAt: number;
}

/**
 * The pairs from which the id of a device that is out of step is recognised: it may have the datagrams of all but one of them
 * unread. lwIP as ESP-IDF builds it keeps 6 unread datagrams for a socket and drops newer ones; other boards keep fewer.
 */
export const REMEMBERED_PAIRS = 4;

/** Pairs of one endpoint and slot that a `PackedPair` can distinguish: many times more than a processor can answer in 10 s. */
const MAX_PAIRS_IN_SLOT = 2 ** 24;

/** A sent pair as one number, which takes a tenth of the memory of the object. Exact for the first 85 years of a process. */
export type PackedPair = number;

export function packPair({ slot, n }: PairName, isSingle: boolean): PackedPair {
  return (slot * MAX_PAIRS_IN_SLOT + n) * 2 + (isSingle ? 1 : 0);
}

export function unpackPair(packed: PackedPair): SentPair {
  const isSingle = packed % 2 === 1;
  const name = (packed - (isSingle ? 1 : 0)) / 2;
  const n = name % MAX_PAIRS_IN_SLOT;
  return { slot: (name - n) / MAX_PAIRS_IN_SLOT, n, isSingle };
}

/** Whether a packed pair, single or not, has this name. */
export function isPacked(packed: PackedPair, name: PairName): boolean {
  const first = packPair(name, false);
  return packed === first || packed === first + 1;
}

export function isSamePair(a: PairName, b: PairName): boolean {
  return a.slot === b.slot && a.n === b.n;
}

/** The history of an endpoint that has not verified: it was sent the first pair of each of these slots. */
export function historyOf(slots: readonly number[], sentAt: number): PairHistory {
  const sent = slots.map((slot) => ({ slot, n: 0, isSingle: false }));
  return { sent, latest: sent[0], sentAt };
}
