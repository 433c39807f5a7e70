/**
 * Timers for answers of a peer.
 */
import type { Platform } from './platform.js';

/**
 * Runs `callback` after `ms`, and after the sockets have been read once more: after a pause of the process, timers run before sockets are
 * read, and the answer may be unread.
 *
 * @returns cancels it, also between the timer and the sockets.
 */
export function scheduleAfterRead(
  platform: Pick<Platform, 'schedule' | 'afterTurn'>,
  callback: () => void,
  ms: number,
): () => void {
  let isCancelled = false;
  const cancel = platform.schedule(() => {
    platform.afterTurn(() => {
      if (!isCancelled) {
        callback();
      }
    });
  }, ms);
  return () => {
    isCancelled = true;
    cancel();
  };
}
