/**
 * Waits for the best moment to close a socket on a shared port. The system drops its unread datagrams and gives its boards to the other
 * processes, which do not know the ids of this one: a board between hello and request, or between GRANT and REQ1, loses that exchange.
 */
import type { Platform } from '../net/index.js';

/** Interval of the checks. */
const TICK_MS = 1;

/** How long it waits for a moment in which no board is about to use an id. */
export const QUIET_WITHIN_MS = 500;

/** How long it then reads the datagrams that have arrived, and issues no ids. */
export const READ_ALL_WITHIN_MS = 250;

export interface LeavingServer {
  /** Datagrams that were received so far. */
  received(): number;
  /** Whether a request may be on its way for an id that was issued a moment ago. */
  awaitsRequests(now: number): boolean;
  stopIssuing(): void;
}

/** Resolves when the socket may be closed, and issues no ids from then on. */
export async function leaveWhenQuiet(platform: Platform, server: LeavingServer): Promise<void> {
  const startedAt = platform.now();
  for (;;) {
    const hasReadAll = await readsNothing(platform, server);
    const now = platform.now();
    const isPatient = now - startedAt < QUIET_WITHIN_MS;
    const isOver = now - startedAt >= QUIET_WITHIN_MS + READ_ALL_WITHIN_MS;
    const isQuiet = hasReadAll && !(isPatient && server.awaitsRequests(now));
    if (isQuiet || !isPatient) {
      server.stopIssuing();
    }
    if (isQuiet || isOver) {
      return;
    }
    await new Promise<void>((resolve) => platform.schedule(resolve, TICK_MS));
  }
}

/** Whether a whole turn of the event loop has read nothing. */
async function readsNothing(platform: Platform, server: LeavingServer): Promise<boolean> {
  const before = server.received();
  // A callback of another socket, or of a signal, runs in the middle of the first turn, in which this socket may have had its chance.
  for (let turn = 0; turn < 2; turn++) {
    await new Promise<void>((resolve) => platform.afterTurn(resolve));
  }
  return server.received() === before;
}
