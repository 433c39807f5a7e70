/**
 * The owner of endpoints: the device of a key, or the address if several boards share the key. An attacker chooses its ports, and with one
 * key it has one holder. So quotas belong to holders.
 */
import type { RingKey } from '../../keys/index.js';
import type { EndpointKey, Sender } from '../remote.js';

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
  /** The endpoints, least recently verified first. A single endpoint is stored without a Set, which saves memory in large fleets. */
  endpoints: EndpointKey | Set<EndpointKey> | undefined = undefined;

  constructor(readonly key: HolderKey) {}

  /** Endpoints in the table. */
  get size(): number {
    const { endpoints } = this;
    return endpoints instanceof Set ? endpoints.size : Number(endpoints !== undefined);
  }

  /** Adds an endpoint, or makes it the most recently verified one. */
  touch(endpoint: EndpointKey): void {
    const { endpoints } = this;
    if (endpoints instanceof Set) {
      endpoints.delete(endpoint);
      endpoints.add(endpoint);
    } else {
      this.endpoints = endpoints === undefined || endpoints === endpoint ? endpoint : new Set([endpoints, endpoint]);
    }
  }

  remove(endpoint: EndpointKey): void {
    if (this.endpoints instanceof Set) {
      this.endpoints.delete(endpoint);
    } else {
      this.endpoints = undefined;
    }
  }

  /** The endpoint that verified longest ago. */
  oldest(): EndpointKey | undefined {
    if (!(this.endpoints instanceof Set)) {
      return this.endpoints;
    }
    const [oldest] = this.endpoints;
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
