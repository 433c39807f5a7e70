/** An edge and workers over real brokers: NATS on both majors of Nest, Redis on Nest 12. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Controller, type CallHandler, type ExecutionContext, type INestMicroservice } from '@nestjs/common';
import { Ctx, MessagePattern, NatsContext, Payload, ServerNats, ServerRedis, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  BenUdpEventPattern,
  BenUdpMessagePattern,
  BenUdpRelayModule,
  type BenUdpRelayOptions,
  Device,
  ReceivedAt,
  RemoteAddress,
  RequestMetadata,
  toBenUdpWorker,
} from 'nestjs-ben-udp';
import { Observable } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { VirtualBoard } from '../../lib/testing/index.js';
import { findFreePort } from '../../tools/support/free-port.mjs';
import { KEY_CONTENTS, LogRecorder, startApp } from '../support/nest-app.js';
import { missing, startEngine } from './support/engines.js';
import { startLink } from './support/link.js';

const DEVICE = 'hall\nKüche % \ud800';
const REPLACED = 'hall\nKüche % \ufffd';

const RELAY_TIMEOUT_MS = 1500;

const state = {
  executed: [] as string[],
  events: [] as unknown[],
  hold: undefined as Promise<void> | undefined,
  releases: [] as Array<() => void>,
};

@Controller()
class Board {
  static workers = new Map<Board, number>();

  @BenUdpMessagePattern('echo')
  async echo(@Payload() data: unknown) {
    state.executed.push(String(data));
    Board.workers.set(this, (Board.workers.get(this) ?? 0) + 1);
    await state.hold;
    return data;
  }

  @BenUdpMessagePattern('wait')
  async wait(@Payload() data: unknown) {
    await new Promise<void>((resolve) => state.releases.push(resolve));
    return data;
  }

  @BenUdpMessagePattern('repeat')
  repeat(@Payload() count: number) {
    return 'x'.repeat(count);
  }

  @BenUdpMessagePattern('who')
  who(
    @Device() device: unknown,
    @RemoteAddress() address: unknown,
    @ReceivedAt() at: unknown,
    @RequestMetadata() metadata: unknown,
    @Ctx() context: unknown,
  ) {
    return { device, address, isDate: at instanceof Date, metadata, isNats: context instanceof NatsContext };
  }

  @BenUdpEventPattern('report')
  report(@Payload() data: unknown, @Device() device: unknown) {
    state.events.push([data, device]);
  }
}

/** Its names can't be relayed. The white space would end the connection to NATS. */
@Controller()
class Odd {
  @MessagePattern({ cmd: 'set led' })
  setLed() {
    return 'on';
  }
}

type Broker = 'nats-server' | 'redis-server';

async function startWorker(
  broker: Broker,
  port: number,
  trustEdgeIdentity: boolean,
  natsOptions: object = {},
): Promise<{ close(): Promise<void> }> {
  const logger = new LogRecorder();
  const module = await Test.createTestingModule({ controllers: [Board, Odd] })
    .setLogger(logger)
    .compile();
  const options = { trustEdgeIdentity };
  const strategy =
    broker === 'nats-server'
      ? toBenUdpWorker(
          new ServerNats({
            servers: `nats://127.0.0.1:${port}`,
            queue: 'workers',
            maxReconnectAttempts: -1,
            reconnectTimeWait: 250,
            ignoreAuthErrorAbort: true,
            ...natsOptions,
          }),
          options,
        )
      : toBenUdpWorker(new ServerRedis({ host: '127.0.0.1', port, retryAttempts: 1000, retryDelay: 250 }), options);
  const worker = module.createNestMicroservice({ strategy, logger });
  await worker.listen();
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= worker.close());
  onTestFinished(close);
  return { close };
}

async function startEdge(
  broker: Broker,
  port: number,
  natsOptions: object = {},
  relayOptions: Partial<BenUdpRelayOptions> = {},
  configure?: (app: INestMicroservice) => void,
) {
  return startApp(
    {
      imports: [
        BenUdpRelayModule.forRoot({
          client:
            broker === 'nats-server'
              ? { transport: Transport.NATS, options: { servers: `nats://127.0.0.1:${port}`, ...natsOptions } }
              : { transport: Transport.REDIS, options: { host: '127.0.0.1', port } },
          messages: ['echo', 'wait', 'repeat', 'who'],
          events: ['report'],
          timeout: RELAY_TIMEOUT_MS,
          ...relayOptions,
        }),
      ],
    },
    { key: [], keys: { [DEVICE]: KEY_CONTENTS } },
    configure,
  );
}

async function startPair(broker: Broker, trustEdgeIdentity = true) {
  Object.assign(state, { executed: [], events: [], hold: undefined, releases: [] });
  Board.workers.clear();
  const engine = await startEngine(broker);
  const worker = await startWorker(broker, engine.port, trustEdgeIdentity);
  const edge = await startEdge(broker, engine.port);
  return { engine, worker, ...edge, device: await edge.board({ timeout: 5000 }) };
}

/** Asks until an answer is right; the answers before that must be error replies. */
async function untilServed(device: VirtualBoard): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    const answer = await device.send({ action: 'echo', data: 'back' });
    if (answer === 'back') {
      return performance.now() - startedAt;
    }
    expect(answer).toBe(null);
    await pause(50);
  }
}

const NEEDS_REDIS = process.env['BEN_NEST'] === '11' ? 'Redis is tested on Nest 12' : missing('redis-server');

describe.each<[Broker, string | undefined]>([
  ['nats-server', missing('nats-server')],
  ['redis-server', NEEDS_REDIS],
])('a relay over %s', (broker, reason) => {
  describe.skipIf(reason !== undefined)(`(${reason ?? 'installed here'})`, () => {
    it('answers requests, and runs events', async () => {
      const { device } = await startPair(broker);
      for (const data of ['text', 1.5, true, [1, null], { a: { b: 1 } }]) {
        expect(await device.send({ action: 'echo', data })).toEqual(data);
      }
      expect(await device.send({ action: 'echo', data: null })).toBe(null);
      await device.send({ action: 'report', data: 7 }, { noreturn: true });
      await expect.poll(() => state.events).toEqual([[7, REPLACED]]);
    });

    it('gives each board the answer to its own request, whatever the order of the answers', async () => {
      const { board } = await startPair(broker);
      const boards = await Promise.all(Array.from({ length: 5 }, () => board({ timeout: 5000 })));
      const answers = boards.map((each, index) => each.send({ action: 'wait', data: index }));
      await expect.poll(() => state.releases).toHaveLength(5);
      state.releases.toReversed().forEach((release) => release());
      expect(await Promise.all(answers)).toEqual([0, 1, 2, 3, 4]);
    });

    it('answers at once if no worker listens, and is served by one that starts', async () => {
      Object.assign(state, { executed: [], hold: undefined });
      const engine = await startEngine(broker);
      const { board } = await startEdge(broker, engine.port);
      const device = await board({ timeout: 5000 });
      const startedAt = performance.now();
      expect(await device.exchange("{'action': 'echo', 'data': 1}")).toMatch(/no worker could be asked/);
      expect(performance.now() - startedAt).toBeLessThan(1000);
      await startWorker(broker, engine.port, false);
      // The broker may learn of the worker a moment after the worker has started.
      await untilServed(device);
      expect(state.executed).toEqual(['back']);
    });

    it('carries the identity beside the payload, any name of a device too', async () => {
      const { device } = await startPair(broker);
      const reply = await device.exchange("{'action': 'who', 'meta': {'trace': 'é\\n'}}");
      expect(JSON.parse(reply!)).toEqual({
        data: {
          device: REPLACED,
          address: '127.0.0.1',
          isDate: true,
          metadata: { trace: 'é\n' },
          isNats: broker === 'nats-server',
        },
      });
    });

    it('gives no identity to a worker that does not trust its edge', async () => {
      const { device } = await startPair(broker, false);
      expect(await device.send({ action: 'who' })).toMatchObject({ isDate: false });
      expect(await device.send({ action: 'who' })).not.toHaveProperty('device');
    });

    it('answers within a second when the engine dies, and serves again within two seconds of its return', async () => {
      const { engine, device, board } = await startPair(broker);
      await device.send({ action: 'echo', data: 'first' });
      let release = () => undefined as void;
      state.hold = new Promise((resolve) => {
        release = resolve;
      });
      const waiting = device.exchange("{'action': 'echo', 'data': 'held'}");
      await expect.poll(() => state.executed).toContain('held');
      const diedAt = performance.now();
      await engine.kill();
      expect(await waiting).toMatch(/the request may have run/);
      const other = await board({ timeout: 5000 });
      const memory = process.memoryUsage().heapUsed;
      for (let count = 0; count < 200; count++) {
        expect(await other.send({ action: 'echo', data: `away ${count}` })).toBe(null);
        if (count === 0) {
          expect(performance.now() - diedAt).toBeLessThan(1000);
        }
      }
      expect(process.memoryUsage().heapUsed - memory).toBeLessThan(64 * 2 ** 20);
      release();
      state.hold = undefined;
      await engine.start();
      const servedAfter = await untilServed(device);
      console.log(`${broker}: served ${servedAfter.toFixed(0)} ms after its return`);
      expect(servedAfter).toBeLessThan(2000);
      const twice = state.executed.filter((name, index) => name !== 'back' && state.executed.indexOf(name) !== index);
      expect(twice).toEqual([]);
    });

    it('a worker that is closed in the middle of a request leaves one error reply', async () => {
      const { worker, device } = await startPair(broker);
      state.hold = new Promise(() => undefined);
      const answer = device.send({ action: 'echo', data: 'cut off' });
      await expect.poll(() => state.executed).toContain('cut off');
      await worker.close();
      expect(await answer).toBe(null);
      expect(device.leftovers).toBe(0);
    });

    it('a request and an event run once if the connection breaks before the broker has said that it got them', async () => {
      Object.assign(state, { executed: [], events: [], hold: undefined });
      const engine = await startEngine(broker);
      await startWorker(broker, engine.port, true);
      const link = await startLink(engine.port);
      const { board, transport } = await startEdge(broker, link.port);
      const device = await board({ timeout: 5000 });
      await untilServed(device);
      link.mute();
      const answer = device.exchange("{'action': 'echo', 'data': 'once'}");
      await (await board()).send({ action: 'report', data: 'once' }, { noreturn: true });
      await expect.poll(() => [state.executed.at(-1), state.events.length]).toEqual(['once', 1]);
      link.cut();
      expect(await answer).toMatch(/the request may have run/);
      await expect.poll(() => transport.getStats().outcomes['event-failed']).toBe(1);
      // What the client had kept would be sent before this.
      await untilServed(device);
      expect(state.executed.filter((data) => data === 'once')).toHaveLength(1);
      expect(state.events).toHaveLength(1);
    });

    it('starts if the broker is frozen, answers within a second, and ends', async () => {
      const engine = await startEngine(broker);
      await engine.freeze();
      const { app, board } = await startEdge(broker, engine.port);
      const device = await board({ timeout: 5000 });
      const askedAt = performance.now();
      expect(await device.exchange("{'action': 'echo'}")).toMatch(/no worker could be asked/);
      expect(performance.now() - askedAt).toBeLessThan(1000);
      const closedAt = performance.now();
      await app.close();
      expect(performance.now() - closedAt).toBeLessThan(4000);
    });

    it.runIf(broker === 'nats-server')('serializes each request in its own async scope', async () => {
      const { port } = await startEngine(broker);
      await startWorker(broker, port, false);
      const scope = new AsyncLocalStorage<unknown>();
      const seen: unknown[] = [];
      const serialize = ({ pattern, id, data: record }: { pattern: unknown; id: string; data: { data: unknown } }) => {
        seen.push([record.data, scope.getStore()]);
        return { data: Buffer.from(JSON.stringify({ pattern, id, data: record.data })) };
      };
      const arrivals: Array<() => void> = [];
      // All requests leave in one turn, in which the client writes them with one write.
      const intercept = async (context: ExecutionContext, next: CallHandler) => {
        await new Promise<void>((resolve) => {
          if (arrivals.push(resolve) === 3) {
            arrivals.forEach((arrive) => arrive());
          }
        });
        const data: unknown = context.switchToRpc().getData();
        return new Observable((subscriber) => scope.run(data, () => next.handle().subscribe(subscriber)));
      };
      const { board } = await startEdge(broker, port, { serializer: { serialize } }, {}, (app) =>
        app.useGlobalInterceptors({ intercept }),
      );
      const boards = await Promise.all([1, 2, 3].map(() => board({ timeout: 5000 })));
      await Promise.all(boards.map((each, index) => each.send({ action: 'echo', data: index })));
      expect(seen.toSorted()).toEqual([
        [0, 0],
        [1, 1],
        [2, 2],
      ]);
    });

    it.runIf(broker === 'nats-server')('shares the load between two workers within 20 %', async () => {
      const { engine, board } = await startPair(broker);
      await startWorker(broker, engine.port, true);
      const boards = await Promise.all(Array.from({ length: 8 }, () => board({ timeout: 5000 })));
      await Promise.all(
        boards.map(async (each) => {
          for (let count = 0; count < 100; count++) {
            expect(await each.send({ action: 'echo', data: count })).toBe(count);
          }
        }),
      );
      const [first = 0, second = 0] = Board.workers.values();
      console.log(`two workers: ${first} and ${second} exchanges`);
      expect(first + second).toBe(800);
      expect(Math.abs(first - second) / 800).toBeLessThan(0.2);
    });
  });
});

describe.skipIf(missing('nats-server') !== undefined)('an edge on NATS (needs nats-server)', () => {
  it('notices a frozen NATS within 6 s, and holds at most maxPending events', async () => {
    const engine = await startEngine('nats-server');
    const { board, transport } = await startEdge('nats-server', engine.port, {}, { timeout: 60_000, maxPending: 10 });
    const device = await board({ timeout: 20_000 });
    await engine.freeze();
    const frozenAt = performance.now();
    const answer = device.exchange("{'action': 'echo'}");
    const other = await board({ timeout: 5000 });
    for (let count = 0; count < 40; count++) {
      await other.send({ action: 'report', data: count }, { noreturn: true });
    }
    await expect.poll(() => transport.getStats().outcomes['event-failed']).toBe(30);
    expect(transport.getStats().outcomes.event).toBe(0);
    expect(await answer).toMatch(/the request may have run/);
    expect(performance.now() - frozenAt).toBeLessThan(8000);
    await expect.poll(() => transport.getStats().outcomes['event-failed']).toBe(40);
  });

  it('is served again, and its workers too, when NATS takes their password again', async () => {
    const configurationOf = (password: string) => `authorization { user: fleet, password: ${password} }`;
    const users = await writeConfiguration(configurationOf('first'));
    const engine = await startEngine('nats-server', '-c', users.path);
    const credentials = { user: 'fleet', pass: 'first' };
    await startWorker('nats-server', engine.port, true, credentials);
    const { board, logs } = await startEdge('nats-server', engine.port, credentials);
    const device = await board({ timeout: 5000 });
    await untilServed(device);
    await engine.kill();
    await users.write(configurationOf('second'));
    await engine.start();
    // The library would give up at the second refusal.
    const refusals = () => logs.lines.filter((line) => /authorization.violation/i.test(line)).length;
    await expect.poll(refusals).toBeGreaterThan(4);
    await engine.kill();
    await users.write(configurationOf('first'));
    await engine.start();
    expect(await untilServed(device)).toBeLessThan(2000);
  });

  it('gets the answers of a worker that is closed with gracefulShutdown, which takes no further requests', async () => {
    Object.assign(state, { hold: undefined, releases: [] });
    const engine = await startEngine('nats-server');
    const worker = await startWorker('nats-server', engine.port, true, { gracefulShutdown: true, gracePeriod: 1000 });
    const { board } = await startEdge('nats-server', engine.port);
    const device = await board({ timeout: 5000 });
    await untilServed(device);
    const answer = device.send({ action: 'wait', data: 'owed' });
    await expect.poll(() => state.releases).toHaveLength(1);
    const closing = worker.close();
    const other = await board({ timeout: 5000 });
    await expect.poll(() => other.exchange("{'action': 'echo'}")).toMatch(/no worker could be asked/);
    state.releases[0]!();
    expect(await answer).toBe('owed');
    await closing;
  });

  it('keeps nothing of a request that is too large for NATS, and says that no worker was asked', async () => {
    const monitor = await findFreePort();
    const limited = await writeConfiguration('max_payload: 1024');
    const engine = await startEngine('nats-server', '-c', limited.path, '-m', String(monitor));
    await startWorker('nats-server', engine.port, true);
    const { board } = await startEdge('nats-server', engine.port);
    const device = await board({ timeout: 5000 });
    await untilServed(device);
    const countSubscriptions = async () => {
      const answer = await fetch(`http://127.0.0.1:${monitor}/varz`);
      return ((await answer.json()) as { subscriptions: number }).subscriptions;
    };
    const before = await countSubscriptions();
    for (let count = 0; count < 3; count++) {
      const reply = await device.exchange(`{'action': 'echo', 'data': '${'x'.repeat(1200)}'}`);
      expect(reply).toMatch(/no worker could be asked/);
    }
    await untilServed(device);
    await expect.poll(countSubscriptions).toBe(before);
  });

  it('answers at once if the answer of a worker is too large for NATS', async () => {
    const limited = await writeConfiguration('max_payload: 1024');
    const engine = await startEngine('nats-server', '-c', limited.path);
    await startWorker('nats-server', engine.port, true);
    const { board } = await startEdge('nats-server', engine.port);
    const device = await board({ timeout: 5000 });
    expect(await device.exchange("{'action': 'repeat', 'data': 1024}")).toMatch(/Internal server error/);
    await untilServed(device);
  });

  it('answers at once if NATS does not let it hear answers', async () => {
    const permissions = '{ publish: ["ben.>"], subscribe: ["elsewhere"] }';
    const users = await writeConfiguration(
      `authorization { users = [ { user: edge, password: word, permissions: ${permissions} } ] }`,
    );
    const engine = await startEngine('nats-server', '-c', users.path);
    const { board } = await startEdge('nats-server', engine.port, { user: 'edge', pass: 'word' });
    const device = await board({ timeout: 5000 });
    for (let count = 0; count < 2; count++) {
      const startedAt = performance.now();
      expect(await device.exchange("{'action': 'echo'}")).toMatch(/the request may have run/);
      expect(performance.now() - startedAt).toBeLessThan(1000);
    }
  });

  it.each(['{"response"', ''])(
    'says that the request may have run if a worker answers %j, which is not JSON',
    async (answer) => {
      const engine = await startEngine('nats-server');
      await answerWith(engine.port, 'ben.echo', answer);
      const { board } = await startEdge('nats-server', engine.port);
      const device = await board({ timeout: 5000 });
      expect(await device.exchange("{'action': 'echo'}")).toMatch(/the request may have run/);
    },
  );
});

describe.skipIf(missing('nats-server') !== undefined)('a worker in another language (needs nats-server)', () => {
  it.each([
    ['"on"', 'on'],
    ['{"on":true}', { on: true }],
    ['{"response":{"id":7},"isDisposed":true}', { id: 7 }],
  ])('answers with %s', async (answer, expected) => {
    const engine = await startEngine('nats-server');
    const requests = await answerWith(engine.port, 'ben.echo', answer);
    const { board } = await startEdge('nats-server', engine.port);
    const device = await board({ timeout: 5000 });
    expect(await device.send({ action: 'echo', data: [1] })).toEqual(expected);
    expect(requests.map((text) => JSON.parse(text) as unknown)).toEqual([
      { pattern: 'ben.echo', data: [1], id: expect.any(String) },
    ]);
  });

  it('is ignored if its bare answer has a key "id"', async () => {
    const engine = await startEngine('nats-server');
    await answerWith(engine.port, 'ben.echo', '{"id":7}');
    const { board } = await startEdge('nats-server', engine.port);
    const device = await board({ timeout: 5000 });
    expect(await device.exchange("{'action': 'echo'}")).toMatch(/the worker did not answer in time/);
  });
});

/** A file with a configuration of NATS. */
async function writeConfiguration(text: string): Promise<{ path: string; write(text: string): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'ben-udp-nats-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'nats.conf');
  const write = (content: string) => writeFile(path, content);
  await write(text);
  return { path, write };
}

/**
 * A worker that speaks the protocol of NATS itself, as one in another language does, and answers each request with this text. Resolves to
 * the requests.
 */
async function answerWith(port: number, subject: string, text: string): Promise<string[]> {
  const requests: string[] = [];
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  let received = '';
  const heard = new Promise<void>((resolve) => {
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      received += chunk;
      if (received.includes('PONG')) {
        resolve();
      }
      const [request, inbox] = /MSG \S+ 1 (\S+) /.exec(received) ?? [];
      if (request) {
        requests.push(...(/\{"pattern".*\}/.exec(received) ?? []));
        received = '';
        socket.write(`PUB ${inbox} ${text.length}\r\n${text}\r\n`);
      }
    });
  });
  await once(socket, 'connect');
  socket.write(`CONNECT {"verbose":false,"headers":true}\r\nSUB ${subject} 1\r\nPING\r\n`);
  await heard;
  return requests;
}
