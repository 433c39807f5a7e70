/**
 * What is remembered of endpoints, and only of those that sent a request which verified: strangers can't make this grow.
 */
import { LIVE_SLOTS } from './id-pair.js';
import type { RingKey } from './key-ring.js';
import { type PairHistory, type PairName, REMEMBERED_PAIRS, type SentPair, isSamePair } from './pair-history.js';
import { type Rate, isWithinRate, takeOne } from './rate-limit.js';

/** How a hello is answered: with a pair, with its first datagram alone, or not at all. */
export type HelloAnswer = 'pair' | 'single' | 'nothing';

/**
 * Hellos of an endpoint that may be left unanswered on purpose. Who replays a device's requests can provoke no more of it.
 */
export const WITHHOLD_RATE: Rate = { perSecond: 1 / 60, burst: 3 };

/** One address and port that holds a key. */
export class Endpoint implements PairHistory {
  sent: SentPair[];
  sentAt: number;
  /** Whether a request has used the latest pair. */
  isLatestUsed = false;
  /** The first 6 bytes of the last accepted hash; tells a second copy of a request from a forgery. */
  lastHash = -1;
  /** Counts turns; a reply belongs to the turn of its request. */
  turn = 0;
  /** When the request came whose reply is owed; -Infinity where none is. */
  waitingSince = -Infinity;
  /** Handlers that run for it. */
  running = 0;
  /** Rate limits of this endpoint, in the form of `rate-limit.ts`. */
  hellosFullAt = -Infinity;
  failuresFullAt = -Infinity;

  /** Datagrams that the device has not read, as far as its last request shows. */
  private unread = 0;
  private withheldFullAt = -Infinity;
  private slot = -1;
  private used = 0;
  private usedBefore = 0;

  /** @param key the one that verified last: tried first. */
  constructor(
    public key: RingKey,
    history: PairHistory,
  ) {
    this.sent = [...history.sent];
    this.sentAt = history.sentAt;
  }

  /**
   * Begins a turn: a hello, a request or a reply, after which no earlier reply may be sent.
   *
   * @param isReplyDue whether the device waits for a reply from now on.
   */
  beginTurn(isReplyDue: boolean, now: number): number {
    this.waitingSince = isReplyDue ? now : -Infinity;
    return ++this.turn;
  }

  /** How many ids of a slot were used up: the `n` of the next pair, so that none repeats. */
  usedIn(slot: number): number {
    if (slot === this.slot) {
      return this.used;
    }
    return slot === this.slot - 1 ? this.usedBefore : 0;
  }

  /** Uses up a pair of the `current` slot or of the one before. */
  burn(pair: PairName, current: number): void {
    if (current > this.slot) {
      this.usedBefore = current === this.slot + 1 ? this.used : 0;
      this.used = 0;
      this.slot = current;
    }
    if (pair.slot === current) {
      this.used++;
    } else {
      this.usedBefore++;
    }
    this.isLatestUsed ||= this.sent[0] !== undefined && isSamePair(pair, this.sent[0]);
  }

  /** Whether ids that this endpoint used up might be valid again without the memory of it. */
  isNeededIn(slot: number): boolean {
    return slot < this.slot + LIVE_SLOTS;
  }

  /** Notes what the device has not read; the next answers bring it back into step. */
  expectUnread(count: number): void {
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
    if (unread === 0 || !isWithinRate(WITHHOLD_RATE, this.withheldFullAt, now)) {
      return 'pair';
    }
    this.withheldFullAt = takeOne(WITHHOLD_RATE, this.withheldFullAt, now);
    this.unread -= 2;
    return 'nothing';
  }

  /** Notes that a pair, or its first datagram alone, was sent. */
  noteSent(pair: PairName, isSingle: boolean, now: number): void {
    // A single datagram that no request used was lost: what it was to be read with is still unread.
    const earlier = this.sent[0]?.isSingle && !this.isLatestUsed ? this.sent.slice(1) : this.sent;
    this.sent = [{ ...pair, isSingle }, ...earlier.slice(0, REMEMBERED_PAIRS - 1)];
    this.sentAt = now;
    this.isLatestUsed = false;
  }
}

/**
 * A table of fixed size, least recently verified first.
 *
 * When it is full, the oldest endpoint goes if all its ids have expired. If none has, a new endpoint is refused rather
 * than a replay made possible.
 */
export class EndpointTable {
  private readonly endpoints = new Map<string, Endpoint>();

  constructor(private readonly capacity: number) {}

  get size(): number {
    return this.endpoints.size;
  }

  get(name: string): Endpoint | undefined {
    return this.endpoints.get(name);
  }

  /** Makes a known endpoint the most recently verified one. */
  touch(name: string, endpoint: Endpoint): void {
    this.endpoints.delete(name);
    this.endpoints.set(name, endpoint);
  }

  /** Adds an endpoint; false where the table is full. */
  add(name: string, endpoint: Endpoint, slot: number): boolean {
    if (this.endpoints.size >= this.capacity && !this.evictOldest(slot)) {
      return false;
    }
    this.endpoints.set(name, endpoint);
    return true;
  }

  private evictOldest(slot: number): boolean {
    for (const [name, endpoint] of this.endpoints) {
      return !endpoint.isNeededIn(slot) && this.endpoints.delete(name);
    }
    return false;
  }
}
