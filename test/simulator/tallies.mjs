/** Shares of successful requests, and whether chance alone explains one. */

/** @typedef {{ good: number, all: number }} Tally */

/** @param {Tally} tally */
export function percent({ good, all }) {
  return all === 0 ? 'none' : `${((100 * good) / all).toFixed(1)} %`;
}

/**
 * Whether a share is below the expected one by more than three standard deviations.
 *
 * @param {number} expected
 * @param {Tally} tally
 */
export function isBelow(expected, { good, all }) {
  return good / all < expected - 3 * Math.sqrt((expected * (1 - expected)) / all);
}
