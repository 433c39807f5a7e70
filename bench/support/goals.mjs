/**
 * The figures the transport is meant to reach, and whether it does.
 */

/**
 * @typedef {object} Goal
 * @property {string} what
 * @property {string} part the part of the bench that has the figure
 * @property {(rows: Record<string, number | undefined>[]) => number | undefined} read
 * @property {number} [atMost]
 * @property {number} [atLeast]
 */

const at = (server, peers) => (rows) => rows.find((row) => row.server === server && row.peers === peers);
const ben64 = at('BenUdp', 64);

/** @type {Goal[]} */
const GOALS = [
  {
    what: 'server CPU, 64 devices, to the floor',
    part: 'exchanges',
    read: (rows) => ben64(rows)?.cpuToFloor,
    atMost: 1.8,
  },
  { what: 'server CPU, 64 devices, to Nest TCP', part: 'exchanges', read: (rows) => ben64(rows)?.cpuToTcp, atMost: 2 },
  {
    what: 'exchanges/s, 64 devices, to the floor',
    part: 'exchanges',
    read: (rows) => ben64(rows)?.perSecondToFloor,
    atLeast: 0.55,
  },
  {
    what: 'p50, one device, to the floor',
    part: 'exchanges',
    read: (rows) => at('BenUdp', 1)(rows)?.p50ToFloor,
    atMost: 1.4,
  },
  {
    what: "share of the server's core in use, 64 devices",
    part: 'exchanges',
    read: (rows) => ben64(rows)?.cpuShare,
    atLeast: 0.95,
  },
  { what: 'CPU, 5000 known devices to 16', part: 'growth', read: ([, row]) => row.cpuRatio, atMost: 1.2 },
  { what: 'CPU, 1000 keys to 1', part: 'growth', read: ([, , , row]) => row.cpuRatio, atMost: 1.1 },
  { what: 'CPU, 1 kB of data to 32 B', part: 'growth', read: ([, , , , row]) => row.cpuRatio, atMost: 2 },
  {
    what: 'bytes for a known device, registry included',
    part: 'memory',
    read: ([, , both]) => both.heapBytes,
    atMost: 640,
  },
  { what: 'first contact, 1000 keys, ms', part: 'firstContact', read: ([, row]) => row.medianMs, atMost: 6 },
  { what: 'start, to Nest TCP', part: 'start', read: ([row]) => row.ratioToTcp, atMost: 1.15 },
];

/** The goals whose part was measured. */
export function compareWithGoals(results) {
  return GOALS.filter(({ part }) => results[part]).map(({ what, part, read, atMost, atLeast }) => {
    const value = read(results[part]);
    return {
      what,
      value,
      goal: atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`,
      isReached: value !== undefined && value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity),
    };
  });
}
