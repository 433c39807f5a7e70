/**
 * Continues searches for keys in slices, so datagrams are read in between.
 */
import type { Exchanges, LateDecision } from '../exchange/index.js';
import type { Platform } from '../net/index.js';

/** The time for searches in one turn of the event loop. One more step may follow it. */
export const SEARCH_SLICE_MS = 1;

export class SearchLoop {
  private isPlanned = false;
  private isStopped = false;

  constructor(
    private readonly exchange: Pick<Exchanges, 'isSearching' | 'step'>,
    private readonly platform: Platform,
    /** Must not throw. */
    private readonly onDecision: (late: LateDecision, now: number) => void,
  ) {}

  /** Must be called when a search has begun. */
  start(): void {
    if (!this.isPlanned && !this.isStopped) {
      this.isPlanned = true;
      this.platform.afterTurn(() => this.runSlice());
    }
  }

  stop(): void {
    this.isStopped = true;
  }

  private runSlice(): void {
    this.isPlanned = false;
    const begin = this.platform.now();
    for (let now = begin; this.hasWork && now - begin < SEARCH_SLICE_MS; now = this.platform.now()) {
      for (const late of this.exchange.step(now)) {
        this.onDecision(late, now);
      }
    }
    if (this.hasWork) {
      this.start();
    }
  }

  private get hasWork(): boolean {
    return this.exchange.isSearching && !this.isStopped;
  }
}
