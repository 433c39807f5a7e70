import { once } from 'node:events';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { Controller, Injectable, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { of } from 'rxjs';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { behaviour } from './behaviour.js';
import { NEEDS } from './nest-features.js';
import { type ParityTransport, ask, askInVain, start, tell } from './transports.js';

@Controller()
class Echo {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }
}

/** An address of nobody's here: RFC 5737. */
const FOREIGN_ADDRESS = '192.0.2.1';

/** Calls `listen` of the strategy itself. Returns the calls of the callback, and the next `error` event. */
function listen(transport: ParityTransport, options: { host?: string; port?: number }) {
  const server = transport.createServer(options);
  const callback = vi.fn<(error?: unknown) => void>();
  server.on('error' as never, (() => undefined) as never);
  server.listen(callback);
  onTestFinished(() => server.close() as Promise<void>);
  return { server, callback };
}

/** The promise that a handler awaits. */
function createGate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}

async function takePort(transport: ParityTransport): Promise<number> {
  if (transport.name === 'TCP') {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    onTestFinished(() => void taken.close());
    return (taken.address() as { port: number }).port;
  }
  const taken = createSocket('udp4').bind(0, '127.0.0.1');
  await once(taken, 'listening');
  onTestFinished(() => void taken.close());
  return taken.address().port;
}

describe('Server: start, life, end', () => {
  {
    const statusOf = async (transport: ParityTransport) => {
      const { app, server } = await start(transport, {});
      const seen: string[] = [];
      // The latest one is told at once to who comes late.
      server.status.subscribe((status: string) => seen.push(status));
      await app.close();
      await expect.poll(() => seen).toHaveLength(2);
      return seen;
    };
    behaviour('server-status', '`status` emits the latest state, and each change', {
      tcp: [
        '`connected`, `disconnected`',
        async (transport) => expect(await statusOf(transport)).toEqual(['connected', 'disconnected']),
      ],
      benUdp: [
        '`listening`, `closed`: UDP connects nothing',
        async (transport) => expect(await statusOf(transport)).toEqual(['listening', 'closed']),
      ],
    });
  }

  behaviour('server-events', '`app.on()` registers listeners before `listen`, for `listening` and `close`', {
    async both(transport) {
      const seen: string[] = [];
      const { app } = await start(
        transport,
        {},
        {
          configure(each) {
            each.on('listening', () => seen.push('listening'));
            each.on('close', () => seen.push('close'));
          },
        },
      );
      expect(seen).toEqual(['listening']);
      await app.close();
      await expect.poll(() => seen).toEqual(['listening', 'close']);
    },
  });

  behaviour('server-unwrap', '`app.unwrap()` is the bound server of Node', {
    async both(transport) {
      const { app } = await start(transport, {});
      const server = app.unwrap<{ address(): { port: number; address: string } }>();
      expect(server.constructor.name).toBe(transport.name === 'TCP' ? 'Server' : 'Socket');
      expect(server.address()).toMatchObject({ address: '127.0.0.1', port: expect.any(Number) as number });
    },
  });

  behaviour('transport-server', '`app.getTransportServer()` is the strategy', {
    needs: NEEDS.transportServer,
    async both(transport) {
      const { app, server } = await start(transport, {});
      expect((app as unknown as { getTransportServer(): unknown }).getTransportServer()).toBe(server);
    },
  });

  behaviour('port-taken', 'Another process has the port', {
    tcp: [
      '`listen()` rejects with `EADDRINUSE`',
      async (transport) => {
        const { callback } = listen(transport, { port: await takePort(transport) });
        await expect.poll(() => callback.mock.calls).toEqual([[expect.objectContaining({ code: 'EADDRINUSE' })]]);
      },
    ],
    benUdp: [
      '`listen()` tries again (`retryAttempts`), then rejects with `BEN_ADDRESS_IN_USE`, whose `cause` is that error',
      async (transport) => {
        const { callback } = listen(transport, { port: await takePort(transport) });
        const cause = expect.objectContaining({ code: 'EADDRINUSE' }) as Error;
        const error = expect.objectContaining({ code: 'BEN_ADDRESS_IN_USE', cause }) as Error;
        await expect.poll(() => callback.mock.calls).toEqual([[error]]);
      },
    ],
  });

  behaviour('bind-error', "The address can't be bound for another reason", {
    tcp: [
      '`listen()` never settles; the error is only logged',
      async (transport) => {
        const failed = vi.fn();
        const server = transport.createServer({ host: FOREIGN_ADDRESS });
        const callback = vi.fn();
        server.on('error' as never, failed as never);
        server.listen(callback);
        await expect.poll(() => failed.mock.calls).toEqual([[expect.objectContaining({ code: 'EADDRNOTAVAIL' })]]);
        await new Promise((resolve) => setImmediate(resolve));
        expect(callback).not.toHaveBeenCalled();
      },
    ],
    benUdp: [
      '`listen()` rejects with `BEN_SOCKET`, whose `cause` is that error',
      async (transport) => {
        const { callback } = listen(transport, { host: FOREIGN_ADDRESS });
        const cause = expect.objectContaining({ code: 'EADDRNOTAVAIL' }) as Error;
        const error = expect.objectContaining({ code: 'BEN_SOCKET', cause }) as Error;
        await expect.poll(() => callback.mock.calls).toEqual([[error]]);
      },
    ],
  });

  behaviour('garbage', 'Bytes of a stranger have no effect on others', {
    async both(transport) {
      const { client, port } = await start(transport, { controllers: [Echo] });
      for (const garbage of ['', 'x', '/GETID', '12#{"pattern":', '5#[[[[', '{"hash": b"', '\u0000'.repeat(2000)]) {
        await transport.sendGarbage(port, Buffer.from(garbage));
        expect(await ask(client, 'echo', garbage.length)).toEqual([garbage.length]);
      }
    },
  });

  behaviour(
    'processing-hooks',
    'The processing hooks are called once around each message and event, with the context',
    {
      needs: NEEDS.processingHooks,
      async both(transport) {
        const seen: string[] = [];
        @Controller()
        class Handlers {
          @MessagePattern('asked')
          asked() {
            seen.push('handler');
            return of(1);
          }
          @MessagePattern('failing')
          failing() {
            throw new RpcException('failed');
          }
          @EventPattern<string>('told')
          told() {
            seen.push('handler');
          }
        }
        const { client, server } = await start(transport, { controllers: [Handlers] });
        const describeCall = (id: unknown, context: unknown) =>
          `${id === transport.id} ${(context as { getPattern(): string }).getPattern()}`;
        server.setOnProcessingStartHook((id, context, done) => {
          seen.push(`start ${describeCall(id, context)}`);
          return done();
        });
        server.setOnProcessingEndHook((id, context) => {
          seen.push(`end ${describeCall(id, context)}`);
        });
        expect(await ask(client, 'asked')).toEqual([1]);
        await expect.poll(() => seen.splice(0)).toEqual(['start true asked', 'handler', 'end true asked']);
        expect(await askInVain(client, 'failing')).toMatchObject({ message: 'failed' });
        await expect.poll(() => seen).toEqual(['start true failing', 'end true failing']);
        seen.length = 0;
        await tell(client, 'told');
        await expect.poll(() => seen).toEqual(['start true told', 'handler', 'end true told']);
      },
    },
  );

  {
    /** The outcome of a request whose handler ends when `isOver` resolves, after the shutdown has begun. */
    const run = async (
      transport: ParityTransport,
      isOver: (answer: Promise<unknown>, closed: Promise<void>) => Promise<unknown>,
    ) => {
      const gate = createGate();
      const began = vi.fn();
      @Controller()
      class Slow {
        @MessagePattern('slow')
        async slow() {
          began();
          await gate.opened;
          return 'done';
        }
      }
      const { app, client } = await start(transport, { controllers: [Slow] });
      const answer = ask(client, 'slow').catch((error: Error) => error.message);
      await expect.poll(() => began.mock.calls).toHaveLength(1);
      const closed = app.close();
      await isOver(answer, closed);
      gate.open();
      await closed;
      return answer;
    };
    behaviour('shutdown-running', '`app.close()` while a handler runs', {
      tcpNeeds: NEEDS.cutConnections,
      tcp: [
        'the connection is cut, and the client gets an error',
        async (transport) => expect(await run(transport, (answer) => answer)).toBe('Connection closed'),
      ],
      benUdp: [
        'waits for the handler and its reply, up to `shutdownTimeout`',
        async (transport) => {
          const isWaitedFor = async (_answer: Promise<unknown>, closed: Promise<void>) => {
            const turn = new Promise((resolve) => setImmediate(resolve, 'waits'));
            expect(await Promise.race([closed, turn])).toBe('waits');
          };
          expect(await run(transport, isWaitedFor)).toEqual(['done']);
        },
      ],
    });
  }

  behaviour('shutdown-hooks', '`app.close()` runs the shutdown hooks once, and frees the port', {
    async both(transport) {
      const seen: string[] = [];
      @Injectable()
      class Hooks implements OnModuleDestroy, OnApplicationShutdown {
        onModuleDestroy() {
          seen.push('onModuleDestroy');
        }
        onApplicationShutdown() {
          seen.push('onApplicationShutdown');
        }
      }
      const { app, port } = await start(transport, { providers: [Hooks] });
      await app.close();
      await app.close();
      expect(seen).toEqual(['onModuleDestroy', 'onApplicationShutdown']);
      const { client } = await start(transport, { controllers: [Echo] }, { port });
      expect(await ask(client, 'echo', 'again')).toEqual(['again']);
    },
  });

  behaviour('testing-module', '`@nestjs/testing` starts it, with providers overridden', {
    async both(transport) {
      @Injectable()
      class Clock {
        now() {
          return Date.now();
        }
      }
      @Controller()
      class Handlers {
        constructor(private readonly clock: Clock) {}
        @MessagePattern('now')
        now() {
          return this.clock.now();
        }
      }
      const module = await Test.createTestingModule({ controllers: [Handlers], providers: [Clock] })
        .overrideProvider(Clock)
        .useValue({ now: () => 42 })
        .compile();
      const app = module.createNestMicroservice({ strategy: transport.createServer(), logger: false });
      await app.listen();
      onTestFinished(() => app.close());
      const { port } = app.unwrap<{ address(): { port: number } }>().address();
      const client = transport.createClient(port);
      onTestFinished(() => client.close() as Promise<void>);
      expect(await ask(client, 'now')).toEqual([42]);
    },
  });
});
