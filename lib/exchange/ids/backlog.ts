/**
 * Drains the socket of a device that is out of step by more than the server remembers. Such a device reads old datagrams, so its
 * requests fail although it has just said hello. If its hellos are withheld, it reads two old datagrams for each request, and its
 * backlog shrinks. A withheld hello that no request follows shows that the backlog is empty.
 *
 * No key is tried for this, so strangers can't make it costly. A forger needs a hello and a failing request three times in a row for
 * each hello that is withheld, and could cost the device as much with one hello.
 */

/** Failed requests in a row, each after its own hello, and whether a request is awaited. Fits in a byte. */
export type Backlog = number;

export const NO_BACKLOG: Backlog = 0;

/** Failures in a row after which hellos are withheld. One or two happen when datagrams are lost or a key changes. */
const FAILURES_BEFORE_DRAINING = 3;

/** Hellos that are withheld in a row. A socket with 64 datagrams needs 32, and some more if datagrams are lost meanwhile. */
const MAX_WITHHELD = 40;

const AWAITS_REQUEST = 0x80;
const DRAINED = FAILURES_BEFORE_DRAINING + MAX_WITHHELD;

function failuresOf(backlog: Backlog): number {
  return backlog & (AWAITS_REQUEST - 1);
}

export function isDraining(backlog: Backlog): boolean {
  const failures = failuresOf(backlog);
  return failures >= FAILURES_BEFORE_DRAINING && failures < DRAINED;
}

/** Whether a hello came and no request since. */
export function awaitsRequest(backlog: Backlog): boolean {
  return backlog >= AWAITS_REQUEST;
}

/** Whether a hello that comes now is withheld. If no request has followed the last one, the backlog is empty. */
export function isWithheld(backlog: Backlog): boolean {
  return isDraining(backlog) && !awaitsRequest(backlog);
}

export function afterHello(backlog: Backlog): Backlog {
  const isOver = failuresOf(backlog) >= FAILURES_BEFORE_DRAINING && !isWithheld(backlog);
  return (isOver ? NO_BACKLOG : failuresOf(backlog)) + AWAITS_REQUEST;
}

/** Only the first failure after a hello counts: a forger can add any number. */
export function afterFailure(backlog: Backlog): Backlog {
  return awaitsRequest(backlog) ? Math.min(failuresOf(backlog) + 1, DRAINED) : backlog;
}
