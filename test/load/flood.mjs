/**
 * A server under attack, over real UDP: its effect on known boards, its cost, and the traffic back to the attacker.
 *
 *     npm run test:flood
 *     npm run test:flood -- --case spoofed --seconds 60 --seed 1
 *     npm run test:flood -- --case one-source --rate 5000 --seconds 5
 *
 * Server, boards and attacker are processes of their own. On two cores they share them: the server has one to itself if the
 * system has `taskset`, and the report shows the requested and the real rate of the attacker. Ends with exit code 1 if one of
 * the checks fails; a rate that the machine does not reach is reported, and no failure.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Child, LOAD_CORE, SERVER_CORE, isPinned, pause } from '../../bench/support/child.mjs';
import { Checks } from './checks.mjs';
import { HOSE, hose } from './hose.mjs';

const TIMEOUT_MS = 5000;
const KEY = 'aa'.repeat(32);
const KNOWN_BOARDS = 200;
/** Exchanges of the known boards a second. */
const KNOWN_RATE = 200;
/** After a flood all has to be as before within this time. */
const RECOVERY_MS = 1000;
const BURST_BOARDS = 5000;
/** What waits to be read when the flood ends is read within this time. */
const READ_LATE_S = 1;
/** As the limits are by default. */
const PER_SECOND = 20;
const AT_ONCE = 40;
const PAIR = { datagrams: 2, bytes: 32 };
const MILLION = 1_000_000;

/**
 * @typedef {import('./hose.mjs').Attack} Attack
 * @typedef {import('./hose.mjs').Hosed} Hosed
 * @typedef {import('./server.mjs').Sample} Sample
 * @typedef {Child<import('./server.mjs').ServerFunctions>} Server
 * @typedef {Child<import('./fleet.mjs').FleetFunctions>} Fleet
 */

/** @type {Pick<Attack, 'kind' | 'rate' | 'sources'>} */
const JUNK = { kind: 'junk', rate: 50_000, sources: MILLION };
/** 200 MB a second: Node's buffers of them wait for a collection, and V8 uses all of its young generation, 32 MiB by default. */
const JUNK_LIMITS = { rssMiB: 64, loopMs: 50 };

/** @type {Record<string, () => Promise<void>>} */
const CASES = {
  'one-source': () => flood('one-source', { kind: 'hello', rate: 100_000, sources: 1 }, { known: 0.999 }),
  spoofed: () => flood('spoofed', { kind: 'hello', rate: 150_000, sources: MILLION }, { known: 0.95, rssMiB: 32 }),
  'junk-1-key': () => flood('junk-1-key', JUNK, JUNK_LIMITS),
  'junk-100-keys': () => flood('junk-100-keys', JUNK, JUNK_LIMITS, 100),
  reflection,
  burst,
};

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: Object.keys(CASES).join(',') },
    /** Of each flood. */
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    /** Datagrams a second, instead of the rate of the case. */
    rate: { type: 'string' },
    boards: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const seed = Number(values.seed);
const checks = new Checks();
const sum = (/** @type {Readonly<Record<string, number>>} */ counts) =>
  Object.values(counts).reduce((all, count) => all + count, 0);
/**
 * Without a measurement there is no number.
 *
 * @param {number | undefined} value
 */
const round = (value) => (typeof value === 'number' ? Number(value.toPrecision(5)) : 'none');

async function startServer(keys = 1) {
  /** @type {Server} */
  const server = new Child('../../test/load/server', { core: SERVER_CORE, execArgv: ['--expose-gc'] });
  const others = Array.from({ length: keys - 1 }, (_, index) => (index + 1).toString(16).padStart(64, '0'));
  const port = await server.ask('start', { timeout: TIMEOUT_MS, key: [...others, KEY] });
  return { server, port };
}

/**
 * @param {number} port
 * @param {number} count
 */
async function startFleet(port, count) {
  /** @type {Fleet} */
  const fleet = new Child('../../test/load/fleet', { core: LOAD_CORE });
  /** @type {Record<string, import('./fleet.mjs').Kind>} */
  const kinds = { known: { count, key: KEY, requests: ['echo'] } };
  await fleet.ask('open', { seed, port, timeout: TIMEOUT_MS, kinds });
  return fleet;
}

/** @param {Child<{ close: () => Promise<unknown> }>[]} children */
async function stop(...children) {
  await Promise.all(
    children.map(async (child) => {
      await child.ask('close');
      await child.stop();
    }),
  );
}

/**
 * Compares the counters with each other, and with the datagrams sent.
 *
 * @param {string} title
 * @param {Sample} sample
 * @param {number} sent
 */
function reconcile(title, { stats, dropped }, sent) {
  const { received, hellos, requests, rejected, outcomes, inFlight } = stats;
  checks.add(
    `${title}: received - hellos - requests - rejected; requests - outcomes`,
    `${received - hellos - requests - sum(rejected)}; ${requests - sum(outcomes) - inFlight}`,
    received === hellos + requests + sum(rejected) && requests === sum(outcomes) + inFlight,
    '0; 0',
  );
  if (dropped === undefined) {
    console.log('This system does not report its drops, so sent and received datagrams are not compared.');
    return;
  }
  checks.add(
    `${title}: sent - received - dropped by the system`,
    sent - received - dropped,
    sent === received + dropped,
    '0',
  );
}

/**
 * Looks at the server when it has read all there is.
 *
 * @param {Server} server
 */
async function sampleAtRest(server) {
  let last;
  let sample = await server.ask('sample');
  do {
    last = sample;
    await pause(500);
    sample = await server.ask('sample');
  } while (sample.stats.received > last.stats.received);
  return sample;
}

/**
 * @param {Server} server
 * @param {number} forMs
 */
async function watchRss(server, forMs) {
  const end = performance.now() + forMs;
  let highest = 0;
  while (performance.now() < end) {
    await pause(Math.min(500, end - performance.now()));
    highest = Math.max(highest, await server.ask('rss'));
  }
  return highest;
}

/**
 * Known boards go about their business while datagrams of one kind rain down.
 *
 * @param {string} title
 * @param {Pick<Attack, 'kind' | 'rate' | 'sources'>} attack
 * @param {{ known?: number, rssMiB?: number, loopMs?: number }} goals
 * @param {number} [keys]
 */
async function flood(title, { kind, rate: asked, sources }, { known = 0.95, rssMiB, loopMs }, keys = 1) {
  const rate = Number(values.rate ?? asked);
  const { server, port } = await startServer(keys);
  const fleet = await startFleet(port, Number(values.boards ?? KNOWN_BOARDS));
  await fleet.ask('burst');
  await fleet.ask('mark');
  await fleet.ask('run', KNOWN_RATE);
  await pause(3000);
  const before = await server.ask('sample');

  await fleet.ask('mark');
  const hosing = hose({ port, rate, seconds, kind, sources, seed });
  const highest = await watchRss(server, seconds * 1000);
  const during = await server.ask('sample');
  await fleet.ask('mark');
  await pause(RECOVERY_MS);
  await fleet.ask('mark');
  const sent = await hosing;
  await pause(1000);
  await fleet.ask('stop');
  const { windows, sentToServer } = await fleet.ask('report');
  const [, usual, attacked, , recovered] = windows.map(({ known: counts }) => counts);
  const after = await sampleAtRest(server);
  await stop(fleet, server);

  const perSecond = (/** @type {'received' | 'hellos'} */ name) =>
    (during.stats[name] - before.stats[name]) / sent.seconds;
  const dropped = (after.dropped ?? NaN) - (before.dropped ?? NaN);
  console.table({
    'asked, /s': rate,
    'sent, /s': round(sent.sent / sent.seconds),
    'read by the server, /s': round(perSecond('received')),
    'dropped by the system, /s': round(dropped / sent.seconds),
    'hellos answered, /s': round(perSecond('hellos')),
    "known boards' exchanges, /s": round(attacked.ok / sent.seconds),
    'their p50 / p99 before, ms': `${round(usual.p50)} / ${round(usual.p99)}`,
    'their p50 / p99 meanwhile, ms': `${round(attacked.p50)} / ${round(attacked.p99)}`,
    "server's CPU, share of a core": round((during.cpuMs - before.cpuMs) / (during.atMs - before.atMs)),
    'event loop p99 / max, ms': `${round(during.loopP99Ms)} / ${round(during.loopMaxMs)}`,
    'RSS before / highest, MiB': `${round(before.rssMiB)} / ${round(highest)}`,
    'lines logged': sum(after.logged),
    'load average': loadavg().map(round).join(' '),
  });
  console.log('rejected', Object.fromEntries(Object.entries(after.stats.rejected).filter(([, count]) => count > 0)));
  const share = attacked.ok / attacked.begun;
  checks.add(`${title}: known boards served, of ${attacked.begun}`, round(share), share >= known, `at least ${known}`);
  const wrong = attacked.wrong + recovered.wrong;
  checks.add(
    `${title}: wrong answers, requests executed twice`,
    `${wrong}, ${after.doubles}`,
    wrong + after.doubles === 0,
    '0, 0',
  );
  const { begun, ok } = recovered;
  checks.add(`${title}: served from 1 s after the flood on, of ${begun}`, ok, ok === begun && ok > 0, 'all');
  if (rssMiB !== undefined) {
    const growth = highest - before.rssMiB;
    checks.add(`${title}: RSS growth, MiB`, round(growth), growth <= rssMiB, `at most ${rssMiB}`);
  }
  if (loopMs !== undefined) {
    const { loopP99Ms } = during;
    checks.add(`${title}: event loop p99, ms`, round(loopP99Ms), loopP99Ms <= loopMs, `at most ${loopMs}`);
  }
  const answered = sent.returned / PAIR.datagrams;
  checks.add(
    `${title}: bytes that came back for each answered hello`,
    answered ? sent.returnedBytes / answered : 0,
    sent.returnedBytes === answered * PAIR.bytes,
    '32, in 2 datagrams',
  );
  const lines = 12 * ((seconds + 10) / 10 + 2);
  checks.add(`${title}: lines logged`, sum(after.logged), sum(after.logged) <= lines, `at most ${lines.toFixed(0)}`);
  reconcile(title, after, sent.sent + sentToServer);
}

/** The traffic back to the spoofed sender address. */
async function reflection() {
  const { server, port } = await startServer();
  const last = Math.min(seconds, 10);
  /** @type {Record<string, Hosed>} */
  const rows = {};
  let sentInAll = 0;
  /**
   * @param {string} title
   * @param {Pick<Attack, 'kind' | 'rate' | 'sources'> & { seconds?: number }} options
   * @param {(result: Hosed) => number} most datagrams that may come back
   * @param {(result: Hosed) => number} [mostForOne] to one source
   */
  const spray = async (title, options, most, mostForOne = most) => {
    const before = await sampleAtRest(server);
    const result = await hose({ port, seconds: last, seed, ...options });
    const answered = (await sampleAtRest(server)).stats.hellos - before.stats.hellos;
    sentInAll += result.sent;
    rows[title] = result;
    const { sent, returned, returnedBytes, mostForOneSource } = result;
    checks.add(
      `reflection, ${title}: datagrams for ${sent}`,
      returned,
      returned <= most(result),
      `at most ${Math.floor(most(result))}`,
    );
    checks.add(
      `reflection, ${title}: the most for one source`,
      mostForOneSource,
      mostForOneSource <= mostForOne(result),
      `at most ${Math.floor(mostForOne(result))}`,
    );
    checks.add(
      `reflection, ${title}: bytes for each`,
      returned ? returnedBytes / returned : 0,
      returnedBytes === 16 * returned,
      '16',
    );
    checks.add(
      `reflection, ${title}: datagrams for each of ${answered} answered hellos`,
      answered ? returned / answered : returned,
      returned <= PAIR.datagrams * answered,
      'at most 2',
    );
  };
  const limited = (/** @type {Hosed} */ { seconds: time }) =>
    PAIR.datagrams * (AT_ONCE + PER_SECOND * (time + READ_LATE_S));
  const allOf = (/** @type {Hosed} */ { sent }) => PAIR.datagrams * sent;
  await spray('one hello', { kind: 'hello', rate: 3, seconds: 0.5, sources: 1 }, allOf);
  await spray('hellos of one source', { kind: 'hello', rate: 20_000, sources: 1 }, limited);
  await spray('hellos of 256 sources', { kind: 'hello', rate: 20_000, sources: 256 }, allOf, limited);
  await spray('hellos of 100000 sources', { kind: 'hello', rate: 20_000, sources: 100_000 }, allOf, limited);
  await spray('anything but hellos', { kind: 'noise', rate: 20_000, sources: 100_000 }, () => 0);
  await spray('junk requests', { kind: 'junk', rate: 10_000, sources: 100_000 }, () => 0);
  const sample = await sampleAtRest(server);
  await stop(server);
  console.table(rows);
  reconcile('reflection', sample, sentInAll);
}

/** All boards say hello at once, strangers so far. */
async function burst() {
  const boards = Number(values.boards ?? BURST_BOARDS);
  const { server, port } = await startServer();
  const fleet = await startFleet(port, boards);
  const first = await fleet.ask('burst');
  await fleet.ask('mark');
  const again = await fleet.ask('burst');
  const { windows, sentToServer } = await fleet.ask('report');
  const [strangers, known] = windows.map((window) => window.known);
  const sample = await sampleAtRest(server);
  await stop(fleet, server);
  console.table({
    'as strangers': { ms: first, ...strangers },
    'as known boards': { ms: again, ...known },
  });
  checks.add(`burst: served of ${boards}, as strangers`, strangers.ok, strangers.ok === boards, String(boards));
  checks.add(`burst: served of ${boards}, as known boards`, known.ok, known.ok === boards, String(boards));
  checks.add('burst: ms until the last stranger had its answer', round(first), first <= 3000, 'at most 3000');
  checks.add('burst: dropped by the system', sample.dropped ?? 'unknown', !sample.dropped, '0');
  reconcile('burst', sample, sentToServer);
}

const names = values.case.split(',');
const unknown = names.find((name) => !(name in CASES));
if (unknown !== undefined) {
  console.error(`--case: expected some of ${Object.keys(CASES).join(', ')}, got "${unknown}"`);
  process.exit(2);
}
console.log(`flood: seed ${seed}, by ${HOSE}${isPinned ? ', server and load on a core each' : ''}`);
for (const name of names) {
  console.log(`\n${name}`);
  await CASES[name]();
}
checks.finish();
