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
import { readSocketDrops } from './socket-drops.mjs';

const MAX_DEVICES = 8192;
/** Numbers of one device that are remembered; a power of two. */
const REMEMBERED = 16;

class Books {
  executed = 0;
  doubles = 0;
  /** All its memory is taken at the start: what grows later is not this. */
  #recent = new Int32Array(MAX_DEVICES * REMEMBERED).fill(-1);

  note({ device, number }) {
    const index = device * REMEMBERED + (number % REMEMBERED);
    this.executed++;
    this.doubles += Number(this.#recent[index] === number);
    this.#recent[index] = number;
  }
}

const books = new Books();

class LoadController {
  echo(data) {
    books.note(data);
    return data;
  }

  async slow(data) {
    books.note(data);
    await pause(data.ms);
    return data;
  }

  fail(data) {
    books.note(data);
    throw new RpcException('as asked');
  }

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
const logger = /** @type {Record<keyof typeof logged, () => void>} */ (
  Object.fromEntries(Object.keys(logged).map((level) => [level, () => void logged[level]++]))
);

const fromHex = (text) => Buffer.from(text, 'hex');

let app;
let transport;
const loopDelay = monitorEventLoopDelay({ resolution: 1 });

process.on('unhandledRejection', (error) => {
  throw error;
});

function countByName(names) {
  const counts = {};
  for (const name of names) {
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

serve({
  /** @returns {Promise<number>} the port */
  start: async ({ key, ...options }) => {
    transport = new BenUdpTransport({ host: '0.0.0.0', port: 0, key: key.map(fromHex), ...options });
    app = await NestFactory.createMicroservice(
      /** @type {import('@nestjs/common').Type} */ (/** @type {unknown} */ (LoadModule)),
      { strategy: transport, logger },
    );
    await app.listen();
    loopDelay.enable();
    return transport.unwrap().address().port;
  },

  reloadKeys: ({ key }) => transport.reloadKeys({ key: key.map(fromHex) }),

  /** The figures between phases of a load; the delay of the event loop is that since the last call. */
  sample: () => {
    const { user, system } = process.cpuUsage();
    const { port } = transport.unwrap().address();
    const sample = {
      atMs: performance.now(),
      cpuMs: (user + system) / 1000,
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

  close: () => app.close(),
});
