/**
 * The figures the transport is meant to reach, and whether it does.
 */

/**
 * @typedef {import('./parts.mjs').Measured} Measured
 *
 * @typedef {object} Goal
 * @property {string} what
 * @property {keyof Measured} part the part of the bench that has the figure
 * @property {(results: Partial<Measured>) => number | undefined} read
 * @property {number} [atMost]
 * @property {number} [atLeast]
 */

/**
 * @template {keyof Measured} Part
 * @param {Part} part
 * @param {(rows: Measured[Part]) => number | undefined} readRows
 * @returns {Pick<Goal, 'part' | 'read'>}
 */
const figure = (part, readRows) => ({ part, read: ({ [part]: rows }) => rows && readRows(rows) });

/**
 * @param {Measured['exchanges']} rows
 * @param {number} peers
 */
const ben = (rows, peers) => rows.find((row) => row.server === 'BenUdp' && row.peers === peers);

/** @type {Goal[]} */
const GOALS = [
  {
    what: 'server CPU, 64 devices, to the floor',
    ...figure('exchanges', (rows) => ben(rows, 64)?.cpuToFloor),
    atMost: 1.8,
  },
  { what: 'server CPU, 64 devices, to Nest TCP', ...figure('exchanges', (rows) => ben(rows, 64)?.cpuToTcp), atMost: 2 },
  {
    what: 'exchanges/s, 64 devices, to the floor',
    ...figure('exchanges', (rows) => ben(rows, 64)?.perSecondToFloor),
    atLeast: 0.55,
  },
  {
    what: 'p50, one device, to the floor',
    ...figure('exchanges', (rows) => ben(rows, 1)?.p50ToFloor),
    atMost: 1.4,
  },
  {
    what: "share of the server's core in use, 64 devices",
    ...figure('exchanges', (rows) => ben(rows, 64)?.cpuShare),
    atLeast: 0.95,
  },
  { what: 'CPU, 5000 known devices to 16', ...figure('growth', ([, row]) => row.cpuRatio), atMost: 1.2 },
  { what: 'CPU, 1000 keys to 1', ...figure('growth', ([, , , row]) => row.cpuRatio), atMost: 1.1 },
  { what: 'CPU, 1 kB of data to 32 B', ...figure('growth', ([, , , , row]) => row.cpuRatio), atMost: 2 },
  {
    what: 'bytes for a known device, registry included',
    ...figure('memory', ([, , both]) => both.heapBytes),
    atMost: 640,
  },
  { what: 'first contact, 1000 keys, ms', ...figure('firstContact', ([, row]) => row.medianMs), atMost: 6 },
  { what: 'start, to Nest TCP', ...figure('start', ([row]) => row.ratioToTcp), atMost: 1.15 },
];

/**
 * The goals whose part was measured.
 *
 * @param {Partial<Measured>} results
 */
export function compareWithGoals(results) {
  return GOALS.filter(({ part }) => results[part]).map(({ what, read, atMost, atLeast }) => {
    const value = read(results);
    return {
      what,
      value,
      goal: atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`,
      isReached: value !== undefined && value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity),
    };
  });
}
