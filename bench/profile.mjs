/**
 * The CPU time of the server by function: those with the most time of their own, under the load of 64 boards.
 *
 *     npx nest build esm && node bench/profile.mjs [--server ben|tcp|floor] [--peers 64] [--seconds 5] [--noreturn] [--by file]
 *
 * Sampling slows the server, so shares are what counts here; the time of an exchange is measured by `npm run bench`.
 */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Child, LOAD_CORE, pause } from './support/child.mjs';

const WARM_UP_MS = 2000;

const { values } = parseArgs({
  options: {
    server: { type: 'string', default: 'ben' },
    peers: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    data: { type: 'string', default: '32' },
    top: { type: 'string', default: '25' },
    by: { type: 'string', default: 'function' },
    noreturn: { type: 'boolean', default: false },
  },
});

/** Profiles a server from its start; a warm-up is cut off by time. */
async function record(folder) {
  const server = new Child('server', {
    execArgv: ['--cpu-prof', '--cpu-prof-interval', '200', `--cpu-prof-dir=${folder}`],
  });
  const load = new Child('load', { core: LOAD_CORE });
  const peers = Number(values.peers);
  const options = { kind: values.server, dataBytes: Number(values.data), noreturn: values.noreturn, keys: 1 };
  const port = await server.ask('start', options);
  await load.ask('start', { ...options, port, peers, inFlight: peers });
  await pause(WARM_UP_MS);
  const before = await server.ask('sample');
  await pause(Number(values.seconds) * 1000);
  const after = await server.ask('sample');
  await server.stop();
  await load.ask('stop');
  await load.stop();
  const [file] = await readdir(folder);
  const profile = JSON.parse(await readFile(join(folder, file), 'utf8'));
  return { profile, cpuMs: after.cpuMs - before.cpuMs, exchanges: after.served - before.served };
}

/** Own time of every node, warm-up left out. */
function sumSelfTimes({ nodes, samples, timeDeltas, startTime, endTime }) {
  const begin = endTime - Number(values.seconds) * 1e6;
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const times = new Map();
  let at = startTime;
  samples.forEach((id, index) => {
    at += timeDeltas[index];
    const name = nameOf(byId.get(id).callFrame);
    if (at >= begin && name !== '(idle)') {
      times.set(name, (times.get(name) ?? 0) + timeDeltas[index]);
    }
  });
  return [...times].toSorted(([, a], [, b]) => b - a);
}

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
  const { profile, cpuMs, exchanges } = await record(folder);
  const times = sumSelfTimes(profile);
  const total = times.reduce((sum, [, time]) => sum + time, 0);
  const microseconds = (cpuMs * 1000) / exchanges;
  console.log(
    `${exchanges} exchanges, ${microseconds.toFixed(1)} µs of CPU each while profiled; own time, share and µs:`,
  );
  for (const [name, time] of times.slice(0, Number(values.top))) {
    const share = time / total;
    const cells = [`${(share * 100).toFixed(1)} %`.padStart(7), (share * microseconds).toFixed(2).padStart(7)];
    console.log(`${cells.join(' ')}  ${name}`);
  }
} finally {
  await rm(folder, { recursive: true });
}
