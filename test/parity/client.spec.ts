import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Controller, Inject, Injectable, Module } from '@nestjs/common';
import { ClientTCP, type ClientProxy, ClientsModule, MessagePattern, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { BenUdpClient } from 'nestjs-ben-udp';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { findFreePort } from '../../tools/support/free-port.mjs';
import { behaviour } from './behaviour.js';
import { NEEDS } from './nest-features.js';
import { KEY_CONTENTS } from '../support/nest-app.js';
import { temporaryFolder } from '../support/temporary-folder.js';
import { unreachablePort } from '../support/unreachable-port.js';
import { type ParityTransport, ask, askInVain, connectClient, start } from './transports.js';

/** A server whose handler `slow` runs until the test ends it. */
async function startSlow(transport: ParityTransport) {
  const running: Array<(value: unknown) => void> = [];
  @Controller()
  class Handlers {
    @MessagePattern('echo')
    echo(@Payload() data: unknown) {
      return data;
    }
    @MessagePattern('slow')
    slow() {
      return new Promise((resolve) => running.push(resolve));
    }
  }
  const started = await start(transport, { controllers: [Handlers] });
  // A server waits for its handlers, so none is left running.
  onTestFinished(() => running.forEach((end) => end('late')));
  return { ...started, running };
}

describe('Client', () => {
  behaviour('concurrent', 'Each of many messages at once gets its own answer', {
    async both(transport) {
      const { client } = await startSlow(transport);
      const numbers = Array.from({ length: 100 }, (_, number) => number);
      const answers = await Promise.all(numbers.map((number) => ask(client, 'echo', number)));
      expect(answers).toEqual(numbers.map((number) => [number]));
    },
  });

  behaviour(
    'cold',
    '`send` does nothing until it is subscribed to, and again for each subscription; `emit` goes at once',
    {
      async both(transport) {
        const { client, running } = await startSlow(transport);
        const answer = client.send('slow', 1);
        expect(await ask(client, 'echo', 1)).toEqual([1]);
        expect(running).toHaveLength(0);
        const subscriptions = [answer.subscribe(), answer.subscribe()];
        await expect.poll(() => running).toHaveLength(2);
        client.emit('slow', 1);
        await expect.poll(() => running).toHaveLength(3);
        running.forEach((end) => end('done'));
        subscriptions.forEach((each) => each.unsubscribe());
      },
    },
  );

  behaviour(
    'clients-module',
    '`ClientsModule.register` and `registerAsync` provide it, `isGlobal` included, and `app.close()` closes it',
    {
      async both(transport) {
        const { port } = await startSlow(transport);
        @Injectable()
        class User {
          constructor(
            @Inject('PLAIN') readonly plain: ClientProxy,
            @Inject('ASYNC') readonly async: ClientProxy,
          ) {}
        }
        @Module({ providers: [User] })
        class Feature {}
        @Module({ providers: [{ provide: 'PORT', useValue: port }], exports: ['PORT'] })
        class Config {}
        const clients = ClientsModule.registerAsync({
          isGlobal: true,
          clients: [
            {
              name: 'ASYNC',
              imports: [Config],
              inject: ['PORT'],
              useFactory: async (resolved: number) => transport.clientProvider(resolved),
            },
          ],
        });
        const plain = ClientsModule.register({
          isGlobal: true,
          clients: [{ name: 'PLAIN', ...transport.clientProvider(port) }],
        });
        const module = await Test.createTestingModule({ imports: [plain, clients, Feature] }).compile();
        const user = module.get(User, { strict: false });
        expect(user.plain).toBeInstanceOf(transport.name === 'TCP' ? ClientTCP : BenUdpClient);
        expect(await ask(user.plain, 'echo', 1)).toEqual([1]);
        expect(await ask(user.async, 'echo', 2)).toEqual([2]);
        const app = module.createNestMicroservice({ strategy: transport.createServer(), logger: false });
        await app.listen();
        await app.close();
        expect(() => user.plain.unwrap()).toThrow('Not initialized');
        expect(() => user.async.unwrap()).toThrow('Not initialized');
      },
    },
  );

  behaviour('lazy-connect', 'Nothing is connected before the first message; the next message retries a failed start', {
    tcp: [
      'fails if no program listens yet',
      async (transport) => {
        const port = await findFreePort();
        const client = connectClient(transport, port);
        expect(await askInVain(client, 'echo', 1)).toMatchObject({ code: 'ECONNREFUSED' });
        // Until its socket is closed, the client keeps the failed one.
        await vi.waitFor(() => expect(() => client.unwrap()).toThrow('Not initialized'), { timeout: 30_000 });
        @Controller()
        class Echo {
          @MessagePattern('echo')
          echo(@Payload() data: unknown) {
            return data;
          }
        }
        await start(transport, { controllers: [Echo] }, { port });
        expect(await ask(client, 'echo', 2)).toEqual([2]);
      },
    ],
    benUdp: [
      'fails if there is no key file yet: nothing else can fail',
      async (transport) => {
        const { port } = await startSlow(transport);
        const keyFile = join(await temporaryFolder(), 'key.sec');
        const client = new BenUdpClient({ port, keyFile });
        onTestFinished(() => client.close());
        expect(await askInVain(client, 'echo', 1)).toMatchObject({ code: 'BEN_KEY_FILE_MISSING' });
        await writeFile(keyFile, KEY_CONTENTS, { mode: 0o600 });
        expect(await ask(client, 'echo', 2)).toEqual([2]);
        await rm(keyFile);
        expect(await ask(client, 'echo', 3)).toEqual([3]);
      },
    ],
  });

  behaviour('no-server', 'No program listens at the address', {
    tcp: [
      'the message fails at once, `ECONNREFUSED`',
      async (transport) => {
        const client = connectClient(transport, await findFreePort());
        expect(await askInVain(client, 'echo')).toMatchObject({ code: 'ECONNREFUSED' });
      },
    ],
    benUdp: [
      'the message fails at once, `BEN_REFUSED`, and the error names the last step',
      async () => {
        const client = new BenUdpClient({ port: await unreachablePort(), key: KEY_CONTENTS, timeout: 600_000 });
        onTestFinished(() => client.close());
        const error = await askInVain(client, 'echo');
        expect(error).toMatchObject({ code: 'BEN_REFUSED', pattern: 'echo', step: 'hello', attempts: 1 });
      },
    ],
  });

  {
    const statusOf = async (transport: ParityTransport) => {
      const { client } = await startSlow(transport);
      await ask(client, 'echo');
      const seen: string[] = [];
      client.status.subscribe((status: string) => seen.push(status));
      await client.close();
      await expect.poll(() => seen).toHaveLength(2);
      return seen;
    };
    behaviour('client-status', '`status` of the client emits the latest state, and each change', {
      tcp: [
        '`connected`, `disconnected`',
        async (transport) => expect(await statusOf(transport)).toEqual(['connected', 'disconnected']),
      ],
      benUdp: [
        '`connected`, `closed`: the key is loaded and the address known, nothing was sent for it',
        async (transport) => expect(await statusOf(transport)).toEqual(['connected', 'closed']),
      ],
    });
  }

  behaviour('client-events', '`client.on()` registers listeners before `connect`, for `connect` and `close`', {
    async both(transport) {
      const { client } = await startSlow(transport);
      const seen: string[] = [];
      client.on('connect' as never, (() => seen.push('connect')) as never);
      client.on('close' as never, (() => seen.push('close')) as never);
      await ask(client, 'echo');
      expect(seen).toEqual(['connect']);
      await client.close();
      await expect.poll(() => seen).toEqual(['connect', 'close']);
    },
  });

  behaviour('client-unwrap', '`client.unwrap()` throws before `connect` and after `close`', {
    async both(transport) {
      const { client } = await startSlow(transport);
      expect(() => client.unwrap()).toThrow('Please call the "connect" method first');
      await ask(client, 'echo');
      const [socket] = [client.unwrap<{ address(): object } | [{ address(): object }]>()].flat();
      expect(socket!.address()).toMatchObject({ port: expect.any(Number) as number });
      await client.close();
      expect(() => client.unwrap()).toThrow('Please call the "connect" method first');
    },
  });

  {
    const closeWhileAsking = async (transport: ParityTransport) => {
      const { client, running } = await startSlow(transport);
      const pending = askInVain(client, 'slow');
      await expect.poll(() => running).toHaveLength(1);
      await client.close();
      const error = (await pending) as Error & { code?: string };
      expect(await ask(client, 'echo', 'anew')).toEqual(['anew']);
      return error;
    };
    behaviour('client-close', '`client.close()` fails pending messages, and the next message connects again', {
      tcpNeeds: NEEDS.askAfterClose,
      tcp: [
        'with an `Error`, "Connection closed"',
        async (transport) => expect(await closeWhileAsking(transport)).toMatchObject({ message: 'Connection closed' }),
      ],
      benUdp: [
        'with a `BenUdpRequestError`, `BEN_CLOSED`',
        async (transport) => expect(await closeWhileAsking(transport)).toMatchObject({ code: 'BEN_CLOSED' }),
      ],
    });
  }

  behaviour('unsubscribe', 'After unsubscribing, a subscriber gets nothing more, and the client continues', {
    async both(transport) {
      const { client, running } = await startSlow(transport);
      const heard = vi.fn();
      const subscription = client.send('slow', 1).subscribe({ next: heard, error: heard, complete: heard });
      await expect.poll(() => running).toHaveLength(1);
      subscription.unsubscribe();
      running.forEach((end) => end('late'));
      expect(await ask(client, 'echo', 1)).toEqual([1]);
      await client.close();
      expect(heard).not.toHaveBeenCalled();
    },
  });
});
