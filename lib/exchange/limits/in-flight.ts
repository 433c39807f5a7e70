/**
 * The handlers in flight: how many may run for one device, for one holder and in all. If a device has used its share, its events wait
 * for a handler to end, because nobody would send them again.
 */
import { type Holder, type Holders, holderQuota } from './holder.js';

export interface InFlightLimits {
  /** Running handlers and queued events in all. */
  readonly maxInFlight: number;
  /** Running handlers for one device (address and port). */
  readonly maxInFlightPerDevice: number;
  /** Events that wait for a handler of their device to end. */
  readonly maxQueuedEvents: number;
}

/** A device, to this table: an endpoint of v1, or a session of v2. */
export interface InFlightOwner {
  /** Running handlers that count for it. Kept by `InFlight`. */
  running: number;
  readonly holder: Holder;
}

/** A running handler, or an event that waits to run. */
export class InFlightHandler {
  /** Called when a queued event may run; `undefined` for a running handler. */
  start: (() => void) | undefined;

  constructor(
    readonly owner: InFlightOwner,
    /** At the begin: the owner may change its holder while the handler runs. */
    readonly holder: Holder,
    public since: number,
    public isQueued: boolean,
  ) {}
}

/**
 * Calls `start` when a handler may run: at once, or when earlier handlers of its device have ended.
 *
 * @param handler `undefined` for a request that counts nowhere.
 */
export function whenFree(handler: InFlightHandler | undefined, start: () => void): void {
  if (handler?.isQueued) {
    handler.start = start;
  } else {
    start();
  }
}

export class InFlight {
  /** All running handlers and queued events. */
  private total = 0;
  /** The handlers that count for their device, oldest first. Bounded by `maxInFlight`. */
  private readonly counted = new Set<InFlightHandler>();
  /** The queued events of each device that has some, oldest first. Bounded by `maxInFlight`. */
  private readonly queues = new Map<InFlightOwner, InFlightHandler[]>();
  private readonly maxPerHolder: number;

  /**
   * @param forgetAfterMs time after which a handler no longer counts for its device: a handler that hangs must not lock its device
   * out. It still counts for its holder and in all until it ends, because it holds memory.
   */
  constructor(
    private readonly limits: InFlightLimits,
    private readonly forgetAfterMs: number,
    private readonly holders: Holders,
  ) {
    this.maxPerHolder = holderQuota(limits.maxInFlight);
  }

  get size(): number {
    return this.total;
  }

  /**
   * Begins a handler, or queues it; `undefined` if neither is possible.
   *
   * @param mayQueue whether nobody waits for the result.
   */
  begin(owner: InFlightOwner, mayQueue: boolean, now: number): InFlightHandler | undefined {
    const { maxInFlight, maxInFlightPerDevice, maxQueuedEvents } = this.limits;
    const { holder } = owner;
    if (owner.running >= maxInFlightPerDevice) {
      this.forgetOld(now);
    }
    if (this.total >= maxInFlight || holder.running >= this.maxPerHolder) {
      return undefined;
    }
    const queue = this.queues.get(owner);
    const mustWait = queue !== undefined || owner.running >= maxInFlightPerDevice;
    if (mustWait && (!mayQueue || (queue?.length ?? 0) >= maxQueuedEvents)) {
      return undefined;
    }
    const handler = new InFlightHandler(owner, holder, now, mustWait);
    holder.running++;
    this.total++;
    if (!mustWait) {
      this.run(handler, now);
    } else if (queue) {
      queue.push(handler);
    } else {
      this.queues.set(owner, [handler]);
    }
    return handler;
  }

  end(handler: InFlightHandler, now: number): void {
    this.total--;
    handler.holder.running--;
    this.holders.release(handler.holder);
    if (handler.isQueued) {
      this.unqueue(handler);
      return;
    }
    this.forget(handler);
    this.startQueued(handler.owner, now);
  }

  /** Starts as many queued events of the device as may run. */
  private startQueued(owner: InFlightOwner, now: number): void {
    for (;;) {
      const next = this.queues.get(owner)?.[0];
      if (!next || owner.running >= this.limits.maxInFlightPerDevice) {
        return;
      }
      this.unqueue(next);
      next.isQueued = false;
      this.run(next, now);
      next.start?.();
    }
  }

  private run(handler: InFlightHandler, now: number): void {
    handler.since = now;
    this.counted.add(handler);
    handler.owner.running++;
  }

  private unqueue(handler: InFlightHandler): void {
    const queue = this.queues.get(handler.owner) ?? [];
    queue.splice(queue.indexOf(handler), 1);
    if (queue.length === 0) {
      this.queues.delete(handler.owner);
    }
  }

  private forgetOld(now: number): void {
    const freed = new Set<InFlightOwner>();
    for (const handler of this.counted) {
      if (now - handler.since < this.forgetAfterMs) {
        break;
      }
      this.forget(handler);
      freed.add(handler.owner);
    }
    for (const owner of freed) {
      this.startQueued(owner, now);
    }
  }

  private forget(handler: InFlightHandler): void {
    if (this.counted.delete(handler)) {
      handler.owner.running--;
    }
  }
}
