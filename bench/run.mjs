/**
 * Compares the cost of an exchange with the same datagrams over bare node:dgram (the floor) and a request of Nest's TCP transport,
 * all in one run; then how the cost grows, memory, first contact, start, and the parts one by one.
 *
 *     npm run bench
 *     npm run bench -- --parts exchanges --peers 1,64 --rounds 3 --seconds 1
 *     npm run bench -- --out docs/performance.json && node bench/chart.mjs
 *
 * Parts that are not measured stay in the file as they are.
 *
 * Server and load are processes of their own, pinned to a core each if the system has `taskset`. The figure to compare is
 * the server's CPU time for an exchange: it does not depend on the load. Each ratio compares figures of one
 * turn; the result is the median over the turns.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { PARTS } from './support/parts.mjs';
import { compareWithGoals } from './support/goals.mjs';
import { describeMachine } from './support/machine.mjs';

const { values } = parseArgs({
  options: {
    parts: { type: 'string', default: Object.keys(PARTS).join(',') },
    peers: { type: 'string', default: '1,16,64,1000' },
    rounds: { type: 'string', default: '4' },
    turns: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '0.4' },
    out: { type: 'string', default: 'bench-results.json' },
  },
});

/** @param {unknown} value */
function round(value) {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value;
}

/** @param {readonly object[]} rows */
function printTable(rows) {
  console.table(
    rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, round(value)]))),
  );
}

const parts = values.parts.split(',');
const unknown = parts.find((name) => !isPart(name));
if (unknown !== undefined) {
  console.error(`--parts: expected some of ${Object.keys(PARTS).join(', ')}, got "${unknown}"`);
  process.exit(2);
}

/**
 * @param {string} name
 * @returns {name is keyof typeof PARTS}
 */
function isPart(name) {
  return Object.hasOwn(PARTS, name);
}

const settings = {
  peers: values.peers.split(',').map(Number),
  rounds: Number(values.rounds),
  turns: Number(values.turns),
  seconds: Number(values.seconds),
};
const earlier = existsSync(values.out) ? JSON.parse(readFileSync(values.out, 'utf8')) : {};
/** @type {Partial<import('./support/report.mjs').Results>} */
const results = { ...earlier, machine: describeMachine(), settings };
for (const name of parts.filter(isPart)) {
  console.log(`\n${name}: ${PARTS[name].title}`);
  const rows = await PARTS[name].run(settings);
  Object.assign(results, { [name]: rows });
  printTable(rows);
  results.goals = compareWithGoals(results);
  // After each part: it all takes minutes.
  writeFileSync(values.out, `${JSON.stringify(results, (_key, value) => round(value), 2)}\n`);
}
console.log('\ngoals');
printTable(results.goals ?? []);
console.log(`Written to ${values.out}.`);
