/**
 * The pairs an endpoint was sent last. A device whose socket holds datagrams it has not read takes its id from those first.
 */
import { randomInt } from 'node:crypto';

/** Names a pair: what it is derived from, besides the endpoint. */
export interface PairName {
  readonly slot: number;
  /** Counts the pairs of the endpoint in that slot, from its first request on. Before that there is one, with 0. */
  readonly n: number;
}

/** A pair on its way to an endpoint. */
export interface SentPair extends PairName {
  /** Whether only its first datagram was sent, to bring the device back into step. */
  readonly isSingle: boolean;
}

export interface PairHistory {
  /** At most `REMEMBERED_PAIRS`, the latest first; one that was sent twice stands there twice. */
  readonly sent: readonly SentPair[];
  /** The first of `sent`. */
  readonly latest: SentPair | undefined;
  /** When the latest was sent. */
  readonly sentAt: number;
}

/**
 * How far back a device that is out of step is recognised: it may have the datagrams of all but one of these unread. lwIP as
 * ESP-IDF builds it keeps 6 unread datagrams for a socket and drops what comes then; on the other boards it is fewer.
 */
export const REMEMBERED_PAIRS = 4;

/** Pairs of one endpoint and slot that are told apart in a `PackedPair`: many times more than a processor answers in 10 s. */
const MAX_PAIRS_IN_SLOT = 2 ** 24;

/** A sent pair as one number: a tenth of the object's memory. Exact for the first 85 years of a process. */
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

export function isSamePair(a: PairName, b: PairName): boolean {
  return a.slot === b.slot && a.n === b.n;
}

/** The history of an endpoint that has not verified: it was sent the first pair of each of these slots. */
export function historyOf(slots: readonly number[], sentAt: number): PairHistory {
  const sent = slots.map((slot) => ({ slot, n: 0, isSingle: false }));
  return { sent, latest: sent[0], sentAt };
}

/**
 * Histories of endpoints that have not verified yet: hints of fixed size, which a flood may overwrite. Losing one costs
 * nothing but the repair of a device that is out of step. Before the first request `n` is 0, so a slot names a pair.
 */
export class HelloCache {
  private readonly owners: Uint32Array;
  private readonly checks: Uint32Array;
  /** `REMEMBERED_PAIRS` for each entry, the latest first. */
  private readonly slots: Int32Array;
  private readonly sentAt: Float64Array;
  private readonly secret = randomInt(0x1_0000_0000);
  private readonly mask: number;

  /** @param size a power of two. */
  constructor(size: number) {
    this.owners = new Uint32Array(size);
    this.checks = new Uint32Array(size);
    this.slots = new Int32Array(size * REMEMBERED_PAIRS);
    this.sentAt = new Float64Array(size);
    this.mask = size - 1;
  }

  get(endpoint: string): PairHistory | undefined {
    const owner = hash(endpoint, this.secret);
    const index = owner & this.mask;
    if (this.owners[index] !== owner || this.checks[index] !== hash(endpoint, ~this.secret)) {
      return undefined;
    }
    const slots = this.slots.subarray(index * REMEMBERED_PAIRS, (index + 1) * REMEMBERED_PAIRS);
    const known = Array.from(slots).filter((slot) => slot !== NO_SLOT);
    return historyOf(known, this.sentAt[index]!);
  }

  /** Notes that the pair of `slot` was sent. */
  record(endpoint: string, slot: number, now: number): void {
    const owner = hash(endpoint, this.secret);
    const check = hash(endpoint, ~this.secret);
    const index = owner & this.mask;
    const first = index * REMEMBERED_PAIRS;
    if (this.owners[index] === owner && this.checks[index] === check) {
      this.slots.copyWithin(first + 1, first, first + REMEMBERED_PAIRS - 1);
    } else {
      this.owners[index] = owner;
      this.checks[index] = check;
      this.slots.fill(NO_SLOT, first + 1, first + REMEMBERED_PAIRS);
    }
    this.slots[first] = slot;
    this.sentAt[index] = now;
  }
}

const NO_SLOT = -1;

/** A keyed mix of a short string; strangers can't aim at an entry without the secret. */
function hash(text: string, secret: number): number {
  let mixed = secret | 0;
  for (let index = 0; index < text.length; index++) {
    mixed = Math.imul(mixed ^ text.charCodeAt(index), 0x9e3779b1);
    mixed ^= mixed >>> 15;
  }
  mixed = Math.imul(mixed ^ secret, 0x85ebca77);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
