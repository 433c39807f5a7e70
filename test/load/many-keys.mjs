/**
 * Fleets with a key for each board, over real UDP: the cost of a search among many keys for other boards, and the return of a fleet after a
 * restart.
 *
 *     npm run test:keys
 *     npm run test:keys -- --case restart --boards 10000 --period 60
 *     npm run test:keys -- --case flood-50k --seconds 60
 *
 * Server, boards and attacker are separate processes, as in `npm run test:flood`. Ends with exit code 1 if a check fails. Rows
 * without the known-boards file are figures, not checks.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { keyIdOf } from '#lib/protocol/v2/index.js';
import { Child, LOAD_CORE, SERVER_CORE, isPinned, pause } from '../../bench/support/child.mjs';
import { keyAt } from '../../bench/support/wire.mjs';
import { Checks } from './checks.mjs';
import { HOSE, hose } from './hose.mjs';

const TIMEOUT_MS = 10_000;

/** With all of them the server must hold the loop for no longer than this. */
const MAX_HELD_MS = 5;
const SEARCHED_KEYS = 100_000;
/** All are found before the ids of their requests expire. */
const NEWCOMERS = 8;
const NEIGHBOURS = 50;
/** All searches may be pending at once. */
const PATIENT = { timeout: 60_000, limits: { keyAttempts: { perSecond: 1e6, burst: 1e7 } } };
const MAX_KEY_BYTES = 1024;
const MAX_SET_UP_MS = 2000;

/** CPU for an exchange after a restart, to that of the settled fleet. */
const MAX_CPU_RATIO = 1.3;
/** The shortest time in which every board has its turn, of a period. */
const TURN_SHARE = 0.95;
/** After this number of periods, boards that were not heard are counted and no longer awaited. */
const MAX_PERIODS = 10;
const GROUPS = 10;

const FLOODED_BOARDS = 100;
const FLOODED_PERIOD_S = 10;
/** From the begin of the flood to the restart. */
const BEFORE_RESTART_MS = 2000;
const PING_EVERY_MS = 3000;
const MILLION = 1_000_000;
const SHARED_KEY = 'aa'.repeat(32);

/**
 * @typedef {import('./fleet.mjs').TallyReport} TallyReport
 * @typedef {Child<import('./server.mjs').ServerFunctions>} Server
 * @typedef {Child<import('./fleet.mjs').FleetFunctions>} Fleet
 */

/** @type {Record<string, () => Promise<void>>} */
const CASES = {
  search,
  restart,
  'no-file': () => restartWithoutFile('no-file', 1),
  ports: () => restartWithoutFile('ports', GROUPS),
  'flood-20k': () => floodRestart(20_000),
  'flood-50k': () => floodRestart(50_000),
};

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: Object.keys(CASES).join(',') },
    /** Of the fleet that is restarted. */
    boards: { type: 'string', default: '10000' },
    /** Seconds in which each board reports once. */
    period: { type: 'string', default: '60' },
    /** Of each flood after the restart. */
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
  },
});
const boards = Number(values.boards);
const period = Number(values.period);
const seconds = Number(values.seconds);
const seed = Number(values.seed);
const checks = new Checks();
const folder = mkdtempSync(join(tmpdir(), 'ben-udp-fleet-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/**
 * @template T
 * @param {T} value
 */
const round = (value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value);
/** @param {object[]} rows */
const printTable = (rows) =>
  console.table(
    rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, round(value)]))),
  );

/** @param {import('nestjs-ben-udp').BenUdpStats} stats */
function printRejected({ rejected }) {
  console.log('rejected', Object.fromEntries(Object.entries(rejected).filter(([, count]) => count > 0)));
}

/** @returns {Server} */
function startServer() {
  return new Child('../../test/load/server', { core: SERVER_CORE, execArgv: ['--expose-gc'] });
}

/**
 * @param {number[]} ports
 * @param {Omit<import('./fleet.mjs').Kind, 'requests'>} kind
 */
async function startFleet(ports, kind, timeout = TIMEOUT_MS) {
  /** @type {Fleet} */
  const fleet = new Child('../../test/load/fleet', { core: LOAD_CORE });
  await fleet.ask('open', { seed, port: ports[0], timeout, kinds: { board: { requests: ['echo'], ports, ...kind } } });
  return fleet;
}

/** @param {Child<{ close: () => Promise<unknown> }>[]} children */
async function stop(...children) {
  for (const child of children) {
    await child.ask('close');
    await child.stop();
  }
}

/**
 * The exchanges of the boards since the last report, as one row.
 *
 * @param {Fleet} fleet
 * @returns {Promise<Pick<TallyReport, 'begun' | 'ok' | 'heard'> & Partial<TallyReport>>}
 */
async function reportOf(fleet) {
  const { windows } = await fleet.ask('report');
  return windows[windows.length - 1].board ?? { begun: 0, ok: 0, heard: 0 };
}

/** How long the loop is held while boards that were never heard come, each with one of the last of 100 000 keys. */
async function search() {
  const server = startServer();
  const { ports, ms, rssMiB } = await server.ask('startKeyed', { boards: SEARCHED_KEYS, ports: [0], ...PATIENT });
  const neighbours = await startFleet(ports, { count: NEIGHBOURS });
  await neighbours.ask('burst');
  await neighbours.ask('run', NEIGHBOURS);
  /** @type {object[]} */
  const rows = [];
  /**
   * @param {string} title
   * @param {() => Promise<number | void>} during returns how many newcomers were heard
   */
  const watch = async (title, during) => {
    await neighbours.ask('report');
    await server.ask('watchTurns');
    const newcomers = await during();
    const turns = await server.ask('turns');
    const { p50, p99 } = await reportOf(neighbours);
    for (const kind of /** @type {const} */ (['cpu', 'clock'])) {
      rows.push({
        while: title,
        'ms by': kind,
        turns: turns.turns,
        ...turns[kind],
        'others p50': p50,
        'others p99': p99,
        newcomers,
      });
    }
    return turns;
  };
  const usual = await watch('nothing is searched', () => pause(10_000));
  const fleet = await startFleet(ports, { count: NEWCOMERS, firstKey: SEARCHED_KEYS - NEWCOMERS }, PATIENT.timeout);
  const searching = await watch(`${NEWCOMERS} boards search`, async () => {
    const took = await fleet.ask('burst');
    const { heard } = await reportOf(fleet);
    checks.add(`search: newcomers heard, in ${round(took)} ms`, heard, heard === NEWCOMERS, String(NEWCOMERS));
    return heard;
  });
  await neighbours.ask('stop');
  const { stats } = await server.ask('sample');
  await stop(neighbours, fleet, server);
  printRejected(stats);
  console.log(`The loop, held for ms; load average ${loadavg().map(round).join(' ')}`);
  printTable(rows);
  // By the processor, because other programs may have it in between. It counts the threads of the garbage collector too.
  const [noise, p99] = [usual.cpu.p99, searching.cpu.p99];
  checks.add(
    'search: CPU in a turn of the loop, ms, p99',
    round(p99),
    p99 <= MAX_HELD_MS + noise,
    `at most ${MAX_HELD_MS}, and ${round(noise)} without a search`,
  );
  const bytes = (rssMiB * 2 ** 20) / SEARCHED_KEYS;
  checks.add('search: bytes for a key (RSS)', round(bytes), bytes <= MAX_KEY_BYTES, `at most ${MAX_KEY_BYTES}`);
  checks.add(
    `search: ${SEARCHED_KEYS} keys set up, ms of CPU`,
    round(ms),
    ms <= MAX_SET_UP_MS,
    `at most ${MAX_SET_UP_MS}`,
  );
}

/**
 * Every board reports once, and some twice.
 *
 * @param {string} title
 * @param {Server} server
 * @param {Fleet} fleet
 */
async function runPeriod(title, server, fleet) {
  await fleet.ask('report');
  const before = await server.ask('sample');
  await fleet.ask('run', boards / (period * TURN_SHARE));
  await pause(period * 1000);
  await fleet.ask('stop');
  const after = await server.ask('sample');
  const { begun, ok, heard, p99 } = await reportOf(fleet);
  return {
    period: title,
    begun,
    ok,
    heard,
    'CPU, µs an exchange': ((after.cpuMs - before.cpuMs) * 1000) / Math.max(1, ok),
    'CPU, share of a core': (after.cpuMs - before.cpuMs) / (after.atMs - before.atMs),
    'p99, ms': p99,
    'event loop p99, ms': after.loopP99Ms,
    refused: after.stats.rejected['search-budget'] + after.stats.rejected['key-attempt-budget'],
  };
}

/**
 * The file that a server leaves that has heard all of these boards.
 *
 * @param {string} path
 * @param {{ address: string, port: number, key: number }[]} endpoints
 */
function writeKnownBoards(path, endpoints) {
  const now = Math.floor(Date.now() / 1000);
  const lines = endpoints.map(({ address, port, key }) => {
    const fingerprint = Buffer.from(keyIdOf(keyAt(key)), 'latin1').toString('hex');
    return `${address} ${port} ${fingerprint} ${now}`;
  });
  writeFileSync(path, `nestjs-ben-udp known boards 1\n${lines.join('\n')}\n`, { mode: 0o600 });
}

/** A fleet with a key for each board, a server that knows it, and the same server after a restart. */
async function restart() {
  const knownBoardsFile = join(folder, 'restart');
  const options = { boards, timeout: TIMEOUT_MS, knownBoardsFile };
  let server = startServer();
  // The boards need a port before they are opened, and the server a file of the boards before it starts.
  const { ports } = await server.ask('startKeyed', { ...options, boards: 1, knownBoardsFile: undefined, ports: [0] });
  const fleet = await startFleet(ports, { count: boards });
  await stop(server);
  writeKnownBoards(knownBoardsFile, await fleet.ask('endpoints'));
  server = startServer();
  await server.ask('startKeyed', { ...options, ports });
  const rows = [await runPeriod('introduced', server, fleet), await runPeriod('settled', server, fleet)];
  await stop(server);
  server = startServer();
  await server.ask('startKeyed', { ...options, ports });
  rows.push(await runPeriod('restarted', server, fleet));
  await stop(fleet, server);
  printTable(rows);
  const [, settled, restarted] = rows;
  checks.add(
    `restart: boards heard in the first period of ${period} s`,
    restarted.heard,
    restarted.heard === boards,
    String(boards),
  );
  const ratio = restarted['CPU, µs an exchange'] / settled['CPU, µs an exchange'];
  checks.add(
    'restart: CPU for an exchange, to the settled fleet',
    round(ratio),
    ratio <= MAX_CPU_RATIO,
    `at most ${MAX_CPU_RATIO}`,
  );
}

/**
 * The same fleet at a server that knows nobody, with its keys on one port or on several.
 *
 * @param {string} title
 * @param {number} portCount
 */
async function restartWithoutFile(title, portCount) {
  const server = startServer();
  const { ports } = await server.ask('startKeyed', {
    boards,
    timeout: TIMEOUT_MS,
    ports: Array.from({ length: portCount }, () => 0),
  });
  const fleet = await startFleet(ports, { count: boards });
  await fleet.ask('report');
  await fleet.ask('run', boards / (period * TURN_SHARE));
  const rows = [];
  let heard = 0;
  let last = await server.ask('sample');
  while (heard < boards && rows.length < MAX_PERIODS) {
    await pause(period * 1000);
    heard = await fleet.ask('heard');
    const now = await server.ask('sample');
    rows.push({
      period: rows.length + 1,
      'heard so far': heard,
      'CPU, share of a core': (now.cpuMs - last.cpuMs) / (now.atMs - last.atMs),
      'event loop p99, ms': now.loopP99Ms,
    });
    last = now;
    console.log(`${title}: ${heard} of ${boards} heard after ${rows.length} periods`);
  }
  await fleet.ask('stop');
  await stop(fleet, server);
  printTable(rows);
  if (portCount > 1) {
    const [first] = rows;
    checks.add(
      `${title}: of ${boards} boards on ${portCount} ports, heard in the first period without a file`,
      first['heard so far'],
      first['heard so far'] === boards,
      String(boards),
    );
  }
}

/**
 * A flood of hellos from a million addresses, and a restart in it: how many boards are heard in the time after it, and how many pings.
 *
 * @param {number} rate datagrams a second
 */
async function floodRestart(rate) {
  const rows = [];
  for (const [title, options] of Object.entries({
    'with the file': { knownBoardsFile: join(folder, `flood-${rate}`) },
    'in reservedNetworks': { reservedNetworks: ['127.0.0.0/9'] },
    'with neither': {},
  })) {
    const start = { key: [SHARED_KEY], timeout: TIMEOUT_MS / 2, ...options };
    let server = startServer();
    const port = await server.ask('start', start);
    const fleet = await startFleet([port], { count: FLOODED_BOARDS, key: SHARED_KEY }, TIMEOUT_MS / 2);
    await fleet.ask('burst');
    const hosing = hose({ port, rate, seconds: seconds + 10, kind: 'hello', sources: MILLION, seed });
    await pause(BEFORE_RESTART_MS);
    await stop(server);
    server = startServer();
    await server.ask('start', { ...start, port });
    await fleet.ask('report');
    await fleet.ask('run', FLOODED_BOARDS / FLOODED_PERIOD_S);
    const pings = [];
    for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
      pings.push(await server.ask('ping'));
      await pause(Math.min(PING_EVERY_MS, end - performance.now()));
    }
    const heard = await fleet.ask('heard');
    await fleet.ask('stop');
    const { ok, begun } = await reportOf(fleet);
    const sent = await hosing;
    await stop(fleet, server);
    const answered = pings.filter(Boolean).length;
    rows.push({
      boards: title,
      heard,
      ok,
      begun,
      pings: `${answered} of ${pings.length}`,
      'hellos/s': sent.sent / sent.seconds,
    });
    checks.add(
      `flood of ${rate}/s, ${title}: pings answered`,
      answered,
      answered === pings.length,
      String(pings.length),
    );
    if (Object.keys(options).length > 0) {
      checks.add(
        `flood of ${rate}/s, ${title}: boards heard in ${seconds} s`,
        heard,
        heard === FLOODED_BOARDS,
        String(FLOODED_BOARDS),
      );
    }
  }
  printTable(rows);
}

const names = values.case.split(',');
const unknown = names.find((name) => !(name in CASES));
if (unknown !== undefined) {
  console.error(`--case: expected some of ${Object.keys(CASES).join(', ')}, got "${unknown}"`);
  process.exit(2);
}
console.log(`fleet: seed ${seed}, flood by ${HOSE}${isPinned ? ', server and load on a core each' : ''}`);
for (const name of names) {
  console.log(`\n${name}`);
  await CASES[name]();
}
console.log(`load average ${loadavg().map(round).join(' ')}`);
checks.finish();
