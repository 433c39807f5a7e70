/**
 * The owner of endpoints: the device of a key, or the address if several boards share the key. An attacker chooses its ports, and with one
 * key it has one holder. So quotas belong to holders.
 */
import type { RingKey } from '../../keys/index.js';
import type { EndpointKey, Sender } from '../remote.js';
import { type SmallSet, membersOf, sizeOf, withLast, without } from '../small-set.js';

/**
 * No holder gets more than this share of the handlers or of the endpoint table. The rest is reserved for the others. A table of fewer
 * than four has no reserve.
 */
const RESERVED_SHARE = 1 / 4;

/** The device of a named key, or an address. The first character distinguishes them. */
export type HolderKey = string | number;

export class Holder {
  /** Running handlers and queued events. */
  running = 0;
  /** The endpoints, least recently verified first. */
  private endpoints: SmallSet<EndpointKey> = undefined;

  constructor(readonly key: HolderKey) {}

  /** Endpoints in the table. */
  get size(): number {
    return sizeOf(this.endpoints);
  }

  /** Adds an endpoint, or makes it the most recently verified one. */
  touch(endpoint: EndpointKey): void {
    this.endpoints = withLast(this.endpoints, endpoint);
  }

  remove(endpoint: EndpointKey): void {
    this.endpoints = without(this.endpoints, endpoint);
  }

  /** The endpoint that verified longest ago. */
  oldest(): EndpointKey | undefined {
    const [oldest] = membersOf(this.endpoints);
    return oldest;
  }
}

/** The holders that have an endpoint in the table, or a handler. */
export class Holders {
  /** Bounded by the endpoints in the table plus the running handlers. */
  private readonly holders = new Map<HolderKey, Holder>();

  /** Must be passed to `release` when it may have nothing left. */
  of(key: HolderKey): Holder {
    let holder = this.holders.get(key);
    if (!holder) {
      holder = new Holder(key);
      this.holders.set(key, holder);
    }
    return holder;
  }

  /** Endpoints in the table. */
  sizeOf(key: HolderKey): number {
    return this.holders.get(key)?.size ?? 0;
  }

  /** Forgets a holder that has nothing left. */
  release(holder: Holder): void {
    if (holder.size === 0 && holder.running === 0) {
      this.holders.delete(holder.key);
    }
  }
}

export function holderKeyOf({ device, shared }: Pick<RingKey, 'device' | 'shared'>, sender: Sender): HolderKey {
  return device === undefined || shared ? sender.addressKey : keyOfDevice(device);
}

export function keyOfDevice(device: string): HolderKey {
  return `=${device}`;
}

/** The most that one holder gets of `total`. */
export function holderQuota(total: number): number {
  return total - Math.floor(total * RESERVED_SHARE);
}
