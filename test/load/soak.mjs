/**
 * A server under a steady load for a long time: that it loses nothing, mixes nothing up, and grows by nothing.
 *
 *     npm run test:soak -- --seconds 3600 --seed 1
 *     npm run test:soak -- --case steady --seconds 600
 *
 * `mixed` (default): boards of v1 and v2, boards that wait and boards that do not, errors, slow handlers, boards with a wrong key,
 * boards on a bad network, noise of strangers, and keys reloaded all the time. `steady`: 5000 boards that echo.
 *
 * Every `--every` seconds the load pauses until nothing is under way. Then the server collects its garbage, and the soak checks heap,
 * handles and timers, and whether the counters account for every datagram that was sent. Ends with exit code 1 if one of the checks that
 * it prints at the end fails.
 */
import { parseArgs } from 'node:util';
import { Child, LOAD_CORE, SERVER_CORE, pause } from '../../bench/support/child.mjs';
import { Checks } from './checks.mjs';
import { fitTrend } from './trend.mjs';

const MIB = 2 ** 20;
const HOUR_S = 3600;

/** The most the heap may grow; short runs are allowed as much as this hour, for compiled code takes its place at first. */
const GROWTH_MIB = 1;
/** Exchanges of each board before anything is measured: after these the server's memory of it is as large as it gets. */
const WARM_UP_EXCHANGES = 6;
const MIN_LOOKS = 4;
/** The longest that a datagram stays in the bad network, and more. */
const SETTLE_MS = 1500;

const KEYS = { shared: 'aa'.repeat(32), other: 'bb'.repeat(32), third: 'cc'.repeat(32), wrong: 'dd'.repeat(32) };
const key = (/** @type {keyof typeof KEYS} */ name) => Buffer.from(KEYS[name], 'hex');

const BAD_NETWORK = { loss: 0.02, duplicate: 0.01, reorder: 0.005, corrupt: 0.005, delayMs: 5, jitterMs: 4 };

/**
 * @typedef {import('./server.mjs').Sample} Sample
 * @typedef {import('./fleet.mjs').FleetReport} FleetReport
 *
 * @typedef {object} Case
 * @property {number} rate exchanges a second
 * @property {number} timeout milliseconds
 * @property {number} every seconds from one look to the next
 * @property {number} [noiseShare]
 * @property {import('./fleet.mjs').FleetOptions['faults']} [faults]
 * @property {Record<string, import('./fleet.mjs').Kind & { isRefused?: boolean }>} kinds
 * @property {{ key: Buffer[] }[]} rings one after the other
 */

/** @type {Record<string, Case>} */
const CASES = {
  mixed: {
    rate: 250,
    timeout: 5000,
    every: 60,
    noiseShare: 0.4,
    faults: { toServer: BAD_NETWORK, toDevice: BAD_NETWORK },
    kinds: {
      replying: { count: 80, key: KEYS.shared, requests: ['echo', 'echo', 'echo', 'slow', 'fail', 'nobody'] },
      'with another key': { count: 20, key: KEYS.other, requests: ['echo'] },
      noreturn: { count: 40, key: KEYS.shared, requests: ['note'] },
      'with a wrong key': { count: 4, key: KEYS.wrong, requests: ['echo'], isRefused: true },
      'badly connected': { count: 40, key: KEYS.shared, requests: ['echo', 'slow', 'fail'], isLossy: true },
      'badly connected, noreturn': { count: 20, key: KEYS.shared, requests: ['note'], isLossy: true },
      v2: { count: 60, key: KEYS.shared, protocol: 'v2', requests: ['echo', 'echo', 'slow', 'fail', 'nobody', 'note'] },
      'v2, badly connected': {
        count: 40,
        key: KEYS.other,
        protocol: 'v2',
        requests: ['echo', 'slow', 'fail', 'note'],
        isLossy: true,
      },
    },
    /** Both keys in use stay; the order and a third one change. */
    rings: [{ key: [key('shared'), key('other')] }, { key: [key('other'), key('third'), key('shared')] }],
  },
  steady: {
    rate: 1000,
    timeout: 10_000,
    every: 30,
    kinds: { steady: { count: 5000, key: KEYS.shared, requests: ['echo'] } },
    rings: [{ key: [key('shared')] }],
  },
};

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: 'mixed' },
    seconds: { type: 'string', default: '3600' },
    seed: { type: 'string', default: '1' },
    /** Exchanges a second. */
    rate: { type: 'string' },
    every: { type: 'string' },
    boards: { type: 'string' },
    /** Milliseconds. */
    timeout: { type: 'string' },
  },
});
const chosen = CASES[values.case];
if (!chosen) {
  console.error(`--case: expected one of ${Object.keys(CASES).join(', ')}, got "${values.case}"`);
  process.exit(2);
}
const { rings, noiseShare, faults } = chosen;
const seconds = Number(values.seconds);
const rate = Number(values.rate ?? chosen.rate);
const every = Math.min(Number(values.every ?? chosen.every), seconds / MIN_LOOKS);
const kinds = structuredClone(chosen.kinds);
if (values.boards) {
  Object.values(kinds)[0].count = Number(values.boards);
}
/** How long boards wait, and the server knows them to wait. */
const TIMEOUT_MS = Number(values.timeout ?? chosen.timeout);

/** @type {Child<import('./server.mjs').ServerFunctions>} */
const server = new Child('../../test/load/server', { core: SERVER_CORE, execArgv: ['--expose-gc'] });
/** @type {Child<import('./fleet.mjs').FleetFunctions>} */
const fleet = new Child('../../test/load/fleet', { core: LOAD_CORE });
const port = await server.ask('start', { timeout: TIMEOUT_MS, key: rings[0].key.map((each) => each.toString('hex')) });
await fleet.ask('open', { seed: Number(values.seed), port, timeout: TIMEOUT_MS, noiseShare, faults, kinds });
console.log(`soak ${values.case}: ${seconds} s, ${rate} exchanges/s, seed ${values.seed}, looked at every ${every} s`);

const sum = (/** @type {Readonly<Record<string, number>>} */ counts) =>
  Object.values(counts).reduce((all, count) => all + count, 0);

/**
 * The datagrams and requests that the counters miss.
 *
 * @param {Sample} sample
 * @param {FleetReport} report
 */
function unaccounted({ stats, dropped = 0 }, { sentToServer, proxy }) {
  const { received, hellos, requests, resent, rejected, outcomes, inFlight } = stats;
  const sent = sentToServer + (proxy?.toServer.arrived ?? 0);
  return {
    datagrams: sent - dropped - received,
    received: received - hellos - requests - resent - sum(rejected),
    requests: requests - sum(outcomes) - inFlight,
    inFlight,
  };
}

/** @type {Record<string, Omit<import('./fleet.mjs').TallyReport, 'heard'>>} */
const totals = {};
/** @param {FleetReport} report */
function addUp(report) {
  for (const [kind, counts] of Object.entries(report.windows[0])) {
    const total = (totals[kind] ??= { begun: 0, ok: 0, lost: 0, bad: 0, wrong: 0, p50: 0, p99: 0, max: 0 });
    for (const name of /** @type {const} */ (['begun', 'ok', 'lost', 'bad', 'wrong'])) {
      total[name] += counts[name];
    }
    // Of the periods, the worst.
    for (const name of /** @type {const} */ (['p50', 'p99', 'max'])) {
      total[name] = Math.max(total[name], counts[name] || 0);
    }
  }
}

async function warmUp() {
  const boards = Object.values(kinds).reduce((all, { count }) => all + count, 0);
  await fleet.ask('run', rate);
  await pause(((WARM_UP_EXCHANGES * boards) / rate) * 1000);
  await fleet.ask('stop');
}

/**
 * Runs the load for a while, then reads the resources at rest.
 *
 * @param {number} round
 */
async function runPeriod(round) {
  await fleet.ask('run', rate);
  for (let part = 0; part < 4; part++) {
    await pause((every * 1000) / 4);
    const { key: ring } = rings[(round + part) % rings.length];
    await server.ask('reloadKeys', { key: ring.map((each) => each.toString('hex')) });
  }
  await fleet.ask('stop');
  await pause(SETTLE_MS);
  const report = await fleet.ask('report');
  const sample = await server.ask('sample');
  const rest = await server.ask('rest');
  addUp(report);
  const look = { ...rest, starved: report.starved, unaccounted: unaccounted(sample, report), sample };
  console.log(
    `${new Date().toISOString().slice(11, 19)} heap ${(rest.heapBytes / MIB).toFixed(2)} MiB, external ` +
      `${(rest.externalBytes / MIB).toFixed(2)} MiB, rss ${sample.rssMiB.toFixed(0)} MiB, executed ${sample.executed}, ` +
      `loop p99 ${sample.loopP99Ms.toFixed(1)} ms, resources ${JSON.stringify(rest.resources)}, ` +
      `unaccounted ${JSON.stringify(look.unaccounted)}`,
  );
  return look;
}

await warmUp();
const looks = [];
const beganAt = performance.now();
for (let round = 0; round < MIN_LOOKS || performance.now() - beganAt < seconds * 1000; round++) {
  looks.push({ ...(await runPeriod(round)), atHours: (performance.now() - beganAt) / 1000 / HOUR_S });
}
await fleet.ask('close');
const last = looks[looks.length - 1].sample;
await server.ask('close');
await Promise.all([fleet.stop(), server.stop()]);

console.table(
  Object.fromEntries(
    Object.entries(totals).map(([kind, total]) => [
      kind,
      Object.fromEntries(Object.entries(total).map(([name, value]) => [name, Number(value.toPrecision(7))])),
    ]),
  ),
);
const nonZero = (/** @type {Readonly<Record<string, number>>} */ counts) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
console.log('rejected', nonZero(last.stats.rejected), 'outcomes', nonZero(last.stats.outcomes));
console.log('dropped by the system', last.dropped, 'lines logged', nonZero(last.logged));

const checks = new Checks();
for (const [kind, { isRefused, isLossy }] of Object.entries(kinds)) {
  const { begun, ok, lost, bad, wrong } = totals[kind];
  checks.add(`${kind}: wrong answers`, wrong, wrong === 0, '0');
  if (isRefused) {
    checks.add(`${kind}: answered`, ok, ok === 0, '0');
  } else if (!isLossy) {
    checks.add(`${kind}: lost or bad of ${begun}`, lost + bad, lost + bad === 0, '0');
  }
}
checks.add('requests executed twice', last.doubles, last.doubles === 0, '0');
const open = looks.filter(({ unaccounted: each }) => sum(nonZero(each)) !== 0 || Math.min(...Object.values(each)) < 0);
checks.add('looks at which counters did not add up', open.length, open.length === 0, '0');
const resources = new Set(looks.map((look) => JSON.stringify(look.resources)));
checks.add('handles and timers at rest', [...resources].join(' then '), resources.size === 1, 'always the same');
// One line of a kind in 10 s, of at most some 8 kinds; errors of routing are Nest's, one for each request.
const maxWarnings = 8 * (seconds / 5 + 2);
checks.add('warnings logged', last.logged.warn, last.logged.warn <= maxWarnings, `at most ${maxWarnings.toFixed(0)}`);

// Code that is compiled on the way takes its place too, most of it in the first tenth.
const warm = looks.slice(Math.max(1, Math.floor(looks.length / 10)));
const hours = warm[warm.length - 1].atHours - warm[0].atHours;
const allowed = GROWTH_MIB / Math.min(1, hours);
for (const name of /** @type {const} */ (['heapBytes', 'externalBytes'])) {
  const { slope, low, high } = fitTrend(warm.map((look) => [look.atHours, look[name] / MIB]));
  const verdict = high <= allowed ? '' : low > allowed ? '' : ', undecided: more time is needed';
  checks.add(
    `${name.replace('Bytes', '')}: MiB/h over ${(hours * 60).toFixed(1)} min`,
    `${slope.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})${verdict}`,
    hours < 0.9 ? low <= allowed : high <= allowed,
    `at most ${allowed.toFixed(2)}`,
  );
}
checks.finish();
