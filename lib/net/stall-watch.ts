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
  private datagramsThisTurn = 0;
  private callOff: () => void = () => undefined;

  constructor(private readonly platform: Platform) {
    this.lastTick = platform.now();
    this.tick();
  }

  /** How long a datagram that is read now may have waited, in milliseconds; 0 unless the loop stood still. */
  waited(now: number): number {
    if (this.standstillSince === undefined) {
      this.check(now);
    } else if (now > this.caughtUpAt) {
      this.end(now);
    }
    if (this.standstillSince === undefined) {
      return 0;
    }
    this.datagramsThisTurn++;
    return now - this.standstillSince;
  }

  stop(): void {
    this.callOff();
  }

  private tick(): void {
    const now = this.platform.now();
    this.check(now);
    this.lastTick = now;
    this.callOff = this.platform.schedule(() => this.tick(), TICK_MS);
  }

  private check(now: number): void {
    if (this.standstillSince === undefined && now - this.lastTick > TICK_MS + STALL_MS) {
      this.standstillSince = this.lastTick;
      // What comes in a time is read in the same time, or the server is overloaded: then every turn is a full one, and tells
      // nothing of the standstill. A flood could make one last as long as itself, with every hello refused.
      this.caughtUpAt = now + (now - this.lastTick);
      this.datagramsThisTurn = 0;
      this.watchTurn(this.standstillSince);
    }
  }

  private end(now: number): void {
    this.standstillSince = undefined;
    this.lastTick = now;
  }

  /** Ends the standstill that began then after the first turn that found less to read than a turn may. */
  private watchTurn(since: number): void {
    this.platform.afterTurn(() => {
      if (this.standstillSince !== since) {
        return;
      }
      if (this.datagramsThisTurn < DATAGRAMS_PER_TURN) {
        this.end(this.platform.now());
      } else {
        this.datagramsThisTurn = 0;
        this.watchTurn(since);
      }
    });
  }
}
