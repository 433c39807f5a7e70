/**
 * No sample can be ended by a datagram. Sample 03 once was: a list in the metadata of a request made a tracing library throw
 * inside a subscriber, which Node turns into an uncaught exception. Vitest fails a run that has one. The samples with dependencies of
 * their own send the texts of `hostile-requests.mjs` in their own tests.
 */
import 'reflect-metadata';
import type { INestMicroservice, Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { propagation, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { AppModule as Sensor } from '../../sample/01-sensor/app.module.js';
import { AppModule as Gateway } from '../../sample/02-gateway/app.module.js';
import { RoofModule } from '../../sample/02-gateway/roof.module.js';
import { SettingsService as GatewaySettings } from '../../sample/02-gateway/settings.service.js';
import { AppModule as Operating } from '../../sample/03-operating/app.module.js';
import { SettingsService as OperatingSettings } from '../../sample/03-operating/settings.service.js';
import { Mutator } from '../fuzz/mutator.mjs';
import { recordings } from '../fuzz/recordings.mjs';
import { PYTHON_TOKENS } from '../fuzz/targets/python-text.mjs';
import { Random } from '../../lib/testing/random.js';
import { hostileRequests } from '../support/hostile-requests.mjs';

const key = Buffer.alloc(32, 's');
const server = { host: '127.0.0.1', port: 0, keys: { 'board-01': key } };

beforeAll(() => {
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const spanProcessors = [new SimpleSpanProcessor(new InMemorySpanExporter())];
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
});
afterAll(() => {
  propagation.disable();
  trace.disable();
});

async function start(strategy: BenUdpTransport, app: INestMicroservice): Promise<number> {
  await app.listen();
  onTestFinished(() => app.close());
  return strategy.unwrap().address().port;
}

/** A sample whose transport is its main.ts's. */
async function startPlain(module: Type): Promise<number> {
  const strategy = new BenUdpTransport(server);
  const testing = await Test.createTestingModule({ imports: [module] }).compile();
  return start(strategy, testing.createNestMicroservice({ strategy, logger: false }));
}

/** A sample that provides its transport. */
async function startProvided(module: Type, settings: Type, value: object): Promise<number> {
  const testing = await Test.createTestingModule({ imports: [module] })
    .overrideProvider(settings)
    .useValue(value)
    .setLogger(false as never)
    .compile();
  const strategy = testing.get(BenUdpTransport);
  return start(strategy, testing.createNestMicroservice({ strategy, logger: false }));
}

/** The requests that the fuzzers begin with, mutants of them, and those that once ended something. */
function requests(): string[] {
  const mutator = new Mutator(new Random(11), ['action', 'dhtsensor', 'latest', 'temperature', ...PYTHON_TOKENS], 300);
  const seeds = [
    ...recordings.requests,
    "{'action': 'dhtsensor', 'data': {'temperature': 1, 'humidity': nan}}",
    "{'action': 'latest', 'data': {}}",
    "{'action': 'temperature', 'meta': {'a': 'b'}}",
  ];
  const actions = ['echo', 'temperature', 'dhtsensor', 'latest', 'nobody'];
  const mutants = Array.from({ length: 300 }, (_, index) =>
    mutator
      .mutate(Buffer.from(seeds[index % seeds.length]!), Buffer.from(seeds[(index * 7) % seeds.length]!))
      .toString('utf8')
      .slice(0, 300),
  );
  return [...seeds, ...hostileRequests(actions), ...mutants];
}

/** One board for each request, because it may leave something unread. Returns the answer to a good request afterwards. */
async function attack(port: number): Promise<string | undefined> {
  const options = { key, port, timeout: 5000 };
  for (const [index, text] of requests().entries()) {
    const board = await VirtualBoard.start(options);
    const isWaiting = index % 2 === 0 && !text.includes('noreturn');
    await (isWaiting ? board.exchange(text) : board.exchange(text, true)).catch(() => undefined);
    await board.close();
  }
  const board = await VirtualBoard.start(options);
  const answer = await board.exchange("{'action': 'echo', 'data': 'still here'}");
  await board.close();
  return answer;
}

describe('a key holder with hostile requests', () => {
  it.each([
    ['01-sensor', startSensor],
    ['02-gateway, nor the roof behind it', startGateway],
    ['03-operating', startOperating],
  ])('ends no %s', async (_name, startSample) => {
    const answer = await attack(await startSample());
    // Sample 03 may throttle the board; then it says so.
    expect(answer).toMatch(/still here|too many requests/);
  });
});

function startSensor(): Promise<number> {
  return startPlain(Sensor);
}

async function startGateway(): Promise<number> {
  const strategy = new BenUdpTransport({ host: '127.0.0.1', port: 0, key });
  const roof = await Test.createTestingModule({ imports: [RoofModule] }).compile();
  const roofPort = await start(strategy, roof.createNestMicroservice({ strategy, logger: false }));
  return startProvided(Gateway, GatewaySettings, {
    forBoards: async () => server,
    forRoof: async () => ({ port: roofPort, key, timeout: 2000 }),
  });
}

function startOperating(): Promise<number> {
  return startProvided(Operating, OperatingSettings, { forBoards: () => server });
}
