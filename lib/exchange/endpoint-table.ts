/**
 * What is remembered of endpoints, and only of those that sent a request which verified: strangers can't make this grow.
 */
import { LIVE_SLOTS } from './id-pair.js';
import type { RingKey } from './key-ring.js';
import { type PairHistory, type PairName, isSamePair } from './pair-history.js';
import type { Reading } from './reading.js';

/** How a hello is answered: with a pair, with its first datagram alone, or not at all. */
export type HelloAnswer = 'pair' | 'single' | 'nothing';

/** Least time between two hellos of an endpoint that are left unanswered on purpose. */
export const WITHHOLD_INTERVAL_MS = 60_000;

/** One address and port that holds a key. */
export class Endpoint implements PairHistory {
  last: PairName;
  lastAt: number;
  before: PairName | undefined;
  isSingle: boolean;
  /** Whether a request has used the last pair. */
  isLastUsed = false;
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

  private nextAnswer: HelloAnswer = 'pair';
  private withheldAt = -Infinity;
  private slot = -1;
  private used = 0;
  private usedBefore = 0;

  /** @param key the one that verified last: tried first. */
  constructor(
    public key: RingKey,
    history: PairHistory,
  ) {
    this.last = history.last;
    this.lastAt = history.lastAt;
    this.before = history.before;
    this.isSingle = history.isSingle;
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
    this.isLastUsed ||= isSamePair(pair, this.last);
  }

  /** Whether ids that this endpoint used up might be valid again without the memory of it. */
  isNeededIn(slot: number): boolean {
    return slot < this.slot + LIVE_SLOTS;
  }

  /** How the next hello is to be answered; asked once for each. */
  takeAnswer(now: number): HelloAnswer {
    const answer = this.nextAnswer;
    this.nextAnswer = 'pair';
    if (answer === 'nothing') {
      if (now - this.withheldAt < WITHHOLD_INTERVAL_MS) {
        return 'pair';
      }
      this.withheldAt = now;
    }
    return answer;
  }

  /** Notes that a pair, or its first datagram alone, was sent. */
  noteSent(pair: PairName, isSingle: boolean, now: number): void {
    // A single datagram that nobody used was lost: what it was to be read with is still unread.
    if (!this.isSingle || this.isLastUsed) {
      this.before = this.last;
    }
    this.last = pair;
    this.lastAt = now;
    this.isSingle = isSingle;
    this.isLastUsed = false;
  }

  /** Plans the next answer so that what is unread on the device is read with it, or before it. */
  bringIntoStep(leftover: Reading['leftover']): void {
    this.nextAnswer = leftover === 'nothing' ? 'pair' : leftover === 'iv' ? 'single' : 'nothing';
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
