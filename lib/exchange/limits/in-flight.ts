/**
 * The handlers in flight: how many may run, for one device and in all.
 */
import type { Endpoint } from '../endpoint-table.js';

export interface InFlightLimits {
  /** Running handlers in all. */
  readonly maxInFlight: number;
  /** Running handlers for one device (address and port). */
  readonly maxInFlightPerDevice: number;
}

/** One running handler. */
export interface InFlightHandler {
  readonly endpoint: Endpoint;
  readonly since: number;
}

export class InFlight {
  /** All running handlers. */
  private total = 0;
  /** The handlers that count for their device, oldest first. Bounded by `maxInFlight`. */
  private readonly counted = new Set<InFlightHandler>();

  /**
   * @param forgetAfterMs time after which a handler no longer counts for its device: a handler that hangs must not lock its device
   * out. It still counts in all until it ends, because it holds memory.
   */
  constructor(
    private readonly limits: InFlightLimits,
    private readonly forgetAfterMs: number,
  ) {}

  get size(): number {
    return this.total;
  }

  /** Begins a handler; `undefined` if too many are running. */
  begin(endpoint: Endpoint, now: number): InFlightHandler | undefined {
    const { maxInFlight, maxInFlightPerDevice } = this.limits;
    if (endpoint.running >= maxInFlightPerDevice) {
      this.forgetOld(now);
    }
    if (this.total >= maxInFlight || endpoint.running >= maxInFlightPerDevice) {
      return undefined;
    }
    const handler = { endpoint, since: now };
    this.counted.add(handler);
    endpoint.running++;
    this.total++;
    return handler;
  }

  end(handler: InFlightHandler): void {
    this.total--;
    this.forget(handler);
  }

  private forgetOld(now: number): void {
    for (const handler of this.counted) {
      if (now - handler.since < this.forgetAfterMs) {
        return;
      }
      this.forget(handler);
    }
  }

  private forget(handler: InFlightHandler): void {
    if (this.counted.delete(handler)) {
      handler.endpoint.running--;
    }
  }
}
