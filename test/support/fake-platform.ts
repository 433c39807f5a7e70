/** A clock that the test moves, with timers on it; sockets are the machine's. */
import { type Platform, nodePlatform } from '../../lib/net/index.js';

export class FakePlatform implements Platform {
  private time = 0;
  private readonly timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  afterTurn: Platform['afterTurn'] = nodePlatform.afterTurn;
  readonly bindSocket: Platform['bindSocket'] = nodePlatform.bindSocket;
  readonly resolveHost = nodePlatform.resolveHost;
  readonly randomFill = nodePlatform.randomFill;

  now(): number {
    return this.time;
  }

  wallClock(): number {
    return Date.now();
  }

  schedule(callback: () => void, ms: number): () => void {
    const timer = { at: this.time + ms, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  get pendingTimers(): number {
    return this.timers.size;
  }

  /** Milliseconds to the next timer. There must be one. */
  nextTimerMs(): number {
    return Math.max(0, Math.min(...[...this.timers].map(({ at }) => at)) - this.time);
  }

  /** Moves the clock; timers fire in their order, at their time. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at);
      if (!next) {
        break;
      }
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.callback();
    }
    this.time = end;
  }

  /** Moves the clock without firing anything, as a blocked event loop does. */
  block(ms: number): void {
    this.time += ms;
  }
}
