import { Controller, Get, type INestApplication, type NestHybridApplicationOptions } from '@nestjs/common';
import { EventPattern, MessagePattern, type MicroserviceOptions, Payload, RpcException } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { throwError } from 'rxjs';
import { describe, expect, onTestFinished } from 'vitest';
import { behaviour } from './behaviour.js';
import { NEEDS } from './nest-features.js';
import { LogRecorder } from '../support/nest-app.js';
import { BEN_UDP, type ParityTransport, TCP, ask, askInVain, connectClient, start } from './transports.js';

const NOBODY = 'There is no matching message handler defined in the remote service.';

/** A web app that these transports are connected to; one client for each. */
async function startHybrid(
  transports: readonly ParityTransport[],
  controllers: Array<new () => object>,
  options: NestHybridApplicationOptions = {},
  configure: (app: INestApplication) => void = () => undefined,
) {
  const module = await Test.createTestingModule({ controllers }).setLogger(new LogRecorder()).compile();
  const app = module.createNestApplication({ logger: new LogRecorder() });
  // Nest makes the handlers when a microservice is connected, with the setup at that time.
  configure(app);
  const servers = transports.map((transport) =>
    app.connectMicroservice<MicroserviceOptions>({ strategy: transport.createServer() }, options),
  );
  await app.startAllMicroservices();
  await app.listen(0, '127.0.0.1');
  onTestFinished(() => app.close());
  const clients = servers.map((server, index) =>
    connectClient(transports[index]!, server.unwrap<{ address(): { port: number } }>().address().port),
  );
  return { app, servers, clients };
}

@Controller()
class Asked {
  @Get('asked')
  get() {
    return 'by http';
  }
  @MessagePattern('asked')
  asked(@Payload() data: unknown) {
    return data;
  }
  @MessagePattern('range')
  range() {
    throw new RangeError('too far');
  }
}

describe('Hybrid applications', () => {
  behaviour('hybrid', 'A microservice is connected to a web app, and both answer', {
    async both(transport) {
      const { app, clients } = await startHybrid([transport], [Asked]);
      expect(await ask(clients[0]!, 'asked', 1)).toEqual([1]);
      const { port } = app.getHttpServer().address() as { port: number };
      expect(await (await fetch(`http://127.0.0.1:${port}/asked`)).text()).toBe('by http');
    },
  });

  behaviour('transport-id', 'In an app with both transports, a handler that names one is bound only to that one', {
    async both(transport) {
      const other = transport === TCP ? BEN_UDP : TCP;
      @Controller()
      class Handlers {
        @MessagePattern('ours', transport.id)
        ours() {
          return 'ours';
        }
        @MessagePattern('theirs', other.id)
        theirs() {
          return 'theirs';
        }
        @MessagePattern('all')
        all() {
          return 'all';
        }
        @EventPattern<string>('told', other.id)
        told() {}
      }
      const { clients, servers } = await startHybrid([transport, other], [Handlers]);
      const [ours, theirs] = clients;
      expect(await ask(ours!, 'ours')).toEqual(['ours']);
      expect(await ask(theirs!, 'theirs')).toEqual(['theirs']);
      expect(await ask(ours!, 'all')).toEqual(['all']);
      expect(await ask(theirs!, 'all')).toEqual(['all']);
      expect(JSON.stringify(await askInVain(ours!, 'theirs'))).toContain(NOBODY);
      expect(servers).toHaveLength(2);
    },
  });

  behaviour(
    'inherit-app-config',
    'Global pipes, filters, guards and interceptors of the web app hold only with `inheritAppConfig`',
    {
      async both(transport) {
        const configure = (app: INestApplication) =>
          app
            .useGlobalPipes({ transform: (value: unknown) => `${value as string} piped` })
            .useGlobalInterceptors({ intercept: (_context, next) => next.handle() })
            .useGlobalGuards({
              canActivate(context) {
                if (context.switchToRpc().getData<unknown>() === 'stranger') {
                  throw new RpcException('no strangers');
                }
                return true;
              },
            })
            .useGlobalFilters({
              catch: (error: Error) => throwError(() => ({ filtered: error.message })),
            });
        const inheriting = await startHybrid([transport], [Asked], { inheritAppConfig: true }, configure);
        expect(await ask(inheriting.clients[0]!, 'asked', 'data')).toEqual(['data piped']);
        expect(await askInVain(inheriting.clients[0]!, 'range')).toEqual({ filtered: 'too far' });
        expect(await askInVain(inheriting.clients[0]!, 'asked', 'stranger')).toEqual({ filtered: 'no strangers' });
        const apart = await startHybrid([transport], [Asked], {}, configure);
        expect(await ask(apart.clients[0]!, 'asked', 'stranger')).toEqual(['stranger']);
        expect(await askInVain(apart.clients[0]!, 'range')).toMatchObject({ message: 'Internal server error' });
      },
    },
  );

  behaviour(
    'defer-initialization',
    'With `deferInitialization` a microservice uses its own global enhancers, set before it starts',
    {
      needs: NEEDS.deferInitialization,
      async both(transport) {
        const module = await Test.createTestingModule({ controllers: [Asked] })
          .setLogger(new LogRecorder())
          .compile();
        const app = module.createNestApplication({ logger: new LogRecorder() });
        const microservice = app.connectMicroservice<MicroserviceOptions>(
          { strategy: transport.createServer() },
          { deferInitialization: true },
        );
        microservice.useGlobalPipes({ transform: (value: unknown) => `${value as string} piped` });
        await app.startAllMicroservices();
        onTestFinished(() => app.close());
        const { port } = microservice.unwrap<{ address(): { port: number } }>().address();
        expect(await ask(connectClient(transport, port), 'asked', 'data')).toEqual(['data piped']);
      },
    },
  );

  behaviour('hybrid-close', '`app.close()` closes the connected microservices, and their ports are free again', {
    async both(transport) {
      const { app, servers } = await startHybrid([transport], [Asked]);
      const { port } = servers[0]!.unwrap<{ address(): { port: number } }>().address();
      await app.close();
      const { client } = await start(transport, { controllers: [Asked] }, { port });
      expect(await ask(client, 'asked', 'again')).toEqual(['again']);
    },
  });
});
