/**
 * Simulates the transport and its devices on hostile networks and bad days, all on a clock of its own: an hour takes seconds.
 * Needs the built package.
 *
 *     npx nest build esm && node test/simulator/run.mjs [--seconds 60] [--seed 1] [--scenario name] [--short] [--list]
 *
 * Without --seconds each scenario is played once; with it, again and again under the next seed, until the time is up. Each
 * breach is printed with the command that repeats it. Ends with exit code 1 then.
 */
import { parseArgs } from 'node:util';
import { Logger } from '@nestjs/common';
import { loadBuiltPackage } from '../support/built-package.mjs';
import { SCENARIOS } from './scenarios.mjs';
import { SCENARIO_NAMES, play } from './simulate.mjs';

const SHOWN = 5;

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    scenario: { type: 'string' },
    short: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});
const [seconds, firstSeed] = [options.seconds, options.seed].map(Number);
if (options.list) {
  console.log(SCENARIO_NAMES.map((name) => `${name.padEnd(10)} ${SCENARIOS[name].about}`).join('\n'));
  process.exit();
}
if (!(seconds >= 0) || !Number.isSafeInteger(firstSeed)) {
  fail('--seconds is a number, --seed a whole number');
}
if (options.scenario !== undefined && !SCENARIO_NAMES.includes(options.scenario)) {
  fail(`no scenario "${options.scenario}"; --list names them`);
}
const names = options.scenario === undefined ? SCENARIO_NAMES : [options.scenario];
const lib = await loadBuiltPackage();
Logger.overrideLogger(false);

const started = performance.now();
/** @type {Map<string, ReturnType<typeof emptyRow>>} */
const rows = new Map();
let failures = 0;
for (let seed = firstSeed; seed === firstSeed || isTimeLeft(); seed++) {
  for (const name of names) {
    if (seed === firstSeed || isTimeLeft()) {
      await playOnce(name, seed);
    }
  }
}
report();

function isTimeLeft() {
  return performance.now() - started < seconds * 1000;
}

/**
 * @param {string} name
 * @param {number} seed
 */
async function playOnce(name, seed) {
  const began = performance.now();
  const played = await play(lib, name, seed, { isShort: options.short });
  add(played, performance.now() - began);
  if (played.breaches.length > 0) {
    failures++;
    console.error(`${name}, seed ${seed}: ${played.breaches.length} breaches`);
    console.error(
      played.breaches
        .slice(0, SHOWN)
        .map((text) => `  ${text}`)
        .join('\n'),
    );
    console.error(
      `  again: node test/simulator/run.mjs --scenario ${name} --seed ${seed}${options.short ? ' --short' : ''}`,
    );
  }
}

function emptyRow() {
  return {
    runs: 0,
    worlds: 0,
    'simulated h': 0,
    seconds: 0,
    datagrams: 0,
    requests: 0,
    executed: 0,
    lost: 0,
    breaches: 0,
  };
}

/**
 * @param {import('./simulate.mjs').Played} played
 * @param {number} tookMs
 */
function add({ scenario, notes, simulatedMs, worlds, delivered, requests, executions, lost, breaches }, tookMs) {
  const row = rows.get(scenario) ?? emptyRow();
  row.runs++;
  row.worlds += worlds;
  row['simulated h'] += simulatedMs / 3_600_000;
  row.seconds += tookMs / 1000;
  row.datagrams += delivered;
  row.requests += requests;
  row.executed += executions;
  row.lost += lost;
  row.breaches += breaches.length;
  rows.set(scenario, row);
  if (row.runs === 1 && notes.length > 0) {
    console.log(`${scenario}: ${notes.join(', ')}`);
  }
}

function report() {
  const rounded = Object.fromEntries(
    [...rows].map(([name, row]) => [
      name,
      { ...row, 'simulated h': Number(row['simulated h'].toFixed(1)), seconds: Number(row.seconds.toFixed(1)) },
    ]),
  );
  console.table(rounded);
  const seeds = Math.max(...Array.from(rows.values(), ({ runs }) => runs));
  console.log(`seeds ${firstSeed} to ${firstSeed + seeds - 1}, ${failures} runs with breaches`);
  process.exitCode = failures === 0 ? 0 : 1;
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(message);
  process.exit(1);
}
