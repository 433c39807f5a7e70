/**
 * A Nest client asks a Nest server over real UDP. What only a round trip can prove: that each of many requests gets its own answer,
 * that errors arrive as from Nest's other transports, that strangers can't get in between, and that a process can end.
 */
import { execFile } from 'node:child_process';
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Controller, Inject, Injectable, Module } from '@nestjs/common';
import {
  type ClientProxy,
  ClientsModule,
  type ClientsModuleOptionsFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  RpcException,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  BenUdpClient,
  type BenUdpClientOptions,
  BenUdpContext,
  BenUdpRecordBuilder,
  BenUdpTransport,
  type BenUdpTransportOptions,
} from 'nestjs-ben-udp';
import { catchError, firstValueFrom, lastValueFrom, of, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { nodePlatform } from '../../lib/net/index.js';
import { compileLib } from '../support/compiled-lib.js';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';
import { unreachablePort } from '../support/unreachable-port.js';

let finishSlow: Array<() => void> = [];
let events: unknown[] = [];

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }
  @MessagePattern('argument')
  argument(@Payload() data: unknown) {
    return data === undefined ? 'undefined' : data;
  }
  @MessagePattern({ cmd: 'sum', version: 2 })
  sum(@Payload() numbers: number[]) {
    return numbers.reduce((sum, each) => sum + each, 0);
  }
  @MessagePattern(7)
  seven() {
    return 'seven';
  }
  @MessagePattern('stream')
  stream() {
    return of(1, 2, 3);
  }
  @MessagePattern('nothing')
  nothing() {}
  @MessagePattern('slow')
  slow(@Payload() data: unknown) {
    return new Promise((resolve) => finishSlow.push(() => resolve(data)));
  }
  @MessagePattern('device')
  device(@Ctx() context: BenUdpContext) {
    return context.getDevice();
  }
  @MessagePattern('rpc')
  rpc() {
    throw new RpcException('no such sensor');
  }
  @MessagePattern('rpc-object')
  rpcObject() {
    throw new RpcException({ code: 404, message: 'no such sensor' });
  }
  @MessagePattern('bug')
  bug() {
    throw new Error('postgres://secret');
  }
  @EventPattern('log')
  log(@Payload() data: unknown) {
    events.push(data);
  }
}

async function startServer(options: BenUdpTransportOptions = {}): Promise<number> {
  finishSlow = [];
  events = [];
  const { port } = await startApp({ controllers: [Handlers] }, { shutdownTimeout: 0, ...options });
  return port;
}

function createClient(port: number, options: BenUdpClientOptions = {}): BenUdpClient {
  const client = new BenUdpClient({ key: KEY_CONTENTS, port, timeout: 5000, ...options });
  onTestFinished(() => client.close());
  return client;
}

const ask = (client: ClientProxy, pattern: unknown, data: unknown) =>
  firstValueFrom(client.send<unknown>(pattern, data));

describe('ClientsModule', () => {
  @Injectable()
  class Boards {
    constructor(@Inject('BOARDS') readonly client: ClientProxy) {}
  }

  it.each(['register', 'registerAsync with useFactory', 'registerAsync with useClass'] as const)(
    'provides a client by %s, which app.close() closes',
    async (method) => {
      const port = await startServer();
      const options = { port, key: KEY_CONTENTS };

      @Module({ providers: [{ provide: 'OPTIONS', useValue: options }], exports: ['OPTIONS'] })
      class ConfigModule {}

      @Injectable()
      class ClientOptionsFactory implements ClientsModuleOptionsFactory {
        constructor(@Inject('OPTIONS') private readonly resolved: BenUdpClientOptions) {}

        createClientOptions() {
          return { customClass: BenUdpClient, options: this.resolved };
        }
      }

      const name = 'BOARDS';
      const clients = {
        register: () => ClientsModule.register([{ name, customClass: BenUdpClient, options }]),
        'registerAsync with useFactory': () =>
          ClientsModule.registerAsync([
            {
              name,
              imports: [ConfigModule],
              inject: ['OPTIONS'],
              useFactory: async (resolved: BenUdpClientOptions) => ({ customClass: BenUdpClient, options: resolved }),
            },
          ]),
        'registerAsync with useClass': () =>
          ClientsModule.registerAsync([{ name, imports: [ConfigModule], useClass: ClientOptionsFactory }]),
      }[method]();
      const module = await Test.createTestingModule({ imports: [clients], providers: [Boards] }).compile();
      const strategy = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS });
      const app = module.createNestMicroservice({ strategy, logger: false });
      await app.listen();
      const { client } = app.get(Boards);
      expect(client).toBeInstanceOf(BenUdpClient);
      expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
      const [socket] = client.unwrap<Socket[]>();
      const pending = firstValueFrom(client.send('slow', 1));
      const failure = pending.catch((error: unknown) => error);
      await expect.poll(() => finishSlow.length).toBe(1);
      await app.close();
      expect(await failure).toMatchObject({ code: 'BEN_CLOSED' });
      expect(() => socket!.address()).toThrow();
    },
  );
});

describe('send', () => {
  it('emits the result of the handler, and completes', async () => {
    const client = createClient(await startServer());
    for (const value of ['hé € \u{1f600}', 21.5, -0, 2n ** 70n, false, '', [1, null], { a: { b: [] } }]) {
      expect(await lastValueFrom(client.send('echo', value).pipe(toArray()))).toEqual([value]);
    }
    expect(await ask(client, 'stream', 1)).toBe(3);
    expect(await ask(client, 'nothing', 1)).toBeNull();
  });

  it('finds handlers by a string, a number and an object', async () => {
    const client = createClient(await startServer());
    expect(await ask(client, 7, 1)).toBe('seven');
    expect(await ask(client, '7', 1)).toBe('seven');
    expect(await ask(client, { version: 2, cmd: 'sum' }, [1, 2])).toBe(3);
    expect(await ask(client, { cmd: 'sum', version: 2 }, [3, 4])).toBe(7);
  });

  it('sends no data, or None, in a record', async () => {
    const client = createClient(await startServer());
    expect(await ask(client, 'argument', new BenUdpRecordBuilder().build())).toBe('undefined');
    expect(await ask(client, 'argument', new BenUdpRecordBuilder(null).build())).toBeNull();
  });

  it.each([
    ['rpc', { status: 'error', message: 'no such sensor' }],
    ['rpc-object', { code: 404, message: 'no such sensor' }],
    ['bug', { status: 'error', message: 'Internal server error' }],
    ['nobody', { status: 'error', message: 'There is no matching message handler defined in the remote service.' }],
  ])('errors with the object that Nest clients get elsewhere, of %s', async (pattern, error) => {
    for (const errorReply of ['null', 'text'] as const) {
      const client = createClient(await startServer({ errorReply }));
      await expect(firstValueFrom(client.send(pattern, 1))).rejects.toEqual(error);
      const message = client.send(pattern, 1).pipe(catchError((err: Error) => of(err.message)));
      expect(await firstValueFrom(message)).toBe(error.message);
    }
  });
});

describe('emit', () => {
  it('reaches the event handler, in order over one socket', async () => {
    const client = createClient(await startServer(), { maxSockets: 1 });
    for (let index = 0; index < 20; index++) {
      client.emit('log', index);
    }
    await expect.poll(() => events).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(await ask(client, 'echo', 'after')).toBe('after');
    expect(client.getStats()).toMatchObject({ outcomes: { sent: 20, answered: 1, failed: 0 }, sockets: 1 });
  });
});

describe('many requests', () => {
  it('of 100 at once over 4 sockets each get their own answer', async () => {
    const client = createClient(await startServer(), { maxSockets: 4 });
    const answers = Array.from({ length: 100 }, (_, index) => ask(client, 'echo', index));
    await client.connect();
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.getStats()).toMatchObject({ requests: 100, sockets: 4 });
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(client.unwrap()).toHaveLength(4);
    expect(client.getStats()).toMatchObject({
      outcomes: { answered: 100, failed: 0 },
      retries: 0,
      ignored: { 'other-sender': 0, 'wrong-size': 0, duplicate: 0, 'bad-hash': 0, unasked: 0 },
    });
  });

  it('are not held up by a slow handler', async () => {
    const client = createClient(await startServer(), { maxSockets: 2 });
    const slow = ask(client, 'slow', 'slow');
    await expect.poll(() => finishSlow.length).toBe(1);
    const rest = await Promise.all(Array.from({ length: 20 }, (_, index) => ask(client, 'echo', index)));
    expect(rest).toHaveLength(20);
    expect(client.getStats()).toMatchObject({ running: 1 });
    finishSlow[0]!();
    expect(await slow).toBe('slow');
  });

  it('beyond the queue fail at once, and the rest is answered', async () => {
    const client = createClient(await startServer(), { maxSockets: 1, maxQueue: 4 });
    const asked = Array.from({ length: 10 }, (_, index) => ask(client, 'echo', index));
    const results = await Promise.allSettled(asked);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    for (const result of results.slice(5)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'BEN_QUEUE_FULL', pattern: 'echo' } });
    }
  });

  it('get an error at once if the server already runs its maximum', async () => {
    const client = createClient(await startServer({ maxInFlight: 2 }), { maxSockets: 3 });
    const slow = [ask(client, 'slow', 1), ask(client, 'slow', 2)];
    await expect.poll(() => finishSlow.length).toBe(2);
    await expect(ask(client, 'echo', 3)).rejects.toEqual({
      status: 'error',
      message: 'busy: too many handlers are running, try again later',
    });
    finishSlow.forEach((finish) => finish());
    expect(await Promise.all(slow)).toEqual([1, 2]);
    expect(await ask(client, 'echo', 3)).toBe(3);
  });
});

describe('keys', () => {
  it('of two clients make them two devices', async () => {
    const keys = { kitchen: Buffer.alloc(32, 1), cellar: Buffer.alloc(32, 2) };
    const port = await startServer({ keys, key: [] });
    const clients = Object.values(keys).map((key) => createClient(port, { key }));
    const asked = Array.from({ length: 20 }, (_, index) => ask(clients[index % 2]!, 'device', 1));
    expect(await Promise.all(asked)).toEqual(
      Array.from({ length: 20 }, (_, index) => ['kitchen', 'cellar'][index % 2]),
    );
  });

  it('unknown to the server get no answer, and the error says how far the request got', async () => {
    const port = await startServer();
    const client = createClient(port, { key: Buffer.alloc(32, 'wrong'), timeout: 500, retries: 1, idempotent: true });
    await expect(ask(client, 'echo', 'secret')).rejects.toMatchObject({
      name: 'BenUdpRequestError',
      code: 'BEN_TIMEOUT',
      pattern: 'echo',
      peer: { host: '127.0.0.1', port },
      step: 'request',
      attempts: 2,
      message: expect.not.stringContaining('secret') as unknown,
    });
  });
});

describe('the peer', () => {
  it('may be named, or have an IPv6 address in any spelling', async () => {
    const port = await startServer({ host: '::' });
    for (const host of ['localhost', '127.0.0.1', '::1', '0:0:0:0:0:0:0:1']) {
      expect(await ask(createClient(port, { host }), 'echo', host)).toBe(host);
    }
    expect(await ask(createClient(port, { localAddress: '127.0.0.9' }), 'echo', 1)).toBe(1);
  });

  it('that is not reachable is told at once by the system, not by time', async () => {
    const client = createClient(9, { host: '127.0.0.1', localAddress: '192.0.2.77' });
    await expect(ask(client, 'echo', 1)).rejects.toMatchObject({ code: 'BEN_SOCKET', step: 'waiting' });
  });

  it.each([
    ['127.0.0.5', '127.0.0.6'],
    ['127.0.0.5', '::1'],
    ['::1', '127.0.0.5'],
  ])('that moves from %s to %s under its name is found again, by retries or by the next request', async (from, to) => {
    let address = from;
    const platform = { ...nodePlatform, resolveHost: async () => address };
    const options = { key: KEY_CONTENTS, host: 'ben.test', timeout: 200 };
    const { app, port } = await startApp({ controllers: [Handlers] }, { host: from });
    const [single, retrying] = [0, 1].map((retries) => new BenUdpClient({ ...options, port, retries }, platform));
    onTestFinished(async () => void (await Promise.all([single!.close(), retrying!.close()])));
    expect(await Promise.all([ask(single!, 'echo', 1), ask(retrying!, 'echo', 2)])).toEqual([1, 2]);
    await app.close();
    address = to;
    await startApp({ controllers: [Handlers] }, { host: to, port });
    expect(await ask(retrying!, 'echo', 3)).toBe(3);
    await expect(ask(single!, 'echo', 4)).rejects.toMatchObject({ code: 'BEN_REFUSED', step: 'hello' });
    expect(await ask(single!, 'echo', 5)).toBe(5);
  });

  it('refuses a hello at once if no program listens on its port', async () => {
    const port = await unreachablePort();
    await expect(ask(createClient(port, { timeout: 60_000 }), 'echo', 1)).rejects.toMatchObject({
      code: 'BEN_REFUSED',
      step: 'hello',
    });
  });
});

describe('strangers', () => {
  it('that send forged, late, doubled and short datagrams are not heard, at any step', async () => {
    const port = await startServer();
    const client = createClient(port, { maxSockets: 1 });
    const stranger = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void stranger.close());
    await once(stranger, 'listening');
    const attack = async () => {
      const [socket] = client.unwrap();
      const sizes = [16, 16, 32, 16, 48, 0, 1, 15];
      for (const size of [...sizes, ...sizes]) {
        await new Promise((sent) => stranger.send(Buffer.alloc(size, size), socket!.address().port, '127.0.0.1', sent));
      }
    };
    expect(await ask(client, 'echo', 0)).toBe(0);
    await attack();
    const slow = ask(client, 'slow', 'mine');
    await expect.poll(() => finishSlow.length).toBe(1);
    await attack();
    finishSlow[0]!();
    expect(await slow).toBe('mine');
    expect(await ask(client, 'echo', 1)).toBe(1);
    // The socket is connected, so the system drops them.
    expect(client.getStats().ignored).toMatchObject({ unasked: 0, 'other-sender': 0 });
  });
});

// Compiling and starting take their time on a busy machine.
describe('a process', { timeout: 60_000 }, () => {
  const run = promisify(execFile);
  let folder: string;
  beforeAll(async () => {
    folder = await compileLib();
  }, 60_000);
  afterAll(() => rm(folder, { recursive: true }));

  /** The output of a script with a client in its own process, which ends by itself. */
  async function runScript(port: number, options: string, body: string): Promise<string> {
    const script = join(folder, 'script.js');
    await writeFile(
      script,
      `import 'reflect-metadata';
       import { firstValueFrom, lastValueFrom } from 'rxjs';
       import { BenUdpClient } from './lib/index.js';
       const client = new BenUdpClient({ key: Buffer.alloc(32, 'k'), port: ${port}, ${options} });
       ${body}`,
    );
    const { stdout } = await run(process.execPath, [script], { timeout: 50_000 });
    return stdout;
  }

  it('that has asked ends by itself, long before its sockets would be closed for being idle', async () => {
    const port = await startServer();
    const stdout = await runScript(
      port,
      'idleTimeout: 3600000',
      `console.log(await firstValueFrom(client.send('echo', 'answer')), client.unwrap().length);
       await lastValueFrom(client.emit('log', 'event'));
       console.log(client.unwrap().length);`,
    );
    expect(stdout).toBe('answer 1\n1\n');
    await expect.poll(() => events).toEqual(['event']);
  });

  it('stays until its requests are answered or fail', async () => {
    const stdout = await runScript(
      await startServer(),
      'timeout: 1000, retries: 1, idempotent: true, maxSockets: 1',
      `client.send('slow', 1).subscribe({ error: ({ code, attempts }) => console.log(code, attempts) });
       client.send('echo', 'waited').subscribe((value) => console.log(value));`,
    );
    expect(stdout).toBe('BEN_TIMEOUT 2\nwaited\n');
  });

  it('stays for what waits for a fixed port to have rested', async () => {
    // A server takes a hello for a duplicate as long as it owes a reply, but at most a tenth of its timeout.
    const port = await startServer({ timeout: 2000 });
    const stdout = await runScript(
      port,
      `timeout: 1000, localAddress: '127.0.0.2', localPort: ${port}`,
      `client.send('slow', 1).subscribe({ error: ({ code }) => console.log(code) });
       client.send('echo', 'waited').subscribe((value) => console.log(value));`,
    );
    expect(stdout).toBe('BEN_TIMEOUT\nwaited\n');
  });

  it('does not stay for the rest of a fixed port alone', async () => {
    const port = await startServer();
    const stdout = await runScript(
      port,
      `timeout: 3000, localAddress: '127.0.0.2', localPort: ${port}`,
      `let failedAt;
       client.send('slow', 1).subscribe({
         error: ({ code }) => {
           console.log(code);
           failedAt = performance.now();
         },
       });
       process.on('exit', () => console.log(performance.now() - failedAt < 2500 ? 'at once' : 'late'));`,
    );
    expect(stdout).toBe('BEN_TIMEOUT\nat once\n');
  });
});
