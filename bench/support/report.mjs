/**
 * Makes the tables and the chart of the documentation from the JSON of a run alone.
 */

import { machineText, table, toFixed } from './table.mjs';

/**
 * @typedef {object} Run besides what was measured
 * @property {import('./machine.mjs').Machine} machine
 * @property {import('./parts.mjs').Settings} settings
 * @property {ReturnType<typeof import('./goals.mjs').compareWithGoals>} goals
 *
 * @typedef {Run & import('./parts.mjs').Measured} Results of a run
 */

const SERVERS = ['floor', 'BenUdp', 'Nest TCP'];
/** @type {Record<string, string>} */
const COLORS = { floor: '#9aa5b1', BenUdp: '#e0234e', 'Nest TCP': '#3b6ea5' };

const BAR = 18;
const GAP = 16;
const LABELS = 110;
const WIDTH = 720;
const NUMBERS = 70;
const TOP = 62;

/** @param {Results} results */
function goalsTable({ goals }) {
  return table(
    [
      ['figure', ({ what }) => what, '---'],
      ['goal', ({ goal }) => goal],
      ['measured', ({ value = NaN }) => Number(value.toPrecision(3))],
      ['', ({ isReached }) => (isReached ? 'reached' : '**not reached**'), '---'],
    ],
    goals,
  );
}

/** @param {Results} results */
function exchangesTable({ exchanges }) {
  return table(
    [
      ['server', ({ server }) => server, '---'],
      ['peers', ({ peers }) => peers],
      ['CPU, µs', ({ cpuMicroseconds }) => toFixed(cpuMicroseconds, 1)],
      ['to the floor', ({ cpuToFloor }) => toFixed(cpuToFloor, 2)],
      ['to Nest TCP', ({ cpuToTcp }) => toFixed(cpuToTcp, 2)],
      ['exchanges/s', ({ perSecond }) => Math.round(perSecond)],
      ['to the floor', ({ perSecondToFloor }) => toFixed(perSecondToFloor, 2)],
      ['p50, ms', ({ p50 }) => toFixed(p50, 2)],
      ['p99, ms', ({ p99 }) => toFixed(p99, 2)],
      ['core in use', ({ cpuShare }) => `${Math.round(cpuShare * 100)} %`],
      ['taken by others', ({ waitedShare }) => `${Math.round(waitedShare * 100)} %`],
      ['RSS, MiB', ({ rssMiB }) => Math.round(rssMiB)],
    ],
    exchanges,
  );
}

/** @param {Results} results */
function growthTable({ growth }) {
  return table(
    [
      ['', ({ what }) => what, '---'],
      ['CPU, µs', ({ cpuMicroseconds }) => toFixed(cpuMicroseconds, 1)],
      ['ratio', ({ cpuRatio }) => toFixed(cpuRatio, 2)],
    ],
    growth,
  );
}

/** @param {Results} results */
function aloneTable({ alone }) {
  return table(
    [
      ['server', ({ server }) => server, '---'],
      ['p50, ms', ({ p50 }) => toFixed(p50, 3)],
      ['to the floor', ({ p50ToFloor }) => toFixed(p50ToFloor, 2)],
      ['to the floor whose board computes', ({ p50ToComputingFloor }) => toFixed(p50ToComputingFloor, 2)],
    ],
    alone,
  );
}

/** @param {Results} results */
function microTable({ micro }) {
  return table(
    [
      ['part', ({ name }) => name, '---'],
      ['data, B', ({ size }) => size ?? ''],
      ['µs', ({ microseconds }) => toFixed(microseconds, 2)],
      ['beside it', ({ baseline }) => baseline, '---'],
      ['µs', ({ baselineMicroseconds }) => toFixed(baselineMicroseconds, 2)],
    ],
    micro,
  );
}

/** @param {Results} results */
function startTable({ start }) {
  return table(
    [
      ['server', ({ server }) => server, '---'],
      ['first answer after, ms', ({ firstAnswerMs }) => Math.round(firstAnswerMs)],
      ['to Nest TCP', ({ ratioToTcp }) => toFixed(ratioToTcp, 2)],
    ],
    start,
  );
}

/** Above this share of the server's core taken by other work, a run measures the machine too. */
const BUSY_SHARE = 0.1;

/** @param {Results} results */
function machineLine({ machine, settings: { rounds, turns, seconds }, exchanges }) {
  const line = `${machineText(machine)}; medians of ${rounds * turns} turns of ${seconds} s, in ${rounds} processes.`;
  const taken = Math.max(...exchanges.map(({ waitedShare }) => waitedShare));
  return taken <= BUSY_SHARE
    ? line
    : `${line}\n\n**The machine was busy**: other work had up to ${Math.round(taken * 100)} % of the server's core. CPU times are ` +
        'higher for it, and not alike for all; exchanges/s and latencies say little. To be measured again on a quiet machine.';
}

/** The parts of the page that are made, by the name of their marks. */
export const SECTIONS = {
  machine: machineLine,
  goals: goalsTable,
  exchanges: exchangesTable,
  alone: aloneTable,
  growth: growthTable,
  start: startTable,
  micro: microTable,
};

/**
 * Bars: the server's CPU time for an exchange, by server and number of peers.
 *
 * @param {Results} results
 */
export function drawChart({ exchanges, settings: { peers } }) {
  const rows = exchanges.filter(({ server }) => SERVERS.includes(server));
  const longest = Math.max(...rows.map(({ cpuMicroseconds }) => cpuMicroseconds));
  const scale = (WIDTH - LABELS - NUMBERS) / longest;
  const group = SERVERS.length * BAR + GAP;
  const bars = peers.flatMap((count, index) =>
    SERVERS.flatMap((server, place) => {
      const measured = rows.find((row) => row.server === server && row.peers === count);
      if (!measured) {
        throw new Error(`the run has no row for ${server} with ${count} peers`);
      }
      const { cpuMicroseconds } = measured;
      const y = TOP + index * group + place * BAR;
      const width = (cpuMicroseconds * scale).toFixed(1);
      return [
        `<rect x="${LABELS}" y="${y}" width="${width}" height="${BAR - 3}" fill="${COLORS[server]}"/>`,
        `<text x="${(LABELS + 6 + Number(width)).toFixed(1)}" y="${y + 12}">${cpuMicroseconds.toFixed(1)} µs</text>`,
      ];
    }),
  );
  const labels = peers.map(
    (count, index) =>
      `<text x="${LABELS - 10}" y="${TOP + index * group + BAR + 12}" text-anchor="end">${count} ${count === 1 ? 'peer' : 'peers'}</text>`,
  );
  const legend = SERVERS.map(
    (server, index) =>
      `<rect x="${LABELS + index * 150}" y="34" width="12" height="12" fill="${COLORS[server]}"/>` +
      `<text x="${LABELS + 18 + index * 150}" y="44">${server}</text>`,
  );
  const height = TOP + peers.length * group;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${LABELS}" y="20" font-size="14">Server CPU for an exchange</text>`,
    ...legend,
    ...labels,
    ...bars,
    '</svg>',
  ].join('\n')}\n`;
}
