/**
 * What is remembered of endpoints, and only of those that sent a request which verified: strangers can't make this grow.
 */
import { LIVE_SLOTS } from './ids/id-pair.js';
import type { RingKey } from '../keys/key-ring.js';
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
import { type BenUdpRemote, endpointName, readIPv4 } from './limits/ip-prefix.js';

/** How a hello is answered: with a pair, with its first datagram alone, or not at all. */
export type HelloAnswer = 'pair' | 'single' | 'nothing';

/**
 * Hellos of an endpoint that may be left unanswered on purpose. Who replays a device's requests can provoke no more of it.
 */
export const WITHHOLD_RATE: BenUdpRate = { perSecond: 1 / 60, burst: 3 };

/** One address and port that holds a key. */
export class Endpoint implements PairHistory {
  sentAt: number;
  /** What the latest pair was derived to, until a request uses it: most requests come right after their hello. */
  derived: string | undefined;
  /** Whether a request has used the latest pair. */
  isLatestUsed = false;
  /** A tag of the last accepted hash; tells a second copy of a request from a forgery. */
  lastHash = -1;
  /** Counts turns; a reply belongs to the turn of its request. */
  turn = 0;
  /** When the request came whose reply is owed; `undefined` where none is. */
  waitingSince: number | undefined = undefined;
  /** Handlers that run for it. */
  running = 0;
  /** Rate limits of this endpoint, in the form of `rate-limit.ts`; `undefined` where the bucket is full, as most always are. */
  hellosFullAt: number | undefined = undefined;
  failuresFullAt: number | undefined = undefined;

  /** `REMEMBERED_PAIRS`, the latest first, then `NO_PAIR`: changed in place, so it takes no more room than it needs. */
  private readonly packed: PackedPair[];
  /** Datagrams that the device has not read, as far as its last request shows. */
  private unread = 0;
  private withheldFullAt: number | undefined = undefined;
  private slot = -1;
  private used = 0;
  private usedBefore = 0;

  /** @param key the one that verified last: tried first. */
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
   * Begins a turn: a hello, a request or a reply, after which no earlier reply may be sent.
   *
   * @param isReplyDue whether the device waits for a reply from now on.
   */
  beginTurn(isReplyDue: boolean, now: number): number {
    this.waitingSince = isReplyDue ? now : undefined;
    return ++this.turn;
  }

  /** The first pair of a slot that may still be used: none before it, so that no id is used twice. */
  usedIn(slot: number): number {
    if (slot === this.slot) {
      return this.used;
    }
    return slot === this.slot - 1 ? this.usedBefore : 0;
  }

  /**
   * The next pair of a slot. Another one for each hello, also where no request has used the one before: had the device that
   * one unread, its id would look like the right one, and the device would take what is unread for its reply.
   */
  nextIn(slot: number): number {
    const { latest } = this;
    return Math.max(this.usedIn(slot), latest?.slot === slot ? latest.n + 1 : 0);
  }

  /**
   * Uses up a pair of the `current` slot or of the one before, and those before it.
   *
   * @returns whether it is the endpoint's first in this slot.
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

  /** Whether ids that this endpoint used up might be valid again without the memory of it. */
  isNeededIn(slot: number): boolean {
    return slot < this.slot + LIVE_SLOTS;
  }

  /** Notes what the device has not read; the next answers bring it back into step. */
  recordUnread(count: number): void {
    this.unread = count;
  }

  /**
   * How the next hello is to be answered, asked once for each. Two unread datagrams are as good as a pair: the device reads
   * those if it gets none. One is as good as half a pair.
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

  /** Notes that a pair, or its first datagram alone, was sent. */
  recordSent(pair: PairName, isSingle: boolean, now: number): void {
    const isLost = !this.isLatestUsed && this.latest?.isSingle === true;
    if (!isLost) {
      this.packed.copyWithin(1, 0, REMEMBERED_PAIRS - 1);
    }
    // A single datagram that no request used was lost, and is replaced: what it was to be read with is still unread.
    this.packed[0] = packPair(pair, isSingle);
    this.sentAt = now;
    this.isLatestUsed = false;
  }
}

/** In place of a packed pair where none was sent. */
const NO_PAIR = -1;

function packIfAny(pair: SentPair | undefined): PackedPair {
  return pair ? packPair(pair, pair.isSingle) : NO_PAIR;
}

/**
 * Names an endpoint in a table. An IPv4 address and port are one number, which is looked up in a quarter of the time of a
 * string that is put together for each datagram.
 */
export type EndpointKey = number | string;

export function endpointKey(remote: BenUdpRemote): EndpointKey {
  return remote.family === 'IPv4' ? readIPv4(remote.address) * 0x1_0000 + remote.port : endpointName(remote);
}

/**
 * A table of fixed size, least recently verified first; those that verified in one slot are as good as each other.
 *
 * When it is full, the oldest endpoint goes if all its ids have expired. If none has, a new endpoint is refused rather
 * than a replay made possible.
 */
export class EndpointTable {
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

  /** Adds an endpoint; false where the table is full. */
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
