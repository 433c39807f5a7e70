/**
 * The endpoints that sent a request which verified. No other endpoint is remembered, so strangers can't make this grow.
 */
import type { RingKey } from '../keys/index.js';
import { LIVE_SLOTS } from './ids/id-pair.js';
import {
  type PackedPair,
  type PairHistory,
  type PairName,
  REMEMBERED_PAIRS,
  type SentPair,
  isSamePair,
  packPair,
  unpackPair,
} from './ids/pair-history.js';
import { type BenUdpRate, fullAfter, isWithinRate } from './limits/rate-limit.js';
import type { EndpointKey } from './remote.js';

/** The answer to a hello: a pair, its first datagram alone, or none. */
export type HelloAnswer = 'pair' | 'single' | 'nothing';

/** Hellos of one endpoint that may be withheld. An attacker who replays the requests of a device can't cause more. */
export const WITHHOLD_RATE: BenUdpRate = { perSecond: 1 / 60, burst: 3 };

/** An address and port that holds a key. */
export class Endpoint implements PairHistory {
  sentAt: number;
  /** The derived bytes of the latest pair, until a request uses it: most requests come right after their hello. */
  derived: string | undefined;
  /** Whether a request has used the latest pair. */
  isLatestUsed = false;
  /** A tag of the last accepted hash. It tells a copy of that request from a forgery. */
  lastHash = -1;
  /** Counts turns. A reply belongs to the turn of its request. */
  turn = 0;
  /** The time of the request whose reply is due; `undefined` if none is due. */
  waitingSince: number | undefined = undefined;
  /** Handlers that run for it. */
  running = 0;
  /** Rate limits of this endpoint, in the form of `rate-limit.ts`; `undefined` if the bucket is full, as it mostly is. */
  hellosFullAt: number | undefined = undefined;
  failuresFullAt: number | undefined = undefined;

  /** `REMEMBERED_PAIRS`, the latest first, then `NO_PAIR`. Changed in place, which takes the least memory. */
  private readonly packed: PackedPair[];
  /** Unread datagrams on the device, as its last request shows. */
  private unread = 0;
  private withheldFullAt: number | undefined = undefined;
  private slot = -1;
  private used = 0;
  private usedBefore = 0;

  /** @param key the key that verified last, which is tried first. */
  constructor(
    public key: RingKey,
    history: PairHistory,
  ) {
    const [first, second, third, fourth] = history.sent;
    this.packed = [packIfAny(first), packIfAny(second), packIfAny(third), packIfAny(fourth)];
    this.sentAt = history.sentAt;
  }

  get sent(): SentPair[] {
    return this.packed.filter((packed) => packed !== NO_PAIR).map(unpackPair);
  }

  get latest(): SentPair | undefined {
    const latest = this.packed[0]!;
    return latest === NO_PAIR ? undefined : unpackPair(latest);
  }

  /**
   * Begins a turn: a hello, a request or a reply. After it no earlier reply may be sent.
   *
   * @param isReplyDue whether the device waits for a reply from now on.
   */
  beginTurn(isReplyDue: boolean, now: number): number {
    this.waitingSince = isReplyDue ? now : undefined;
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
    if (!this.isLatestUsed && this.latest && isSamePair(pair, this.latest)) {
      this.isLatestUsed = true;
      this.derived = undefined;
    }
    return isFirst;
  }

  /** Whether ids that this endpoint consumed could become valid again if it were forgotten. */
  isNeededIn(slot: number): boolean {
    return slot < this.slot + LIVE_SLOTS;
  }

  /** Records the unread datagrams of the device. The next answers bring it back into step. */
  recordUnread(count: number): void {
    this.unread = count;
  }

  /**
   * The answer to the next hello, asked once for each. Two unread datagrams serve as a pair: if the device gets none, it reads
   * those. One serves as half a pair.
   */
  takeAnswer(now: number): HelloAnswer {
    const { unread } = this;
    if (unread === 1) {
      this.unread = 0;
      return 'single';
    }
    if (unread === 0 || !isWithinRate(WITHHOLD_RATE, this.withheldFullAt ?? -Infinity, now)) {
      return 'pair';
    }
    this.withheldFullAt = fullAfter(WITHHOLD_RATE, this.withheldFullAt ?? -Infinity, now);
    this.unread -= 2;
    return 'nothing';
  }

  /** Records that a pair, or its first datagram alone, was sent. */
  recordSent(pair: PairName, isSingle: boolean, now: number): void {
    const isLost = !this.isLatestUsed && this.latest?.isSingle === true;
    if (!isLost) {
      this.packed.copyWithin(1, 0, REMEMBERED_PAIRS - 1);
    }
    // A single datagram that no request used was lost, and is replaced. Its other half is still unread.
    this.packed[0] = packPair(pair, isSingle);
    this.sentAt = now;
    this.isLatestUsed = false;
  }
}

/** Stands for an absent pair. */
const NO_PAIR = -1;

function packIfAny(pair: SentPair | undefined): PackedPair {
  return pair ? packPair(pair, pair.isSingle) : NO_PAIR;
}

/**
 * A table of a fixed size, least recently verified first. Endpoints that verified in the same slot have no order.
 *
 * If the table is full, the oldest endpoint is evicted, provided that all its ids have expired. Otherwise a new endpoint is refused,
 * because evicting a live one would make a replay possible.
 */
export class EndpointTable {
  /** Bounded by `capacity`. */
  private readonly endpoints = new Map<EndpointKey, Endpoint>();

  constructor(private readonly capacity: number) {}

  get size(): number {
    return this.endpoints.size;
  }

  get(key: EndpointKey): Endpoint | undefined {
    return this.endpoints.get(key);
  }

  /** Makes a known endpoint the most recently verified one. */
  touch(key: EndpointKey, endpoint: Endpoint): void {
    this.endpoints.delete(key);
    this.endpoints.set(key, endpoint);
  }

  /** Adds an endpoint; false if the table is full. */
  add(key: EndpointKey, endpoint: Endpoint, slot: number): boolean {
    if (this.endpoints.size >= this.capacity && !this.evictOldest(slot)) {
      return false;
    }
    this.endpoints.set(key, endpoint);
    return true;
  }

  private evictOldest(slot: number): boolean {
    for (const [key, endpoint] of this.endpoints) {
      return !endpoint.isNeededIn(slot) && this.endpoints.delete(key);
    }
    return false;
  }
}
