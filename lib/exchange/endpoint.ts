/**
 * An endpoint that has verified: the pairs that it was sent and has used, what its requests show about its socket, and its limits.
 */
import type { RingKey } from '../keys/index.js';
import { type Backlog, NO_BACKLOG } from './ids/backlog.js';
import { LIVE_SLOTS, SLOT_MS } from './ids/id-pair.js';
import {
  type PackedPair,
  type PairHistory,
  type PairName,
  REMEMBERED_PAIRS,
  type SentPair,
  isPacked,
  packPair,
  unpackPair,
} from './ids/pair-history.js';
import type { Holder } from './limits/holder.js';
import { type BenUdpRate, fullAfter, isWithinRate } from './limits/rate-limit.js';

/** The answer to a hello: a pair, only its first datagram, or none. */
export type HelloAnswer = 'pair' | 'single' | 'nothing';

/**
 * Repairs of one endpoint: hellos that are withheld, or answered with half a pair, because its requests show unread datagrams. Each
 * needs a request that was never accepted, so replays cause none.
 */
export const REPAIR_RATE: BenUdpRate = { perSecond: 1, burst: 40 };

/**
 * How long an endpoint is under suspicion after a request has shown a pair that the device had not requested. Meanwhile a hello is taken
 * for a stray if the pair before it can still be used: the device has that pair unread, or an attacker forged the hello.
 */
const SUSPICION_MS = 60_000;

/** Hellos in a row that are taken for strays. It bounds the cost to a device whose timeout is shorter than ours. */
export const MAX_STRAYS = 4;

/** Limits of the time in which a second hello is taken for a copy that the network made. */
const MIN_DUPLICATE_MS = 20;
export const DUPLICATE_HELLO_MS = 250;

/** The device may take this many times its longest recent time. */
const LATENESS = 2;

/** Places in `packed`, after the pairs. */
const SENT_AT = REMEMBERED_PAIRS;
const FIRST_HASH = SENT_AT + 1;

/** Marks a pair that no request has used. */
const NO_HASH = -1;

/** An address and port that holds a key. */
export class Endpoint implements PairHistory {
  /** The derived bytes of the latest pair, until a request uses it: most requests come right after their hello. */
  derived: string | undefined;
  /** Whether a request has used the latest pair. */
  isLatestUsed = false;
  /** Failed requests in a row. */
  backlog: Backlog = NO_BACKLOG;
  /** Hellos that were withheld since the latest pair or request. */
  withheld = 0;
  /** The longest recent time from a pair to its request, in whole milliseconds; -1 if unknown. */
  requestMs = -1;
  /** Counts turns. A reply belongs to the turn of its request. */
  turn = 0;
  /** The time of the request whose reply is due; `undefined` if none is due. */
  waitingSince: number | undefined = undefined;
  /** Handlers that run for it. */
  running = 0;
  /** Rate limits of this endpoint, in the form of `rate-limit.ts`; `undefined` if the bucket is full, as it mostly is. */
  hellosFullAt: number | undefined = undefined;
  failuresFullAt: number | undefined = undefined;

  /**
   * `REMEMBERED_PAIRS`, the latest first, or `NO_PAIR`. Then the time of the latest hello that was not a copy. Then for each pair the short
   * hash of the request that used it, or `NO_HASH`: it distinguishes a copy of that request from a forgery. Changed in place in one array, which
   * takes the least memory: outside of it, V8 stores a number with a fraction as a separate object.
   */
  private readonly packed: PackedPair[];
  /** Unread datagrams on the device, as its last request shows. */
  private unread = 0;
  private repairsFullAt: number | undefined = undefined;
  /** The end of the suspicion in whole milliseconds; -1 for none. */
  private suspectUntil = -1;
  private slot = -1;
  private used = 0;
  private usedBefore = 0;

  /** @param key the key that verified last, which is tried first. */
  constructor(
    public key: RingKey,
    history: PairHistory,
    /** The owner, whose quotas it draws on. */
    public holder: Holder,
  ) {
    const [first, second, third, fourth] = history.sent;
    // Spelled out, because V8 leaves room to grow in an array that is spread into.
    this.packed = [
      packIfAny(first),
      packIfAny(second),
      packIfAny(third),
      packIfAny(fourth),
      history.sentAt,
      NO_HASH,
      NO_HASH,
      NO_HASH,
      NO_HASH,
    ];
  }

  get sentAt(): number {
    return this.packed[SENT_AT]!;
  }

  get sent(): SentPair[] {
    return this.packed
      .slice(0, REMEMBERED_PAIRS)
      .filter((packed) => packed !== NO_PAIR)
      .map(unpackPair);
  }

  get latest(): SentPair | undefined {
    const latest = this.packed[0]!;
    return latest === NO_PAIR ? undefined : unpackPair(latest);
  }

  isLatest(pair: PairName): boolean {
    return isPacked(this.packed[0]!, pair);
  }

  /**
   * Begins a turn: a hello, a request or a reply. After it no earlier reply may be sent.
   *
   * @param waitingSince the time of the request, if the device waits for a reply from now on.
   */
  beginTurn(waitingSince: number | undefined): number {
    this.waitingSince = waitingSince;
    return ++this.turn;
  }

  /** The first pair of a slot that may still be used. No pair before it may, so that no id is used twice. */
  usedIn(slot: number): number {
    if (slot === this.slot) {
      return this.used;
    }
    return slot === this.slot - 1 ? this.usedBefore : 0;
  }

  /**
   * The next pair of a slot. Each hello gets another one, even if no request has used the last. If a device had that one unread, its
   * id would look like the right one, and the device would take the unread datagrams for its reply.
   */
  nextIn(slot: number): number {
    const { latest } = this;
    return Math.max(this.usedIn(slot), latest?.slot === slot ? latest.n + 1 : 0);
  }

  /**
   * Consumes a pair of the `current` slot or of the one before, and the pairs before it.
   *
   * @returns whether it is the first of this endpoint in this slot.
   */
  consume(pair: PairName, current: number): boolean {
    const isFirst = current > this.slot;
    if (isFirst) {
      this.usedBefore = current === this.slot + 1 ? this.used : 0;
      this.used = 0;
      this.slot = current;
    }
    if (pair.slot === current) {
      this.used = pair.n + 1;
    } else {
      this.usedBefore = pair.n + 1;
    }
    if (!this.isLatestUsed && this.isLatest(pair)) {
      this.isLatestUsed = true;
      this.derived = undefined;
    }
    return isFirst;
  }

  /** The begin of the slot in which it verified last; `undefined` if no request of it was fresh. */
  get heardAt(): number | undefined {
    return this.slot < 0 ? undefined : this.slot * SLOT_MS;
  }

  /** Whether ids that this endpoint consumed could become valid again if it were forgotten. */
  isNeededIn(slot: number): boolean {
    return slot < this.slot + LIVE_SLOTS;
  }

  /** Whether a request with this short hash has used one of the remembered pairs. */
  isReplay(shortHash: number): boolean {
    return this.packed.includes(shortHash, FIRST_HASH);
  }

  /** Records the short hash of the request that used a pair, accepted or not: its copies show nothing about the device. */
  recordHash(pair: PairName, shortHash: number): void {
    for (let index = 0; index < REMEMBERED_PAIRS; index++) {
      if (isPacked(this.packed[index]!, pair)) {
        this.packed[FIRST_HASH + index] = shortHash;
        return;
      }
    }
  }

  /** Records the unread datagrams of the device. The next answers bring it back into step. */
  recordUnread(count: number): void {
    this.unread = count;
  }

  /** Whether the device is known to have unread datagrams. */
  get hasUnread(): boolean {
    return this.unread > 0;
  }

  /** Records that the device has read the latest pair. */
  recordRead(): void {
    this.isLatestUsed = true;
  }

  suspect(now: number): void {
    this.suspectUntil = Math.ceil(now) + SUSPICION_MS;
  }

  isSuspect(now: number): boolean {
    return now < this.suspectUntil;
  }

  /** Records the time from a pair to its request. An earlier maximum fades. */
  recordRequestTime(ms: number): void {
    // A forgotten hello has no time.
    if (ms === Infinity) {
      return;
    }
    this.requestMs = Math.max(Math.ceil(ms), this.requestMs - Math.ceil(this.requestMs / 8));
  }

  /** A second hello within this time is a copy that the network made: the device has not had time for more. */
  get duplicateMs(): number {
    return this.requestMs < 0
      ? DUPLICATE_HELLO_MS
      : Math.min(Math.max(this.requestMs * LATENESS, MIN_DUPLICATE_MS), DUPLICATE_HELLO_MS);
  }

  /**
   * The answer to the next hello, asked once for each. Two unread datagrams serve as a pair: if the device gets none, it reads
   * those. One serves as half a pair.
   */
  takeAnswer(now: number): HelloAnswer {
    const { unread } = this;
    if (unread === 0 || !isWithinRate(REPAIR_RATE, this.repairsFullAt ?? -Infinity, now)) {
      return 'pair';
    }
    this.repairsFullAt = fullAfter(REPAIR_RATE, this.repairsFullAt ?? -Infinity, now);
    if (unread === 1) {
      this.unread = 0;
      return 'single';
    }
    this.unread -= 2;
    return 'nothing';
  }

  /** Records that a pair, or only its first datagram, was sent. */
  recordSent(pair: PairName, isSingle: boolean, now: number): void {
    const isLost = !this.isLatestUsed && this.latest?.isSingle === true;
    if (!isLost) {
      this.packed.copyWithin(1, 0, REMEMBERED_PAIRS - 1);
      this.packed.copyWithin(FIRST_HASH + 1, FIRST_HASH, FIRST_HASH + REMEMBERED_PAIRS - 1);
    }
    this.packed[FIRST_HASH] = NO_HASH;
    // A single datagram that no request used was lost, and is replaced. Its other half is still unread.
    this.packed[0] = packPair(pair, isSingle);
    this.packed[SENT_AT] = now;
    this.isLatestUsed = false;
    this.withheld = 0;
  }

  /** Records that a hello was withheld. */
  recordWithheld(now: number): void {
    this.packed[SENT_AT] = now;
    this.withheld++;
  }
}

/** Stands for an absent pair. */
const NO_PAIR = -1;

function packIfAny(pair: SentPair | undefined): PackedPair {
  return pair ? packPair(pair, pair.isSingle) : NO_PAIR;
}
