/**
 * Requests whose handlers are running: how many there may be, of one device and of all.
 */
import type { Endpoint } from '../endpoint-table.js';

export interface InFlightLimits {
  /** Running handlers in all. */
  readonly maxInFlight: number;
  /** Running handlers of one device (address and port). */
  readonly maxInFlightPerDevice: number;
}

/** One request at work. */
export interface Work {
  readonly endpoint: Endpoint;
  readonly since: number;
}

export class InFlight {
  /** All handlers that run. */
  private total = 0;
  /** Those that count for their device, oldest first. */
  private readonly counted = new Set<Work>();

  /**
   * @param forgetAfterMs time after which a handler does not count for its device any more: one that hangs must not lock its
   * device out. It does count in all until it has ended, for it holds memory.
   */
  constructor(
    private readonly limits: InFlightLimits,
    private readonly forgetAfterMs: number,
  ) {}

  get size(): number {
    return this.total;
  }

  /** Begins work; `undefined` where there is too much of it. */
  begin(endpoint: Endpoint, now: number): Work | undefined {
    const { maxInFlight, maxInFlightPerDevice } = this.limits;
    if (endpoint.running >= maxInFlightPerDevice) {
      this.forgetOld(now);
    }
    if (this.total >= maxInFlight || endpoint.running >= maxInFlightPerDevice) {
      return undefined;
    }
    const work = { endpoint, since: now };
    this.counted.add(work);
    endpoint.running++;
    this.total++;
    return work;
  }

  end(work: Work): void {
    this.total--;
    this.forget(work);
  }

  private forgetOld(now: number): void {
    for (const work of this.counted) {
      if (now - work.since < this.forgetAfterMs) {
        return;
      }
      this.forget(work);
    }
  }

  private forget(work: Work): void {
    if (this.counted.delete(work)) {
      work.endpoint.running--;
    }
  }
}
