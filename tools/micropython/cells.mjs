/** The numbers that a board's thread and its owner's share, and by which the one waits for the other. */

/** Datagrams that arrived and that the device program has not read. */
export const UNREAD = 0;

/** The result of the owner's thread: 0, an errno, or PENDING. */
export const RESULT = 1;

export const CELL_COUNT = 2;

export const PENDING = -1;
