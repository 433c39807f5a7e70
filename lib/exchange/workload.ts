/**
 * Requests whose handlers are running: how many there may be, of one device and of all.
 */
import type { Endpoint } from './endpoint-table.js';

export interface WorkloadLimits {
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

export class Workload {
  /** Oldest first. */
  private readonly running = new Set<Work>();

  /** @param forgetAfterMs time after which a handler is not counted any more: one that hangs must not lock its device out. */
  constructor(
    private readonly limits: WorkloadLimits,
    private readonly forgetAfterMs: number,
  ) {}

  get size(): number {
    return this.running.size;
  }

  /** Begins work; `undefined` where there is too much of it. */
  begin(endpoint: Endpoint, now: number): Work | undefined {
    if (this.isFull(endpoint)) {
      this.forgetOld(now);
      if (this.isFull(endpoint)) {
        return undefined;
      }
    }
    const work = { endpoint, since: now };
    this.running.add(work);
    endpoint.running++;
    return work;
  }

  end(work: Work): void {
    if (this.running.delete(work)) {
      work.endpoint.running--;
    }
  }

  private isFull({ running }: Endpoint): boolean {
    return this.running.size >= this.limits.maxInFlight || running >= this.limits.maxInFlightPerDevice;
  }

  private forgetOld(now: number): void {
    for (const work of this.running) {
      if (now - work.since < this.forgetAfterMs) {
        return;
      }
      this.end(work);
    }
  }
}
