/** An edge over a client of the test's own, whose broker is the test. */
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxy, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import {
  BenUdpRelayModule,
  type BenUdpRelayOptions,
  BenUdpTransport,
  type BenUdpTransportOptions,
} from 'nestjs-ben-udp';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { UnsentError } from '../../../lib/nest/relay/unsent-error.js';
import { MovablePlatform } from '../../support/movable-platform.js';
import { KEY_CONTENTS, startApp, startBoard } from '../../support/nest-app.js';

interface SentPacket {
  readonly pattern: string;
  readonly data: unknown;
}

/** A client whose broker is the test. */
class ScriptedClient extends ClientProxy {
  readonly sent: SentPacket[] = [];
  readonly heard: string[] = [];
  readonly callbacks: Array<(packet: { response?: unknown; err?: unknown; isDisposed?: boolean }) => void> = [];
  connectError: unknown;
  /** Whether the broker accepts connections and says nothing, from the start of the client. */
  isFrozen = isFrozenAtStart;
  isClosed = false;
  /** Resolves when the broker takes an event. */
  taking: Promise<void> | undefined;

  constructor(_options: object) {
    super();
    clients.push(this);
  }

  heardBeforeConnect: number | undefined;
  connects = 0;

  async connect(): Promise<void> {
    this.connects++;
    this.heardBeforeConnect ??= this.heard.length;
    if (this.connectError !== undefined) {
      throw this.connectError;
    }
    await this.untilThawed();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.untilThawed();
  }

  private async untilThawed(): Promise<void> {
    if (this.isFrozen) {
      await new Promise(() => undefined);
    }
  }

  /** As Nest's client of Kafka has it. */
  subscribeToResponseOf(pattern: string): void {
    this.heard.push(pattern);
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
    return this.taking as T;
  }
}

let clients: ScriptedClient[] = [];
let isFrozenAtStart = false;

async function startEdge(options: Partial<BenUdpRelayOptions> = {}, transportOptions: BenUdpTransportOptions = {}) {
  clients = [];
  const clock = new MovablePlatform();
  const relay = {
    client: { customClass: ScriptedClient },
    messages: ['led', 'hall/temperature'],
    events: ['report'],
    ...options,
  };
  const edge = await startApp({ imports: [BenUdpRelayModule.forRoot(relay, clock)] }, transportOptions);
  return { ...edge, clock, client: clients[0]!, device: await edge.board() };
}

@Module({ imports: [BenUdpRelayModule.forRoot({ client: { customClass: ScriptedClient }, messages: ['led'] })] })
class Edge {}

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
    ['a client without a transport', { client: { options: {} }, messages: ['led'] }, /"client" must be a client as in/],
    ['an unknown transport', { client: { transport: 99 }, messages: ['led'] }, /"client" must be a client as in/],
    ['a transport without names', { client: { transport: Transport.GRPC }, messages: ['led'] }, /"client" must be/],
    ['a class that is none', { client: { customClass: 'nats' }, messages: ['led'] }, /"client" must be a client as in/],
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

  it('subscribes to answers before it connects if the client needs that, as that of Kafka does', async () => {
    const { client: broker } = await startEdge();
    expect(broker.heard).toEqual(['ben.led', 'ben.hall/temperature']);
    expect(broker.heardBeforeConnect).toBe(2);
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
    const { client: broker, device } = await startEdge();
    const reply = device.exchange(`{'action': 'led', ${data}}`);
    if (expected === undefined) {
      expect(await reply).toContain("JSON can't carry a Map key");
      expect(broker.sent).toEqual([]);
    } else {
      await expect.poll(() => broker.callbacks).toHaveLength(1);
      expect(broker.sent).toMatchObject([{ data: expected }]);
      broker.callbacks[0]!({ response: 'on', isDisposed: true });
      expect(await reply).toBe('{"data":"on"}');
    }
  });

  it('gives the errors of workers to the board unchanged', async () => {
    const { client: broker, device } = await startEdge();
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    broker.callbacks[0]!({ err: { status: 'error', message: 'the lamp is broken' } });
    expect(await reply).toContain('the lamp is broken');
  });

  it.each<[string, (broker: ScriptedClient, clock: MovablePlatform) => void, RegExp]>([
    ['the connection is lost', (broker) => broker.lose(), /unavailable: .* was lost, the request may have run/],
    [
      'the client fails',
      (broker) => broker.callbacks[0]!({ err: new Error('nats: 10.0.0.7 said no') }),
      /unavailable: .* was lost, the request may have run/,
    ],
    [
      'no worker got the request',
      (broker) => broker.callbacks[0]!({ err: new UnsentError('nats: 10.0.0.7 has no worker') }),
      /unavailable: no worker could be asked/,
    ],
    [
      'nobody answers in time',
      (_, clock) => clock.advance(8000),
      /unavailable: the worker did not answer in time, the request may have run/,
    ],
  ])('answers at once if %s, and hides the reason', async (_what, act, expected) => {
    const { client: broker, clock, device, logs } = await startEdge();
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    act(broker, clock);
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

  it('starts if the broker is frozen, and answers within a second that no worker could be asked', async () => {
    isFrozenAtStart = true;
    onTestFinished(() => {
      isFrozenAtStart = false;
    });
    const { client: broker, clock, device, logs } = await startEdge();
    expect(logs.of('warn').join()).toMatch(/The broker can't be reached.*it does not answer within 800 ms/);
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => broker.connects).toBe(2);
    clock.advance(800);
    expect(await reply).toMatch(/unavailable: no worker could be asked/);
    expect(broker.sent).toEqual([]);
    broker.isFrozen = false;
    const answer = device.send({ action: 'led' });
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    broker.callbacks[0]!({ response: 'on', isDisposed: true });
    expect(await answer).toBe('on');
  });

  it('says that no worker was asked if the timeout passes before the request was sent', async () => {
    const { client: broker, clock, device } = await startEdge({ timeout: 100 });
    broker.isFrozen = true;
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => broker.connects).toBe(2);
    clock.advance(100);
    expect(await reply).toMatch(/unavailable: no worker could be asked/);
  });

  it('does not take an error of a worker for one of its client, whatever its text', async () => {
    const { client: broker, device } = await startEdge();
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    broker.callbacks[0]!({ err: 'Error: Connection lost. My database is away' });
    expect(await reply).toMatch(/the request may have run/);
  });

  it('does not wait for ever for its client to close', async () => {
    const { app, client: broker, clock, logs } = await startEdge();
    broker.isFrozen = true;
    const closing = app.close();
    await expect.poll(() => broker.isClosed).toBe(true);
    clock.advance(3000);
    await closing;
    expect(logs.of('warn').join()).toContain('The client of the broker did not close');
  });

  it.each<[string, () => unknown, boolean]>([
    ['returns nothing, as that of TCP', () => undefined, false],
    [
      'throws',
      () => {
        throw new Error('the socket is odd');
      },
      true,
    ],
  ])('closes if the close method of its client %s', async (_what, close, isWarned) => {
    const { app, client: broker, logs } = await startEdge();
    Object.assign(broker, { close });
    await app.close();
    expect(logs.lines.some((line) => line.includes('The client of the broker did not close'))).toBe(isWarned);
    expect(logs.of('error')).toEqual([]);
  });

  it('takes a client whose connect method returns nothing', async () => {
    const { client: broker, device } = await startEdge();
    Object.assign(broker, { connect: () => undefined });
    const answer = device.send({ action: 'led' });
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    broker.callbacks[0]!({ response: 'on', isDisposed: true });
    expect(await answer).toBe('on');
  });

  it.each<[string, () => object]>([
    [
      'throws if its message is read',
      () => ({
        get message() {
          throw new Error('odd');
        },
      }),
    ],
    [
      'can not be read',
      () => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      },
    ],
  ])('answers at once, and hides the reason, if its client fails with an object that %s', async (_what, make) => {
    const { client: broker, device } = await startEdge();
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => broker.callbacks).toHaveLength(1);
    broker.callbacks[0]!({ err: make() });
    expect(await reply).toContain('Internal server error');
  });

  it('says that no worker was asked if the connection is lost before the request was sent', async () => {
    const { client: broker, device } = await startEdge();
    let isConnecting = false;
    broker.connect = () => {
      isConnecting = true;
      return new Promise(() => undefined);
    };
    const reply = device.exchange("{'action': 'led'}");
    await expect.poll(() => isConnecting).toBe(true);
    broker.lose();
    expect(await reply).toMatch(/unavailable: no worker could be asked/);
    expect(broker.sent).toEqual([]);
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

  it('loses and counts events beyond maxPending while the broker takes none', async () => {
    const { client: broker, transport, device } = await startEdge({ maxPending: 2 });
    let take!: () => void;
    broker.taking = new Promise((resolve) => (take = resolve));
    for (let count = 0; count < 4; count++) {
      await device.send({ action: 'report', data: count }, { noreturn: true });
    }
    await expect.poll(() => transport.getStats().outcomes['event-failed']).toBe(2);
    expect(broker.sent).toHaveLength(2);
    take();
    await expect.poll(() => transport.getStats().outcomes.event).toBe(2);
    await device.send({ action: 'report', data: 4 }, { noreturn: true });
    await expect.poll(() => broker.sent).toHaveLength(3);
  });

  it('closes its client when the boards that wait have their answers', async () => {
    clients = [];
    const strategy = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS });
    const app = await NestFactory.create(Edge, { logger: false });
    app.connectMicroservice<MicroserviceOptions>({ strategy });
    await app.startAllMicroservices();
    await app.init();
    const [broker] = clients;
    const board = await startBoard(strategy.unwrap().address().port);
    const answer = board.send({ action: 'led' });
    await expect.poll(() => broker!.callbacks).toHaveLength(1);
    const closeTransport = vi.spyOn(strategy, 'close');
    const closing = app.close();
    await expect.poll(() => closeTransport.mock.calls).toHaveLength(1);
    expect(broker!.isClosed).toBe(false);
    broker!.callbacks[0]!({ response: 'on', isDisposed: true });
    expect(await answer).toBe('on');
    await closing;
    expect(broker!.isClosed).toBe(true);
  });

  it.each(['reference', 'deep-hash'] as const)(
    'has several relays if Nest tells modules apart by %s',
    async (algorithm) => {
      clients = [];
      const relayOf = (name: string) =>
        BenUdpRelayModule.forRoot({ client: { customClass: ScriptedClient }, messages: [name] });
      @Module({ imports: [relayOf('first'), relayOf('second')] })
      class Edges {}
      const strategy = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS });
      const app = await NestFactory.createMicroservice<MicroserviceOptions>(Edges, {
        strategy,
        logger: false,
        moduleIdGeneratorAlgorithm: algorithm,
      });
      onTestFinished(() => app.close());
      await app.listen();
      expect(clients).toHaveLength(2);
      const board = await startBoard(strategy.unwrap().address().port);
      for (const name of ['first', 'second']) {
        const answer = board.send({ action: name });
        const asked = () => clients.find(({ sent }) => sent.some(({ pattern }) => pattern === `ben.${name}`));
        await expect.poll(asked).toBeDefined();
        asked()!.callbacks[0]!({ response: name, isDisposed: true });
        expect(await answer).toBe(name);
      }
    },
  );

  it('warns at the start if the identity does not travel', async () => {
    const { logs } = await startEdge();
    expect(logs.of('warn').join()).toMatch(/identity of boards does not travel over this broker/);
  });
});
