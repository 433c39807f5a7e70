/**
 * Compares the CPU time of an exchange with protocol v1, with v2 and with Nest's TCP transport, in one run. Fails if v2 takes more than
 * its share of either.
 *
 *     npm run build && node bench/protocols.mjs
 *     node bench/protocols.mjs --rounds 1 --turns 4
 */
import { parseArgs } from 'node:util';
import { measure, ratio, slicesOf } from './support/rounds.mjs';
import { median } from './support/statistics.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    turns: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '0.4' },
  },
});

const LOAD = { peers: 64, inFlight: 64 };
const VARIANT = { dataBytes: 32, noreturn: false, keys: 1 };

/** @type {import('./support/rounds.mjs').Variant[]} */
const VARIANTS = [
  { ...VARIANT, name: 'v1', kind: 'ben' },
  { ...VARIANT, name: 'v2', kind: 'v2' },
  { ...VARIANT, name: 'tcp', kind: 'tcp' },
];

/** The most that an exchange of v2 may take, as a share of the other. */
const LIMITS = { v1: 0.6, tcp: 1.4 };

const slices = await measure(VARIANTS, [LOAD], {
  rounds: Number(values.rounds),
  turns: Number(values.turns),
  seconds: Number(values.seconds),
});
const of = (/** @type {string} */ name) => slicesOf(slices, { name }, LOAD);
console.table(
  VARIANTS.map(({ name }) => ({
    name,
    'CPU in µs': Number(median(of(name).map(({ cpuMicroseconds }) => cpuMicroseconds)).toFixed(1)),
    // Below 95 % the load was too slow, and the server paid for waking up.
    "share of the server's core": Number(median(of(name).map(({ cpuShare }) => cpuShare)).toFixed(2)),
    'exchanges/s': Math.round(median(of(name).map(({ perSecond }) => perSecond))),
    lost: of(name).reduce((sum, { lost }) => sum + lost, 0),
  })),
);
let isOver = false;
for (const [name, limit] of Object.entries(LIMITS)) {
  const share = ratio(of('v2'), of(name), 'cpuMicroseconds');
  isOver ||= share > limit;
  console.log(`v2 takes ${share.toFixed(2)} × the CPU time of ${name}; at most ${limit} ×`);
}
process.exit(isOver ? 1 : 0);
