/**
 * Datagrams of chance, mutants and replays over real UDP at a Nest app in this process: it counts all of them, breaks under none,
 * and still answers its boards.
 */
import 'reflect-metadata';
import { strict as assert } from 'node:assert';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { NestFactory } from '@nestjs/core';
import { Controller, Module } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { Random } from '#lib/testing/random.js';
import { describe } from './fuzz.mjs';
import { Mutator } from './mutator.mjs';
import { PYTHON_TOKENS } from './targets/python-text.mjs';
import { recordings } from './recordings.mjs';

/** Datagrams on their way: few enough for any socket's buffer, so that none is lost and all have to be counted. */
const WINDOW = 64;

/** As often as this a board asks, and another one sends something that its key holder should not. */
const ASK_ONE_IN = 500;

/** Sockets of the strangers. Linux lets all of 127.0.0.0/8 be bound; elsewhere they share an address. */
const SENDERS = 32;

/** Datagrams the system may lose on loopback before a run counts for nothing. */
const MAX_LOST_SHARE = 0.01;

/** How long the app may take to answer, or to count the datagrams on a busy machine. */
const PATIENCE_MS = 60_000;

/** As much as there is, so that every datagram goes as far as it can; the other half of a run has the default limits. */
const UNLIMITED = { perSecond: 1_000_000_000, burst: 1_000_000_000 };
const LIMITS = /** @type {const} */ ([
  'hellosPerSource',
  'hellosOfStrangers',
  'failuresPerSource',
  'failuresPerDevice',
  'requestsOfStrangers',
  'keyAttempts',
]);

/** Sealed and printed it still fits into a datagram. */
const MAX_MUTANT_LENGTH = 300;

const KEY = Buffer.alloc(32, 'k');
const EMPTY = Buffer.alloc(0);

export const APP = {
  name: 'app',
  about: 'a Nest app over real UDP',
  dictionary: ['/GETID', ...PYTHON_TOKENS, "{'hash': b'", "', 'iv': b'"],
};

/** @typedef {import('../support/built-package.mjs').BuiltPackage} BuiltPackage */

/**
 * @param {BuiltPackage} lib
 * @param {{ seed: number, inputs: number, seconds: number }} limits `inputs` counts the datagrams that the app received.
 * @returns {Promise<import('./fuzz.mjs').Report & { note: string }>}
 */
export async function fuzzApp(lib, { seed, inputs, seconds }) {
  const random = new Random(seed);
  /** @type {import('./fuzz.mjs').Breach[]} */
  const breaches = [];
  const onStray = (/** @type {unknown} */ error) =>
    void breaches.push({ input: Buffer.alloc(0), reason: `unhandled: ${describe(error)}` });
  process.on('unhandledRejection', onStray);
  process.on('uncaughtException', onStray);
  const startedAt = performance.now();
  let received = 0;
  let sent = 0;
  let asked = 0;
  let outcomes = new Set();
  for (const [half, limits] of [undefined, Object.fromEntries(LIMITS.map((name) => [name, UNLIMITED]))].entries()) {
    const share = (half + 1) / 2;
    const isOver = (/** @type {number} */ count) =>
      breaches.length > 0 ||
      received + count >= inputs * share ||
      performance.now() - startedAt >= seconds * 1000 * share;
    try {
      const run = await fuzzOneApp(lib, random, limits, isOver, onStray);
      received += run.received;
      sent += run.sent;
      asked += run.asked;
      outcomes = new Set([...outcomes, ...run.outcomes]);
    } catch (error) {
      onStray(error);
    }
  }
  process.off('unhandledRejection', onStray);
  process.off('uncaughtException', onStray);
  return {
    inputs: received,
    seconds: (performance.now() - startedAt) / 1000,
    slowestMs: NaN,
    largestBytes: NaN,
    outcomes: outcomes.size,
    breaches,
    interesting: [],
    note: `${sent} sent, ${received} received, boards asked ${asked} times`,
  };
}

/**
 * @param {BuiltPackage} lib
 * @param {Random} random
 * @param {import('nestjs-ben-udp').BenUdpTransportOptions['limits']} limits
 * @param {(sent: number) => boolean} isOver
 * @param {(error: unknown) => void} onError
 */
async function fuzzOneApp(lib, random, limits, isOver, onError) {
  const { BenUdpTransport, VirtualBoard } = lib;
  const transport = new BenUdpTransport({
    host: '127.0.0.1',
    port: 0,
    key: KEY,
    timeout: PATIENCE_MS,
    ...(limits && { limits }),
  });
  transport.on('error', onError);
  const app = await NestFactory.createMicroservice(createModule(), { strategy: transport, logger: false });
  await app.listen();
  const { port } = transport.unwrap().address();
  const senders = await Promise.all(Array.from({ length: SENDERS }, (_, index) => bindSender(index)));
  const mutator = new Mutator(random, APP.dictionary, 5000);
  const sealer = new lib.Sealer(lib.deriveKey(KEY));
  /** @type {Buffer[]} */
  const pool = [...recordings.datagrams, Buffer.alloc(0), lib.HELLO];
  let sent = 0;
  let asked = 0;
  let lost = 0;
  const arrive = async (/** @type {number} */ count) => {
    sent += count;
    await waitUntil(() => transport.getStats().received + lost >= sent);
    lost = sent - transport.getStats().received;
  };
  const startBoard = () => VirtualBoard.start({ key: KEY, port, timeout: PATIENCE_MS });
  const board = await startBoard();
  const ask = async () => {
    const question = `question ${asked}`;
    assert.equal(await board.send({ action: 'echo', data: question }), question);
    await sendMutant(await startBoard(), random, mutator);
    asked++;
    await arrive(4);
  };
  while (!isOver(sent)) {
    for (let count = 0; count < WINDOW; count++) {
      const datagram = random.chance(0.1)
        ? random.bytes(random.below(200))
        : mutator.mutate(random.pick(pool), random.pick(pool));
      random.pick(senders).send(datagram, port, '127.0.0.1');
    }
    await arrive(WINDOW);
    if (random.chance(WINDOW / ASK_ONE_IN)) {
      await ask();
      // What could be a request of this board, but for its id.
      pool[random.below(pool.length)] = lib.sealRequest(sealer, random.bytes(16), "{'action': 'echo'}");
    }
  }
  await ask();
  const stats = transport.getStats();
  const sum = (/** @type {readonly number[] | Readonly<Record<string, number>>} */ counts) =>
    Object.values(counts).reduce((total, count) => total + count, 0);
  assert.equal(
    stats.received,
    stats.hellos + stats.requests + stats.resent + sum(stats.rejected),
    'the counters do not add up',
  );
  assert.equal(stats.requests, sum(stats.outcomes) + stats.inFlight, 'requests came to nothing');
  const ofKeyHolders = /** @type {const} */ (['bad-padding', 'bad-text', 'bad-request']).map(
    (reason) => stats.rejected[reason],
  );
  assert.equal(stats.requests + sum(ofKeyHolders), 2 * asked, 'what verified is not what boards sent');
  assert.ok(lost >= 0 && lost <= MAX_LOST_SHARE * sent, `${lost} of ${sent} datagrams were not counted`);
  await Promise.all(
    senders.map((socket) => {
      const closed = once(socket, 'close');
      socket.close();
      return closed;
    }),
  );
  await board.close();
  await app.close();
  const outcomes = Object.entries(stats.rejected).filter(([, count]) => count > 0);
  return { received: stats.received, sent, asked, outcomes: outcomes.map(([name]) => name) };
}

/**
 * Something that a key holder should not send. The reply stays unread, so it is the last request of a board.
 *
 * @param {import('nestjs-ben-udp/testing').VirtualBoard} board
 * @param {Random} random
 * @param {Mutator} mutator
 */
async function sendMutant(board, random, mutator) {
  const text = mutator.mutate(Buffer.from(random.pick(recordings.requests)), EMPTY).toString('utf8');
  await board.exchange(text.slice(0, MAX_MUTANT_LENGTH), true);
  await board.close();
}

/** A controller without the syntax that plain node can't read. */
function createModule() {
  class Echo {
    /** @param {unknown} data */
    echo(data) {
      return data;
    }
  }
  MessagePattern('echo')(
    Echo.prototype,
    'echo',
    /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(Echo.prototype, 'echo')),
  );
  Controller()(Echo);
  function AppModule() {}
  Module({ controllers: [Echo] })(AppModule);
  return /** @type {import('@nestjs/common').Type} */ (/** @type {unknown} */ (AppModule));
}

/** @param {number} index */
async function bindSender(index) {
  const socket = createSocket('udp4').on('error', () => undefined);
  socket.bind(0, process.platform === 'linux' ? `127.8.0.${index + 1}` : '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/**
 * Waits with a limit, because datagrams that the system lost never arrive.
 *
 * @param {() => boolean} isTrue
 */
async function waitUntil(isTrue) {
  const end = performance.now() + PATIENCE_MS;
  while (!isTrue() && performance.now() < end) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
