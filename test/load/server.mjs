/**
 * The server under load, a program of its own: a Nest app on BenUdp whose controller also keeps the books. Every request
 * carries who asks and a number, so that one executed twice is noticed.
 */
import 'reflect-metadata';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { pause, serve } from '../../bench/support/child.mjs';
import { keyFileAt } from '../../bench/support/wire.mjs';
import { readSocketDrops } from './socket-drops.mjs';

const MAX_DEVICES = 16_384;
/** Numbers of one device that are remembered; a power of two. */
const REMEMBERED = 16;
/** A shorter turn has only looked for work. */
const WORKING_TURN_MS = 0.05;

/**
 * @typedef {{ device: number, number: number, ms?: number }} Stamp who asks and the number of its request, and how long `slow` takes
 * @typedef {import('nestjs-ben-udp').BenUdpTransportOptions} TransportOptions
 */

class Books {
  executed = 0;
  doubles = 0;
  /** All its memory is taken at the start: what grows later is not this. */
  #recent = new Int32Array(MAX_DEVICES * REMEMBERED).fill(-1);

  /** @param {Stamp} stamp */
  note({ device, number }) {
    const index = device * REMEMBERED + (number % REMEMBERED);
    this.executed++;
    this.doubles += Number(this.#recent[index] === number);
    this.#recent[index] = number;
  }
}

const books = new Books();

class LoadController {
  /** @param {Stamp} data */
  echo(data) {
    books.note(data);
    return data;
  }

  /** @param {Stamp & { ms: number }} data */
  async slow(data) {
    books.note(data);
    await pause(data.ms);
    return data;
  }

  /** @param {Stamp} data */
  fail(data) {
    books.note(data);
    throw new RpcException('as asked');
  }

  /** @param {Stamp} data */
  note(data) {
    books.note(data);
  }
}

/** Decorators are applied as the functions they are, so that this needs no compiler. */
for (const [method, decorate] of Object.entries({
  echo: (/** @type {string} */ pattern) => MessagePattern(pattern),
  slow: (/** @type {string} */ pattern) => MessagePattern(pattern),
  fail: (/** @type {string} */ pattern) => MessagePattern(pattern),
  note: (/** @type {string} */ pattern) => EventPattern(pattern),
})) {
  Payload()(LoadController.prototype, method, 0);
  const descriptor = Object.getOwnPropertyDescriptor(LoadController.prototype, method);
  decorate(method)(LoadController.prototype, method, /** @type {PropertyDescriptor} */ (descriptor));
}
Controller()(LoadController);

/** Nest takes any function for a module. */
function LoadModule() {}
Module({ controllers: [LoadController] })(LoadModule);

/** Counts what would be written. */
const logged = { log: 0, warn: 0, error: 0, debug: 0, fatal: 0, verbose: 0 };
const countLines = (/** @type {keyof typeof logged} */ level) => () => void logged[level]++;
const logger = {
  log: countLines('log'),
  warn: countLines('warn'),
  error: countLines('error'),
  debug: countLines('debug'),
  fatal: countLines('fatal'),
  verbose: countLines('verbose'),
};

const fromHex = (/** @type {string} */ text) => Buffer.from(text, 'hex');

function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The turns of the event loop while they are watched: how long each held it, by the clock and by the processor. */
class TurnWatch {
  #isOn = false;
  /** @type {{ clock: number, cpu: number }[]} */
  #held = [];

  start() {
    this.#isOn = true;
    this.#held = [];
    let last = performance.now();
    let lastCpu = cpuMs();
    const turn = () => {
      const now = performance.now();
      if (now - last >= WORKING_TURN_MS) {
        const cpu = cpuMs();
        this.#held.push({ clock: now - last, cpu: cpu - lastCpu });
      }
      last = performance.now();
      lastCpu = cpuMs();
      if (this.#isOn) {
        setImmediate(turn);
      }
    };
    setImmediate(turn);
  }

  stop() {
    this.#isOn = false;
    const describe = (/** @type {'clock' | 'cpu'} */ kind) => {
      const sorted = Float64Array.from(this.#held, (each) => each[kind]).toSorted();
      const at = (/** @type {number} */ share) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
      return { p50: at(0.5), p99: at(0.99), max: at(1), over5: sorted.filter((ms) => ms > 5).length };
    };
    return { turns: this.#held.length, cpu: describe('cpu'), clock: describe('clock') };
  }
}

/**
 * One for each port.
 *
 * @type {import('@nestjs/common').INestMicroservice[]}
 */
const apps = [];
/** @type {BenUdpTransport[]} */
const transports = [];
/** @type {BenUdpTransport} */
let transport;
const turnWatch = new TurnWatch();
const loopDelay = monitorEventLoopDelay({ resolution: 1 });

process.on('unhandledRejection', (error) => {
  throw error;
});

/** @param {TransportOptions} options */
async function listen(options) {
  const strategy = new BenUdpTransport({ host: '0.0.0.0', ...options });
  const app = await NestFactory.createMicroservice(
    /** @type {import('@nestjs/common').Type} */ (/** @type {unknown} */ (LoadModule)),
    { strategy, logger },
  );
  await app.listen();
  apps.push(app);
  transports.push(strategy);
  transport = transports[0];
  loopDelay.enable();
}

/** After a collection, and some time for the allocator to return memory. */
async function settledRss() {
  globalThis.gc?.();
  await pause(200);
  globalThis.gc?.();
  return process.memoryUsage.rss() / 2 ** 20;
}

/** @param {readonly string[]} names */
function countByName(names) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const name of names) {
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

const functions = {
  /**
   * @param {Omit<TransportOptions, 'key'> & { key: string[] }} options `key` in hex
   * @returns {Promise<number>} the port
   */
  start: async ({ key, ...options }) => {
    await listen({ port: 0, ...options, key: key.map(fromHex) });
    return transports[0].unwrap().address().port;
  },

  /**
   * A key for each board, and a part of the keys on each port: board n is on port n modulo their number.
   *
   * @param {Omit<TransportOptions, 'port' | 'keys'> & { boards: number, ports: number[] }} options
   * @returns {Promise<{ ports: number[], ms: number, rssMiB: number }>} and the processor time and memory of the keys
   */
  startKeyed: async ({ boards, ports, ...options }) => {
    /** @type {Record<string, Buffer>[]} */
    const keys = ports.map(() => ({}));
    for (let board = 0; board < boards; board++) {
      keys[board % ports.length][`board-${board}`] = keyFileAt(board);
    }
    const before = await settledRss();
    const cpuBefore = cpuMs();
    for (const [index, port] of ports.entries()) {
      await listen({ port, keys: keys[index], ...options });
    }
    const ms = cpuMs() - cpuBefore;
    return {
      ports: transports.map((each) => each.unwrap().address().port),
      ms,
      rssMiB: (await settledRss()) - before,
    };
  },

  /** @param {{ key: string[] }} options in hex */
  reloadKeys: ({ key }) => transport.reloadKeys({ key: key.map(fromHex) }),

  /** How long the turns of the event loop held it, from `watchTurns` to `turns`. To watch takes all of the processor. */
  watchTurns: () => turnWatch.start(),
  turns: () => turnWatch.stop(),

  /** @returns {Promise<boolean>} whether the health probe is answered */
  ping: () =>
    transport.ping().then(
      () => true,
      () => false,
    ),

  /** The figures between phases of a load; the delay of the event loop is that since the last call. */
  sample: () => {
    const { port } = transport.unwrap().address();
    const sample = {
      atMs: performance.now(),
      cpuMs: cpuMs(),
      rssMiB: process.memoryUsage.rss() / 2 ** 20,
      loopP99Ms: loopDelay.percentile(99) / 1e6,
      loopMaxMs: loopDelay.max / 1e6,
      stats: transport.getStats(),
      dropped: readSocketDrops(port),
      executed: books.executed,
      doubles: books.doubles,
      logged: { ...logged },
    };
    loopDelay.reset();
    return sample;
  },

  rss: () => process.memoryUsage.rss() / 2 ** 20,

  /** The resources of the process when nothing is under way. */
  rest: () => {
    // Buffers are released in a second pass.
    globalThis.gc?.();
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    return {
      heapBytes: heapUsed,
      externalBytes: external,
      resources: countByName(process.getActiveResourcesInfo()),
    };
  },

  close: () => Promise.all(apps.map((app) => app.close())),
};

/**
 * @typedef {typeof functions} ServerFunctions
 * @typedef {ReturnType<ServerFunctions['sample']>} Sample
 */

serve(functions);
