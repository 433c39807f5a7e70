/**
 * The CPU time of the server by function: those with the most time of their own, under the load of 64 boards. With `--pure`, the
 * exchange without a socket and without Nest; the boards' part of it is in the same process, under bench/.
 *
 *     npm run bench:profile -- [--server ben|v2|tcp|floor] [--peers 64] [--seconds 5] [--noreturn] [--by file]
 *     npm run bench:profile -- --pure [--turns 50]
 *
 * Sampling slows the server, so shares are what counts here; the time of an exchange is measured by `npm run bench`.
 */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Child, LOAD_CORE, pause } from './support/child.mjs';
import { KINDS } from './support/rounds.mjs';

const WARM_UP_MS = 2000;

/**
 * @typedef {{ functionName: string, url: string, lineNumber: number }} CallFrame
 *
 * @typedef {object} Profile as V8 writes it. Times are in microseconds
 * @property {{ id: number, callFrame: CallFrame }[]} nodes
 * @property {number[]} samples ids of nodes
 * @property {number[]} timeDeltas before each sample
 * @property {number} startTime
 * @property {number} endTime
 */

const { values } = parseArgs({
  options: {
    server: { type: 'string', default: 'ben' },
    peers: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    data: { type: 'string', default: '32' },
    top: { type: 'string', default: '25' },
    by: { type: 'string', default: 'function' },
    noreturn: { type: 'boolean', default: false },
    pure: { type: 'boolean', default: false },
    turns: { type: 'string', default: '50' },
  },
});

function readKind() {
  const kind = KINDS.find((name) => name === values.server);
  if (!kind) {
    console.error(`--server: expected one of ${KINDS.join(', ')}, got "${values.server}"`);
    process.exit(2);
  }
  return kind;
}

const profiling = (/** @type {string} */ folder) => [
  '--cpu-prof',
  '--cpu-prof-interval',
  '200',
  `--cpu-prof-dir=${folder}`,
];

/**
 * @param {string} folder
 * @returns {Promise<Profile>}
 */
async function readProfile(folder) {
  const [file] = await readdir(folder);
  return JSON.parse(await readFile(join(folder, file), 'utf8'));
}

/**
 * Profiles the exchange alone. All of the process counts, the warm-up of 20 000 exchanges too.
 *
 * @param {string} folder
 */
async function recordPure(folder) {
  /** @type {Child<import('./support/growth-point.mjs').GrowthPointFunctions>} */
  const child = new Child('growth-point', { execArgv: profiling(folder) });
  await child.ask('start', { boards: Number(values.peers), dataBytes: Number(values.data) });
  const { cpuMicroseconds } = await child.ask('run', { turns: Number(values.turns) });
  await child.stop();
  const profile = await readProfile(folder);
  return { profile, begin: profile.startTime, what: 'the exchange alone', cpuMicroseconds };
}

/**
 * Profiles a server from its start; a warm-up is cut off by time.
 *
 * @param {string} folder
 */
async function recordServer(folder) {
  /** @type {Child<import('./support/server.mjs').ServerFunctions>} */
  const server = new Child('server', { execArgv: profiling(folder) });
  /** @type {Child<import('./support/load.mjs').LoadFunctions>} */
  const load = new Child('load', { core: LOAD_CORE });
  const peers = Number(values.peers);
  const options = { kind: readKind(), dataBytes: Number(values.data), noreturn: values.noreturn, keys: 1 };
  const port = await server.ask('start', options);
  await load.ask('start', { ...options, port, peers, inFlight: peers });
  await pause(WARM_UP_MS);
  const before = await server.ask('sample');
  await pause(Number(values.seconds) * 1000);
  const after = await server.ask('sample');
  await server.stop();
  await load.ask('stop');
  await load.stop();
  const profile = await readProfile(folder);
  const exchanges = after.served - before.served;
  return {
    profile,
    begin: profile.endTime - Number(values.seconds) * 1e6,
    what: `${exchanges} exchanges`,
    cpuMicroseconds: ((after.cpuMs - before.cpuMs) * 1000) / exchanges,
  };
}

/**
 * Own time of every node, warm-up left out.
 *
 * @param {Profile} profile
 * @param {number} begin
 */
function sumSelfTimes({ nodes, samples, timeDeltas, startTime }, begin) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  /** @type {Map<string, number>} */
  const times = new Map();
  let at = startTime;
  samples.forEach((id, index) => {
    at += timeDeltas[index];
    const node = byId.get(id);
    const name = node ? nameOf(node.callFrame) : '(unknown)';
    if (at >= begin && name !== '(idle)') {
      times.set(name, (times.get(name) ?? 0) + timeDeltas[index]);
    }
  });
  return [...times].toSorted(([, a], [, b]) => b - a);
}

/** @param {CallFrame} frame */
function nameOf({ functionName, url, lineNumber }) {
  const file = url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/node_modules\//, '')
    .replace(/^.*\/dist\//, 'dist/');
  if (values.by === 'file') {
    return file || functionName || '(native)';
  }
  return `${functionName || '(anonymous)'}${file ? `  ${file}:${lineNumber + 1}` : ''}`;
}

const folder = await mkdtemp(join(tmpdir(), 'ben-udp-profile-'));
try {
  const { profile, begin, what, cpuMicroseconds } = await (values.pure ? recordPure : recordServer)(folder);
  const times = sumSelfTimes(profile, begin);
  const total = times.reduce((sum, [, time]) => sum + time, 0);
  console.log(
    `${what}, ${cpuMicroseconds.toFixed(1)} µs of the server's CPU each while profiled; own time of the process as a share${values.pure ? '' : ', and in µs'}:`,
  );
  for (const [name, time] of times.slice(0, Number(values.top))) {
    const share = time / total;
    // Without a server of its own, the boards' part is in the share, so a share is no time of the server.
    const microseconds = values.pure ? '' : (share * cpuMicroseconds).toFixed(2).padStart(7);
    const cells = [`${(share * 100).toFixed(1)} %`.padStart(7), microseconds];
    console.log(`${cells.join(' ')}  ${name}`);
  }
} finally {
  await rm(folder, { recursive: true });
}
