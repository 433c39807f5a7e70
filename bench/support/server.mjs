/**
 * A server under load, a program of its own: one of the kinds that are compared. Counts the exchanges it has answered and
 * the CPU time it took, in one look, so that the two belong together.
 */
import { readFileSync } from 'node:fs';
import { serve } from './child.mjs';

const served = { count: 0 };
const countExchange = () => served.count++;

/**
 * Other processes that the server can't do without: the broker.
 *
 * @type {number[]}
 */
let helpers = [];

/**
 * @typedef {Omit<import('./rounds.mjs').Variant, 'name'>} ServerOptions
 * @typedef {{ port: number, helpers: number[] }} Started the processes of helpers too
 */

const importPeers = () => import('../peers/servers.mjs');

/** @type {Record<ServerOptions['kind'], (options: ServerOptions) => Promise<number | Started>>} */
const KINDS = {
  floor: async (options) => {
    const { startFloor } = await import('./floor-server.mjs');
    return startFloor(options, countExchange);
  },
  ben: async (options) => {
    const { startBenUdp } = await import('./nest-apps.mjs');
    const strategy = await startBenUdp(options, countExchange);
    return strategy.unwrap().address().port;
  },
  // One server speaks both versions.
  v2: (options) => KINDS.ben(options),
  tcp: async () => {
    const { startNestTcp } = await import('./nest-apps.mjs');
    return startNestTcp(countExchange);
  },
  upstream: async () => (await importPeers()).startUpstream(countExchange),
  mqtt: async (options) => (await importPeers()).startMqtt(options, countExchange),
  http: async (options) => (await importPeers()).startHttp(options, countExchange),
  coap: async () => (await importPeers()).startCoap(countExchange),
};

/** Nanoseconds in which this thread could have run but another had the core; 0 if the system does not report it. */
function readWaited() {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[1]);
  } catch {
    return 0;
  }
}

/** CPU time and memory of the helpers, as Linux reports them. */
function readHelpers() {
  /**
   * @param {number} pid
   * @param {string} file
   */
  const read = (pid, file) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
  return {
    cpuMs: sum(helpers.map((pid) => Number(read(pid, 'schedstat').split(' ')[0]) / 1e6)),
    rssMiB: sum(helpers.map((pid) => Number(/VmRSS:\s*(\d+)/.exec(read(pid, 'status'))?.[1]) / 1024)),
  };
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

const functions = {
  /** @param {ServerOptions} options */
  start: async (options) => {
    const started = await KINDS[options.kind](options);
    const { port, helpers: processes } = typeof started === 'number' ? { port: started, helpers: [] } : started;
    helpers = processes;
    return port;
  },
  sample: () => {
    const { user, system } = process.cpuUsage();
    const helping = readHelpers();
    return {
      atMs: performance.now(),
      cpuMs: (user + system) / 1000 + helping.cpuMs,
      helpersCpuMs: helping.cpuMs,
      waitedMs: readWaited() / 1e6,
      served: served.count,
      rssMiB: process.memoryUsage.rss() / 2 ** 20 + helping.rssMiB,
    };
  },
};

/** @typedef {typeof functions} ServerFunctions */

serve(functions);
