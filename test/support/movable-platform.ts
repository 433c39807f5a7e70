/** The platform of this machine with a clock that a test moves ahead, so that it does not wait in real time. */
import { type Platform, nodePlatform } from '../../lib/net/index.js';

interface Timer {
  readonly dueAt: number;
  readonly callback: () => void;
  readonly cancel: () => void;
}

export class MovablePlatform implements Platform {
  readonly randomFill = nodePlatform.randomFill;
  readonly afterTurn = nodePlatform.afterTurn;
  readonly resolveHost = nodePlatform.resolveHost;
  private ahead = 0;
  private readonly timers = new Set<Timer>();

  now(): number {
    return nodePlatform.now() + this.ahead;
  }

  wallClock(): number {
    return nodePlatform.wallClock() + this.ahead;
  }

  bindSocket(...args: Parameters<Platform['bindSocket']>): ReturnType<Platform['bindSocket']> {
    return nodePlatform.bindSocket(...args);
  }

  schedule(callback: () => void, ms: number, options?: { readonly isBackground: boolean }): () => void {
    const cancel = nodePlatform.schedule(() => this.fire(timer), ms, options);
    const timer: Timer = { dueAt: this.now() + ms, callback, cancel };
    this.timers.add(timer);
    return () => this.drop(timer);
  }

  /** Moves the clock. Each timer that becomes due sees its own time, so the move does not look like a blocked event loop. */
  advance(ms: number): void {
    const end = this.now() + ms;
    for (let next = this.nextDue(end); next; next = this.nextDue(end)) {
      this.moveTo(next.dueAt);
      this.fire(next);
    }
    this.moveTo(end);
  }

  private nextDue(end: number): Timer | undefined {
    const [next] = [...this.timers].filter(({ dueAt }) => dueAt <= end).toSorted((a, b) => a.dueAt - b.dueAt);
    return next;
  }

  private moveTo(time: number): void {
    this.ahead += Math.max(0, time - this.now());
  }

  private fire(timer: Timer): void {
    this.drop(timer);
    timer.callback();
  }

  private drop(timer: Timer): void {
    timer.cancel();
    this.timers.delete(timer);
  }
}
