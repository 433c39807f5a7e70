/**
 * Runs callbacks at their times, in order. Separate timers of the same millisecond would not keep the order.
 */
import type { Platform } from '../net/index.js';

interface Entry {
  readonly time: number;
  readonly act: () => void;
}

export class Agenda {
  /** Soonest first. Bounded by the datagrams that are delayed. */
  private entries: Entry[] = [];
  private cancel: () => void = () => undefined;

  constructor(private readonly platform: Pick<Platform, 'now' | 'schedule'>) {}

  /** Runs `act` at `time`. At once if the time has come and nothing is due before. */
  at(time: number, act: () => void): void {
    const [first] = this.entries;
    if (time <= this.platform.now() && !(first && first.time <= time)) {
      act();
      return;
    }
    const later = this.entries.findIndex((entry) => entry.time > time);
    this.entries.splice(later < 0 ? this.entries.length : later, 0, { time, act });
    this.wake();
  }

  stop(): void {
    this.cancel();
    this.entries = [];
  }

  private wake(): void {
    this.cancel();
    const [next] = this.entries;
    this.cancel = next
      ? this.platform.schedule(() => this.actDue(), Math.max(0, next.time - this.platform.now()))
      : () => undefined;
  }

  private actDue(): void {
    for (let [next] = this.entries; next && next.time <= this.platform.now(); [next] = this.entries) {
      this.entries.shift();
      next.act();
    }
    this.wake();
  }
}
