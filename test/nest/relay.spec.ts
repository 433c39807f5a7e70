/** An edge and its workers: over a client of the test's own, and over Nest's TCP, which needs no broker. */
import { Controller } from '@nestjs/common';
import {
  ClientProxy,
  EventPattern,
  MessagePattern,
  Payload,
  RpcException,
  ServerTCP,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  AllowDevices,
  BenUdpEventPattern,
  BenUdpMessagePattern,
  BenUdpRelayModule,
  type BenUdpRelayOptions,
  type BenUdpTransportOptions,
  Device,
  toBenUdpWorker,
} from 'nestjs-ben-udp';
import type { AddressInfo, Server as TcpServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { KEY_CONTENTS, LogRecorder, startApp } from '../support/nest-app.js';

interface SentPacket {
  readonly pattern: string;
  readonly data: unknown;
}

/** A client whose broker is the test. */
class ScriptedClient extends ClientProxy {
  readonly sent: SentPacket[] = [];
  readonly callbacks: Array<(packet: { response?: unknown; err?: unknown; isDisposed?: boolean }) => void> = [];
  connectError: unknown;

  constructor(_options: object) {
    super();
    clients.push(this);
  }

  async connect(): Promise<void> {
    if (this.connectError !== undefined) {
      throw this.connectError;
    }
  }

  async close(): Promise<void> {
    // There is no connection.
  }

  unwrap<T>(): T {
    throw new Error('there is no connection');
  }

  lose(): void {
    this._status$.next('disconnected');
  }

  protected publish(packet: SentPacket, callback: (typeof this.callbacks)[number]): () => void {
    this.sent.push(JSON.parse(JSON.stringify(packet)) as SentPacket);
    this.callbacks.push(callback);
    return () => undefined;
  }

  protected async dispatchEvent<T>(packet: SentPacket): Promise<T> {
    this.sent.push(JSON.parse(JSON.stringify(packet)) as SentPacket);
    return undefined as T;
  }
}

let clients: ScriptedClient[] = [];

async function startEdge(options: Partial<BenUdpRelayOptions> = {}, transportOptions: BenUdpTransportOptions = {}) {
  clients = [];
  const edge = await startApp(
    {
      imports: [
        BenUdpRelayModule.forRoot({
          client: { customClass: ScriptedClient },
          messages: ['led', 'hall/temperature'],
          events: ['report'],
          ...options,
        }),
      ],
    },
    transportOptions,
  );
  return { ...edge, client: clients[0]!, device: await edge.board({ timeout: 5000 }) };
}

const forRoot = (options: object) => () => BenUdpRelayModule.forRoot(options as BenUdpRelayOptions);
const client = { transport: Transport.TCP } as const;

const NO_LITERALS = [
  '',
  '*',
  '>',
  'a.>',
  '$JS.API.STREAM.DELETE.x',
  '+/#',
  'a\nb',
  'a b',
  'a..b',
  '.a',
  'a.',
  'ü',
  'x'.repeat(201),
];

describe('BenUdpRelayModule options', () => {
  it.each(NO_LITERALS)('refuse %j as a name', (name) => {
    expect(forRoot({ client, messages: [name] })).toThrow(
      /BenUdpRelayModule option "messages" must be names of at most 200/,
    );
    expect(forRoot({ client, events: [name] })).toThrow(/option "events"/);
  });

  it.each(['led', 'hall/temperature', 'hall.temperature', 'a:b_c-d', 'x'.repeat(200)])(
    'accept %s as a name',
    (name) => {
      expect(forRoot({ client, messages: [name] })).not.toThrow();
    },
  );

  it.each<[string, object, RegExp]>([
    ['no names', { client }, /needs the names of requests in "messages" or "events"/],
    ['names as a text', { client, messages: 'led' }, /"messages" must be a list/],
    ['a name that is no text', { client, messages: [1] }, /"messages" must be names.*got number/],
    ['no client', { messages: ['led'] }, /"client" must be a client as in ClientsModule/],
    ['a prefix with a wildcard', { client, messages: ['led'], prefix: '>' }, /"prefix" must be a name such as "ben\."/],
    ['an unknown option', { client, message: ['led'] }, /has no option "message"/],
  ])('refuse %s', (_what, options, message) => {
    expect(forRoot(options)).toThrow(message);
  });

  it.each([
    ['timeout', 10, 86_400_000],
    ['maxPending', 1, 1_048_576],
  ])('%s is from %i to %i', (name, min, max) => {
    for (const value of [min, max]) {
      expect(forRoot({ client, messages: ['led'], [name]: value })).not.toThrow();
    }
    for (const value of [min - 1, max + 1]) {
      expect(forRoot({ client, messages: ['led'], [name]: value })).toThrow(RangeError);
    }
  });
});

describe('an edge', () => {
  it('publishes under its prefix, and gives the answer to the board', async () => {
    const { client: broker, device } = await startEdge({ prefix: 'boards.' });
    const answer = device.send({ action: 'hall/temperature', data: { unit: 'C' } });
    await expect.poll(() => broker.sent).toMatchObject([{ pattern: 'boards.hall/temperature', data: { unit: 'C' } }]);
    broker.callbacks[0]!({ response: 21.5 });
    broker.callbacks[0]!({ isDisposed: true });
    expect(await answer).toBe(21.5);
  });

  it('emits events', async () => {
    const { client: broker, device } = await startEdge();
    await device.send({ action: 'report', data: 1 }, { noreturn: true });
    await expect.poll(() => broker.sent).toMatchObject([{ pattern: 'ben.report', data: 1 }]);
  });

  it.each(['*', '>', '$JS.API.STREAM.DELETE.x', '+/#', 'led\n', 'le', 'ben.led', 'x'.repeat(4096)])(
    'publishes nothing for the action %#, and says that there is no handler',
    async (action) => {
      const { client: broker, device } = await startEdge({}, { bufferSize: 65_507 });
      const reply = await device.exchange(`{'action': ${JSON.stringify(action)}}`);
      expect(reply).toContain('There is no matching message handler');
      expect(broker.sent).toEqual([]);
    },
  );

  it.each<[string, unknown]>([
    ["'data': None", null],
    ["'data': b'\\x01\\xff'", 'Af8='],
    ["'data': 12345678901234567890", '12345678901234567890'],
    ["'data': [nan, (1, 2)]", [null, [1, 2]]],
    ["'data': {1: 'a', (1, 2): 'b'}", undefined],
    ["'data': {'s': {1}}", { s: [1] }],
    ["'data': {'__proto__': 1}", JSON.parse('{"__proto__": 1}')],
  ])('turns %s into JSON by the stated rule', async (data, expected) => {
    const { client: broker, device } = await startEdge({ timeout: 50 });
    const reply = await device.exchange(`{'action': 'led', ${data}}`);
    if (expected === undefined) {
      expect(reply).toContain('error');
      expect(broker.sent).toEqual([]);
    } else {
      expect(broker.sent).toMatchObject([{ data: expected }]);
    }
  });

  it('gives the errors of workers to the board unchanged', async () => {
    const { client: broker, device } = await startEdge();
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    broker.callbacks[0]!({ err: { status: 'error', message: 'the lamp is broken' } });
    expect(await reply).toContain('the lamp is broken');
  });

  it.each<[string, (broker: ScriptedClient) => void, RegExp]>([
    ['the connection is lost', (broker) => broker.lose(), /unavailable: no worker could be asked/],
    [
      'the client fails',
      (broker) => broker.callbacks[0]!({ err: new Error('nats: 10.0.0.7 said no') }),
      /unavailable: no worker could be asked/,
    ],
    ['nobody answers in time', () => undefined, /unavailable: the worker did not answer in time/],
  ])('answers at once if %s, and hides the reason', async (_what, act, expected) => {
    const { client: broker, device, logs } = await startEdge({ timeout: 200 });
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    act(broker);
    const text = await reply;
    expect(text).toMatch(expected);
    expect(text).not.toContain('10.0.0.7');
    expect(logs.lines.join('\n')).not.toContain('Unhandled');
  });

  it('answers at once while the broker is away', async () => {
    const { client: broker, device } = await startEdge();
    broker.connectError = 'Error: Connection lost. Trying to reconnect...';
    expect(await device.exchange("{'action': 'led'}")).toMatch(/unavailable: no worker could be asked/);
    broker.connectError = undefined;
    const answer = device.send({ action: 'led' });
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    broker.callbacks[0]!({ response: 'on', isDisposed: true });
    expect(await answer).toBe('on');
  });

  it('answers that it is busy beyond maxPending, and has room again behind the answers', async () => {
    const { client: broker, device, board } = await startEdge({ maxPending: 1 });
    const other = await board();
    const first = device.send({ action: 'led' });
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    expect(await other.exchange("{'action': 'led'}")).toContain('busy: too many requests wait for workers');
    broker.callbacks[0]!({ response: 1, isDisposed: true });
    expect(await first).toBe(1);
    const second = other.send({ action: 'led' });
    await expect.poll(() => broker.callbacks).toHaveLength(2);
    broker.callbacks[1]!({ response: 2, isDisposed: true });
    expect(await second).toBe(2);
  });

  it('warns at the start if the identity does not travel', async () => {
    const { logs } = await startEdge();
    expect(logs.of('warn').join()).toMatch(/identity of boards does not travel over this engine/);
  });
});

@Controller()
class Lamp {
  static reports: unknown[] = [];

  @BenUdpMessagePattern('led')
  led(@Payload() on: unknown, @Device() device: string | undefined) {
    return { on, device: device ?? 'unknown' };
  }

  @BenUdpMessagePattern('bytes')
  bytes() {
    return new Uint8Array([1, 255]);
  }

  @BenUdpMessagePattern('big')
  big() {
    return 2n ** 70n;
  }

  @BenUdpMessagePattern('function')
  function() {
    return { run: [() => undefined] };
  }

  @BenUdpMessagePattern('refused')
  refused(): string {
    throw new RpcException('not today');
  }

  @BenUdpMessagePattern('broken')
  broken(): string {
    throw new Error('the password is 1234');
  }

  @AllowDevices('hall')
  @BenUdpMessagePattern('guarded')
  guarded() {
    return 'let in';
  }

  @BenUdpEventPattern('report')
  report(@Payload() data: unknown) {
    Lamp.reports.push(['first', data]);
  }
}

@Controller()
class Archive {
  @EventPattern('report')
  report(@Payload() data: unknown) {
    Lamp.reports.push(['second', data]);
  }

  @MessagePattern('unscoped')
  unscoped() {
    return 'unscoped';
  }

  @MessagePattern('tcp-only', Transport.TCP)
  tcpOnly() {
    return 'reached';
  }
}

const MESSAGES = ['led', 'bytes', 'big', 'function', 'refused', 'broken', 'guarded', 'unscoped', 'tcp-only'];

/** The same controllers on a worker behind TCP, and an edge without them. */
async function startPair() {
  Lamp.reports = [];
  const module = await Test.createTestingModule({ controllers: [Lamp, Archive] })
    .setLogger(new LogRecorder())
    .compile();
  const server = toBenUdpWorker(new ServerTCP({ host: '127.0.0.1', port: 0 }), { trustEdgeIdentity: true });
  const worker = module.createNestMicroservice({ strategy: server, logger: new LogRecorder() });
  await worker.listen();
  onTestFinished(() => worker.close());
  const { port } = server.unwrap<TcpServer>().address() as AddressInfo;
  const edge = await startApp(
    {
      imports: [
        BenUdpRelayModule.forRoot({
          client: { transport: Transport.TCP, options: { host: '127.0.0.1', port } },
          messages: MESSAGES,
          events: ['report'],
        }),
      ],
    },
    { key: [], keys: { hall: KEY_CONTENTS } },
  );
  return edge.board();
}

describe('a worker over TCP', () => {
  it('runs controllers of an edge unchanged, without an identity', async () => {
    const board = await startPair();
    expect(await board.send({ action: 'led', data: true })).toEqual({ on: true, device: 'unknown' });
    expect(await board.send({ action: 'led', data: null })).toEqual({ on: null, device: 'unknown' });
    expect(await board.send({ action: 'unscoped' })).toBe('unscoped');
  });

  it('returns what JSON can not carry by the same rules as it gets it', async () => {
    const board = await startPair();
    expect(await board.send({ action: 'bytes' })).toBe('Af8=');
    expect(await board.send({ action: 'big' })).toBe(String(2n ** 70n));
    expect(await board.exchange("{'action': 'function'}")).toContain("JSON can't carry a function");
  });

  it('answers errors as an edge does', async () => {
    const board = await startPair();
    expect(await board.exchange("{'action': 'refused'}")).toContain('not today');
    const hidden = await board.exchange("{'action': 'broken'}");
    expect(hidden).toContain('Internal server error');
    expect(hidden).not.toContain('1234');
    expect(await board.exchange("{'action': 'guarded'}")).toContain('Forbidden resource');
    expect(await board.exchange("{'action': 'tcp-only'}")).toContain('There is no matching message handler');
  });

  it('runs every handler of an event', async () => {
    const board = await startPair();
    await board.send({ action: 'report', data: [1, null] }, { noreturn: true });
    await expect.poll(() => Lamp.reports).toHaveLength(2);
    expect(Lamp.reports).toEqual([
      ['first', [1, null]],
      ['second', [1, null]],
    ]);
  });
});
