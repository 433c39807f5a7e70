/**
 * The endpoints that sent a request which verified. No other endpoint is remembered, so strangers can't make this grow.
 */
import type { Endpoint } from './endpoint.js';
import { type Holder, type Holders, holderQuota } from './limits/holder.js';
import { SizeClasses } from '../size-classes.js';
import type { EndpointKey } from './remote.js';

/** Holders of one size class that an eviction examines. It then moves them to the end of their class. */
const HOLDERS_TRIED = 32;

/**
 * A table of a fixed size, least recently verified first. Endpoints that verified in the same slot have no order.
 *
 * Only endpoints whose ids have expired are evicted, because evicting a live one would make a replay possible. A holder that has its
 * quota replaces its own. If the table is full, one of the largest holders loses its oldest.
 */
export class EndpointTable {
  /** Bounded by `capacity`, except for the endpoints of the health probe. */
  private readonly endpoints = new Map<EndpointKey, Endpoint>();
  /** The holders of several endpoints. */
  private readonly classes = new SizeClasses<Holder>();
  private readonly quota: number;

  constructor(
    private readonly capacity: number,
    private readonly holders: Holders,
  ) {
    this.quota = holderQuota(capacity);
  }

  get size(): number {
    return this.endpoints.size;
  }

  /** The keys of all endpoints, least recently verified first. */
  keys(): EndpointKey[] {
    return [...this.endpoints.keys()];
  }

  get(key: EndpointKey): Endpoint | undefined {
    return this.endpoints.get(key);
  }

  /** Makes a known endpoint the most recently verified one. */
  touch(key: EndpointKey, endpoint: Endpoint): void {
    this.endpoints.delete(key);
    this.endpoints.set(key, endpoint);
    endpoint.holder.touch(key);
  }

  /**
   * Adds an endpoint; false if its holder has its quota or the table is full, and nothing may be evicted.
   *
   * @param isOwn whether it belongs to the health probe, which always has a place.
   */
  add(key: EndpointKey, endpoint: Endpoint, slot: number, isOwn = false): boolean {
    if (!isOwn && !this.makeRoomFor(endpoint.holder, slot)) {
      this.holders.release(endpoint.holder);
      return false;
    }
    // If the only endpoint of the holder has made room, the holder was forgotten with it.
    const holder = this.holders.of(endpoint.holder.key);
    endpoint.holder = holder;
    this.endpoints.set(key, endpoint);
    this.resize(holder, () => holder.touch(key));
    return true;
  }

  /** Gives an endpoint to another holder, because another key verified. Its handlers stay with the holder that began them. */
  moveTo(holder: Holder, key: EndpointKey, endpoint: Endpoint): void {
    this.resize(endpoint.holder, () => endpoint.holder.remove(key));
    endpoint.holder = holder;
    this.resize(holder, () => holder.touch(key));
  }

  private makeRoomFor(holder: Holder, slot: number): boolean {
    if (holder.size >= this.quota) {
      return this.evictFrom(holder, slot);
    }
    return this.endpoints.size < this.capacity || this.evict(slot);
  }

  private evict(slot: number): boolean {
    const [oldest] = this.endpoints.keys();
    if (oldest === undefined || this.endpoints.get(oldest)!.isNeededIn(slot)) {
      return false;
    }
    for (const holders of this.classes.largestFirst()) {
      let tries = HOLDERS_TRIED;
      for (const holder of holders) {
        if (this.evictFrom(holder, slot)) {
          return true;
        }
        if (--tries === 0) {
          break;
        }
        holders.delete(holder);
        holders.add(holder);
      }
    }
    return this.remove(oldest);
  }

  private evictFrom(holder: Holder, slot: number): boolean {
    const oldest = holder.oldest();
    return oldest !== undefined && !this.endpoints.get(oldest)!.isNeededIn(slot) && this.remove(oldest);
  }

  private remove(key: EndpointKey): boolean {
    const { holder } = this.endpoints.get(key)!;
    this.resize(holder, () => holder.remove(key));
    return this.endpoints.delete(key);
  }

  private resize(holder: Holder, change: () => void): void {
    const before = holder.size;
    change();
    this.classes.move(holder, before, holder.size);
    this.holders.release(holder);
  }
}
