/** An edge, workers and a broker, each in its own process: the cost of a relayed exchange, and the replies when one of them dies. */
import { describe, expect, it } from 'vitest';
import { startBoard } from '../support/nest-app.js';
import { type Engine, missing, startEngine } from './support/engines.js';
import { Load } from './support/load.js';
import { type Program, usePrograms } from './support/processes.js';

const RELAY_TIMEOUT_MS = 1500;

/** Exchanges under way while the CPU is measured. */
const AT_ONCE = 50;

/** CPU of a relayed exchange, in exchanges with a local handler. */
const MAX_COST = 2;

/** The same with one exchange under way, over the goal of 2: each request has a write to itself. */
const MAX_COST_ALONE = 5;
const WARM_UP_ROUNDS = 5;
const ROUNDS = 15;

/** Memory of the edge after a broker was dead, compared with before. */
const MAX_GROWTH_BYTES = 8 * 2 ** 20;

/** NATS draws lots. With this number, chance alone makes a difference of 20 % once in 100,000 runs. */
const SHARED_EXCHANGES = 2000;
const MAX_DIFFERENCE = 0.2;

/** Nest's decorators as the functions they are, because plain node runs this. */
const DECORATE = `
import 'reflect-metadata';
import { Controller, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Payload, ServerNats, ServerRedis, Transport } from '@nestjs/microservices';
import { BenUdpMessagePattern, BenUdpRelayModule, BenUdpTransport, toBenUdpWorker } from './lib/index.js';
Logger.overrideLogger(false);
const port = Number(process.env.BROKER_PORT);
const isNats = process.env.BROKER === 'nats-server';
const servers = 'nats://127.0.0.1:' + port;
function decorate(controller) {
  for (const name of Object.getOwnPropertyNames(controller.prototype).filter((each) => each !== 'constructor')) {
    Payload()(controller.prototype, name, 0);
    BenUdpMessagePattern(name)(controller.prototype, name, Object.getOwnPropertyDescriptor(controller.prototype, name));
  }
  Controller()(controller);
  return controller;
}
`;

const EDGE = `${DECORATE}
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
class Local {
  local(data) { return data; }
}
class App {}
Module({
  imports: [BenUdpRelayModule.forRoot({
    client: isNats
      ? { transport: Transport.NATS, options: { servers } }
      : { transport: Transport.REDIS, options: { host: '127.0.0.1', port } },
    messages: ['echo', 'hold'],
    timeout: ${RELAY_TIMEOUT_MS},
  })],
  controllers: [decorate(Local)],
})(App);
const strategy = new BenUdpTransport({ host: '0.0.0.0', port: 0, key: Buffer.alloc(32, 'k') });
const app = await NestFactory.createMicroservice(App, { strategy });
await app.listen();
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  collectGarbage();
  process.send({ cpuMs: (user + system) / 1000, heapUsed: process.memoryUsage().heapUsed });
});
process.send({ listening: strategy.unwrap().address().port });
`;

const WORKER = `${DECORATE}
class Board {
  echo(data) {
    process.send({ executed: data });
    return data;
  }
  hold(data) {
    process.send({ executed: data });
    return new Promise(() => undefined);
  }
}
class App {}
Module({ controllers: [decorate(Board)] })(App);
const strategy = toBenUdpWorker(
  isNats
    ? new ServerNats({ servers, queue: 'workers', maxReconnectAttempts: -1, reconnectTimeWait: 250 })
    : new ServerRedis({ host: '127.0.0.1', port, retryAttempts: Infinity, retryDelay: 250 }),
);
const app = await NestFactory.createMicroservice(App, { strategy });
await app.listen();
process.send({ listening: true });
`;

const start = usePrograms();

type Broker = 'nats-server' | 'redis-server';

interface Fleet {
  readonly engine: Engine;
  readonly edge: Program;
  readonly port: number;
  readonly workers: readonly Program[];
}

async function startFleet(broker: Broker, workers: number): Promise<Fleet> {
  const engine = await startEngine(broker);
  const env = { BROKER: broker, BROKER_PORT: String(engine.port) };
  const all = await Promise.all(Array.from({ length: workers }, () => start('worker', WORKER, env)));
  await Promise.all(all.map((worker) => worker.expect('listening')));
  const edge = await start('edge', EDGE, env);
  return { engine, edge, port: (await edge.expect('listening'))['listening'] as number, workers: all };
}

async function usage(edge: Program): Promise<{ cpuMs: number; heapUsed: number }> {
  edge.send({ ask: 'usage' });
  return (await edge.expect('cpuMs')) as unknown as { cpuMs: number; heapUsed: number };
}

async function until(count: () => number, least: number): Promise<void> {
  await expect.poll(count, { timeout: 90_000 }).toBeGreaterThan(least);
}

/** The payloads of the requests that a worker has executed. */
function executedBy({ messages }: Program): unknown[] {
  return messages.filter((message) => 'executed' in message).map(({ executed }) => executed);
}

/** Other programs on the machine only add, so the lowest figures count. The lowest of all may be luck. */
function undisturbed(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 5)]!;
}

const noNats = missing('nats-server');

describe.skipIf(noNats !== undefined)(`an edge, workers and NATS (${noNats ?? 'installed here'})`, () => {
  it(`a relayed exchange costs the edge at most ${MAX_COST} times the CPU of a local handler`, async () => {
    const { edge, port } = await startFleet('nats-server', 1);
    const boards = 100;
    const load = await Load.start(boards, { port });
    const costOf = async (action: string, atOnce = AT_ONCE, times = 3) => {
      const before = await usage(edge);
      for (let round = 0; round < times; round++) {
        await load.oneOfEach(action, atOnce);
      }
      return ((await usage(edge)).cpuMs - before.cpuMs) / (times * boards);
    };
    // The first rounds compile the code.
    const costs = { local: [] as number[], relayed: [] as number[] };
    for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
      const [local, relayed] = [await costOf('local'), await costOf('echo')];
      if (round >= 0) {
        costs.local.push(local);
        costs.relayed.push(relayed);
      }
    }
    const [local, relayed] = [undisturbed(costs.local), undisturbed(costs.relayed)];
    console.log(
      `CPU of the edge: ${local.toFixed(3)} ms for a local handler, ${relayed.toFixed(3)} ms for a relayed exchange, ` +
        `${(relayed / local).toFixed(2)} times`,
    );
    const alone = { local: await costOf('local', 1, 5), relayed: await costOf('echo', 1, 5) };
    const aloneCost = alone.relayed / alone.local;
    console.log(
      `one under way: ${alone.local.toFixed(3)} and ${alone.relayed.toFixed(3)} ms, ${aloneCost.toFixed(2)} times`,
    );
    expect(load).toMatchObject({ failed: 0, wrong: 0 });
    expect(relayed / local).toBeLessThanOrEqual(MAX_COST);
    expect(aloneCost).toBeLessThanOrEqual(MAX_COST_ALONE);
  });

  it('two workers share the load within 20 %', async () => {
    const { port, workers } = await startFleet('nats-server', 2);
    const load = await Load.start(60, { port, timeout: 5000 });
    await load.during(
      200,
      () => ({ action: 'echo' }),
      () => until(() => load.answered, SHARED_EXCHANGES),
    );
    expect(load).toMatchObject({ failed: 0, wrong: 0 });
    await expect.poll(() => workers.flatMap(executedBy).length).toBe(load.begun);
    const [first, second] = workers.map((worker) => executedBy(worker).length) as [number, number];
    console.log(`two workers: ${first} and ${second} of ${load.begun} exchanges`);
    expect(Math.abs(first - second) / ((first + second) / 2)).toBeLessThan(MAX_DIFFERENCE);
  });

  it('a worker that is killed in the middle of a request leaves one error reply, and no other worker gets the request', async () => {
    const { port, workers } = await startFleet('nats-server', 2);
    const board = await startBoard(port, { timeout: 5000 });
    const startedAt = performance.now();
    const answer = board.send({ action: 'hold', data: 'cut off' });
    const killed = await Promise.any(workers.map((worker) => worker.expect('executed').then(() => worker)));
    await killed.end('SIGKILL');
    expect(await answer).toBe(null);
    expect(performance.now() - startedAt).toBeLessThan(RELAY_TIMEOUT_MS + 1000);
    // The other worker serves the board, and nothing of the first exchange is left.
    expect(await board.send({ action: 'echo', data: 'next' })).toBe('next');
    expect(board.leftovers).toBe(0);
    expect(workers.flatMap(executedBy).filter((data) => data === 'cut off')).toHaveLength(1);
  });
});

// Redis gives a request to every worker, so it has one.
describe.each<[Broker, number]>([
  ['nats-server', 2],
  ['redis-server', 1],
])('%s', (broker, workers) => {
  const reason = missing(broker);
  const title = 'dies and returns under load: boards get error replies, and are all served within 2 s of its return';
  it.skipIf(reason !== undefined)(`${title} (${reason ?? 'installed here'})`, async () => {
    const fleet = await startFleet(broker, workers);
    const load = await Load.start(60, { port: fleet.port, timeout: 5000 });
    const before = await usage(fleet.edge);
    let returnedAt = 0;
    await load.during(
      100,
      () => ({ action: 'echo' }),
      async () => {
        await until(() => load.answered, 50);
        await fleet.engine.kill();
        await until(() => load.failed, 100);
        await fleet.engine.start();
        returnedAt = performance.now();
        const { answered } = load;
        await until(() => load.answered, answered + 200);
      },
    );
    const grownBytes = (await usage(fleet.edge)).heapUsed - before.heapUsed;
    console.log(
      `${broker}: ${load.begun} exchanges, ${load.failed} error replies within ${Math.max(...load.failedMs).toFixed(0)} ms, the last one ` +
        `${(load.lastFailedAt - returnedAt).toFixed(0)} ms behind the return; heap ${(grownBytes / 2 ** 20).toFixed(1)} MiB larger`,
    );
    expect(load.failures.filter((each) => !each.endsWith('error reply'))).toEqual([]);
    expect(Math.max(...load.failedMs)).toBeLessThan(1000);
    expect(load.lastFailedAt - returnedAt).toBeLessThan(2000);
    expect(load.wrong).toBe(0);
    await expect.poll(() => fleet.workers.flatMap(executedBy).length).toBeGreaterThanOrEqual(load.answered);
    const executed = fleet.workers.flatMap(executedBy);
    expect(executed.filter((name, index) => executed.indexOf(name) !== index)).toEqual([]);
    expect(grownBytes).toBeLessThan(MAX_GROWTH_BYTES);
  });
});
