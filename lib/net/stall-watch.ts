/**
 * Notices when the event loop stood still: datagrams that came meanwhile have waited to be read, and nothing on them says so.
 */
import type { Platform } from './platform.js';

/** How often the loop is looked at. */
const TICK_MS = 200;

/** A shorter standstill is none. */
const STALL_MS = 500;

/** What libuv reads from a socket in one turn of the loop; after fewer, nothing is left. */
const DATAGRAMS_PER_TURN = 32;

export class StallWatch {
  private lastTick: number;
  /** When the loop was last seen running before it stood still; `undefined` once all that had waited is read. */
  private standstillSince: number | undefined;
  /** When all that had waited is read at the latest. */
  private caughtUpAt = -Infinity;
  /** While there is a standstill to catch up with: when the loop was seen running last. */
  private lastSeen = -Infinity;
  private datagramsThisTurn = 0;
  private cancel: () => void = () => undefined;

  constructor(private readonly platform: Platform) {
    this.lastTick = platform.now();
    this.tick();
  }

  /** How long a datagram that is read now may have waited, in milliseconds; 0 unless the loop stood still. */
  waited(now: number): number {
    if (this.standstillSince === undefined) {
      this.check(now);
    } else if (this.stoodStillAgain(now)) {
      this.caughtUpAt = now + (now - this.standstillSince);
    } else if (now > this.caughtUpAt) {
      this.end(now);
    }
    if (this.standstillSince === undefined) {
      return 0;
    }
    this.lastSeen = now;
    this.datagramsThisTurn++;
    return now - this.standstillSince;
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
    if (this.standstillSince === undefined && now - this.lastTick > TICK_MS + STALL_MS) {
      this.begin(this.lastTick, now);
    }
  }

  private begin(since: number, now: number): void {
    this.standstillSince = since;
    // What comes in a time is read in the same time, or the server is overloaded: then every turn is a full one, and tells
    // nothing of the standstill. A flood could make one last as long as itself, with every hello refused.
    this.caughtUpAt = now + (now - since);
    this.lastSeen = now;
    this.datagramsThisTurn = 0;
    this.watchTurn(since);
  }

  /** Whether the handler of what was read last blocked the loop once more. */
  private stoodStillAgain(now: number): boolean {
    return now - this.lastSeen > STALL_MS;
  }

  private end(now: number): void {
    this.standstillSince = undefined;
    this.lastTick = now;
  }

  /**
   * Ends the standstill that began then after the first turn that found less to read than a turn may. Not after the turn in
   * which it was noticed: what was read before a handler blocked is not counted, and belongs to that turn as well.
   */
  private watchTurn(since: number, isCounted = false): void {
    this.platform.afterTurn(() => {
      if (this.standstillSince !== since) {
        return;
      }
      const now = this.platform.now();
      if (this.stoodStillAgain(now)) {
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
