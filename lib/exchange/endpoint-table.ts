/**
 * What is remembered of endpoints, and only of those that sent a request which verified: strangers can't make this grow.
 */
import type { RingKey } from './key-ring.js';

/** Slots in which an id is accepted: its own and the next. */
export const LIVE_SLOTS = 2;

/** One address and port that holds a key. */
export class Endpoint {
  /** The key that verified last: tried first. */
  key: RingKey | undefined;
  /** The first 6 bytes of the last accepted hash; tells a second copy of a request from a forgery. */
  lastHash = -1;
  /** Counts pairs and requests; a reply whose request is not the latest of them comes too late. */
  turn = 0;

  private slot = -1;
  private used = 0;
  private usedBefore = 0;

  constructor(readonly name: string) {}

  /** How many ids of a slot were used up: the `n` of the next pair, so that none repeats. */
  usedIn(slot: number): number {
    if (slot === this.slot) {
      return this.used;
    }
    return slot === this.slot - 1 ? this.usedBefore : 0;
  }

  /** Uses up the id of `slot`, which is the `current` one or the one before. */
  burn(slot: number, current: number): void {
    if (current > this.slot) {
      this.usedBefore = current === this.slot + 1 ? this.used : 0;
      this.used = 0;
      this.slot = current;
    }
    if (slot === current) {
      this.used++;
    } else {
      this.usedBefore++;
    }
  }

  /** Whether ids that this endpoint used up might still be valid without the memory of it. */
  isNeededIn(slot: number): boolean {
    return slot < this.slot + LIVE_SLOTS;
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

  /** The endpoint, made if need be, as the most recently verified one; `undefined` where the table is full. */
  admit(name: string, slot: number): Endpoint | undefined {
    const known = this.endpoints.get(name);
    if (known) {
      this.endpoints.delete(name);
      this.endpoints.set(name, known);
      return known;
    }
    if (this.endpoints.size >= this.capacity && !this.evictOldest(slot)) {
      return undefined;
    }
    const endpoint = new Endpoint(name);
    this.endpoints.set(name, endpoint);
    return endpoint;
  }

  private evictOldest(slot: number): boolean {
    for (const [name, endpoint] of this.endpoints) {
      return !endpoint.isNeededIn(slot) && this.endpoints.delete(name);
    }
    return false;
  }
}
