/**
 * Notices that the event loop was blocked. Datagrams that arrived in that time have waited to be read, and do not show it.
 */
import type { Platform } from './platform.js';

/** Interval of the checks. */
const TICK_MS = 200;

/** Shorter pauses are ignored. */
const STALL_MS = 500;

/** libuv reads this many datagrams of a socket in one turn of the loop. If it reads fewer, none is left. */
const DATAGRAMS_PER_TURN = 32;

export class StallWatch {
  private lastTick: number;
  /** The last time the loop ran before it was blocked; `undefined` after the backlog has been read. */
  private stalledSince: number | undefined;
  /** The latest time at which the backlog has been read. */
  private caughtUpAt = -Infinity;
  /** While there is a backlog: the last time the loop ran. */
  private lastSeen = -Infinity;
  private datagramsThisTurn = 0;
  private cancel: () => void = () => undefined;

  constructor(private readonly platform: Platform) {
    this.lastTick = platform.now();
    this.tick();
  }

  /**
   * Counts a datagram that is read now.
   *
   * @returns how long it may have waited, in milliseconds; 0 if the loop was not blocked.
   */
  recordDatagram(now: number): number {
    if (this.stalledSince === undefined) {
      this.check(now);
    } else if (this.stalledAgain(now)) {
      this.caughtUpAt = now + (now - this.stalledSince);
    } else if (now > this.caughtUpAt) {
      this.end(now);
    }
    if (this.stalledSince === undefined) {
      return 0;
    }
    this.lastSeen = now;
    this.datagramsThisTurn++;
    return now - this.stalledSince;
  }

  stop(): void {
    this.cancel();
  }

  private tick(): void {
    const now = this.platform.now();
    this.check(now);
    this.lastTick = now;
    this.cancel = this.platform.schedule(() => this.tick(), TICK_MS);
  }

  private check(now: number): void {
    if (this.stalledSince === undefined && now - this.lastTick > TICK_MS + STALL_MS) {
      this.begin(this.lastTick, now);
    }
  }

  private begin(since: number, now: number): void {
    this.stalledSince = since;
    // Reading a backlog takes no longer than it took to arrive, unless the server is overloaded. Then every turn is full and proves
    // nothing. Without this bound, a flood could extend a stall for as long as it lasts, and every hello would be dropped.
    this.caughtUpAt = now + (now - since);
    this.lastSeen = now;
    this.datagramsThisTurn = 0;
    this.watchTurn(since);
  }

  /** Whether the handler of the last datagram blocked the loop again. */
  private stalledAgain(now: number): boolean {
    return now - this.lastSeen > STALL_MS;
  }

  private end(now: number): void {
    this.stalledSince = undefined;
    this.lastTick = now;
  }

  /**
   * Ends the stall that began at `since` after the first turn that read fewer datagrams than it could. The turn in which the stall
   * was noticed does not count: datagrams that were read before a handler blocked belong to it, and were not counted.
   */
  private watchTurn(since: number, isCounted = false): void {
    this.platform.afterTurn(() => {
      if (this.stalledSince !== since) {
        return;
      }
      const now = this.platform.now();
      if (this.stalledAgain(now)) {
        this.begin(this.lastSeen, now);
      } else if (isCounted && this.datagramsThisTurn < DATAGRAMS_PER_TURN) {
        this.end(now);
      } else {
        this.lastSeen = now;
        this.datagramsThisTurn = 0;
        this.watchTurn(since, true);
      }
    });
  }
}
