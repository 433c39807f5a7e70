import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Inject,
  Injectable,
  ParseIntPipe,
  type PipeTransform,
  Scope,
  UseGuards,
  ValidationPipe,
} from '@nestjs/common';
import {
  BaseRpcContext,
  CONTEXT,
  Ctx,
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  type RequestContext,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  AllowDevices,
  BenUdpContext,
  BenUdpDeviceGuard,
  BenUdpEventPattern,
  BenUdpMessagePattern,
  BenUdpTransport,
  Device,
  RawRequest,
  ReceivedAt,
  RemoteAddress,
  RequestMetadata,
  Signal,
} from 'nestjs-ben-udp';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { setBenUdpRequest } from '../../lib/nest/ben-udp.request.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, LogRecorder, startApp, startBoard } from '../support/nest-app.js';
import { behaviour } from './behaviour.js';
import { BEN_UDP, type ParityTransport, TCP, ask, askInVain, connectClient, start, tell } from './transports.js';

const KITCHEN = Buffer.alloc(32, 'kitchen');
const HALL = Buffer.alloc(32, 'hall');
const KEYS = { kitchen: KITCHEN, hall: HALL };
const FORBIDDEN = { status: 'error', message: 'Forbidden resource' };

/** An app whose boards have keys of their own, with a client for each, and a second app whose boards share a key. */
async function startHouse(metadata: Parameters<typeof startApp>[0], configure?: Parameters<typeof startApp>[2]) {
  const house = await startApp(metadata, { key: undefined, keys: KEYS }, configure);
  const shared = await startApp(metadata, {}, configure);
  const clientOf = (key: Buffer, { port } = house) => connectClient(BEN_UDP, port, { key });
  return {
    ...house,
    kitchen: clientOf(KITCHEN),
    hall: clientOf(HALL),
    nameless: clientOf(KEY_CONTENTS, shared),
    shared,
  };
}

describe('Decorators of BenUdp', () => {
  {
    @Controller()
    class Handlers {
      readonly told: unknown[] = [];
      @BenUdpMessagePattern('asked', { cost: 3 })
      asked(@Payload() data: unknown) {
        return ['asked', data];
      }
      @BenUdpMessagePattern({ cmd: 'sum' })
      sum(@Payload() data: unknown) {
        return ['sum', data];
      }
      @BenUdpEventPattern('told', { cost: 5 })
      tell(@Device() device: string | undefined, @Payload() data: unknown) {
        this.told.push([device, data]);
      }
      @MessagePattern('events')
      events() {
        return this.told;
      }
    }
    behaviour('own-patterns', '`@BenUdpMessagePattern` and `@BenUdpEventPattern`', {
      tcp: [
        'bind nothing to TCP, so nobody without a key can run such a handler',
        async (transport) => {
          const { client, server } = await start(transport, { controllers: [Handlers] });
          expect(await askInVain(client, 'asked')).toContain('no matching message handler');
          await tell(client, 'told');
          expect(await ask(client, 'events')).toEqual([[]]);
          expect([...server.getHandlers().keys()]).toEqual(['events']);
        },
      ],
      benUdp: [
        'are `@MessagePattern` and `@EventPattern` only for BenUdp, with `extras`, and with any parameters',
        async (transport) => {
          const { client, server } = await start(transport, { controllers: [Handlers] });
          expect(await ask(client, 'asked', 1)).toEqual([['asked', 1]]);
          expect(await ask(client, { cmd: 'sum' }, 2)).toEqual([['sum', 2]]);
          await tell(client, 'told', 3);
          await expect.poll(() => ask(client, 'events')).toEqual([[[null, 3]]]);
          const handlers = server.getHandlers();
          expect([handlers.get('asked')!.extras, handlers.get('told')!.extras]).toEqual([{ cost: 3 }, { cost: 5 }]);
          expect([handlers.get('asked')!.isEventHandler, handlers.get('told')!.isEventHandler]).toEqual([false, true]);
        },
      ],
    });
  }

  {
    const seen: unknown[][] = [];
    const take = () => seen.splice(0);
    @Controller()
    class Handlers {
      @MessagePattern('asked')
      asked(
        @Device() device: unknown,
        @Payload() data: unknown,
        @RemoteAddress() address: unknown,
        @RequestMetadata() all: unknown,
        @RequestMetadata('trace') trace: unknown,
        @RequestMetadata('constructor') inherited: unknown,
        @RawRequest() raw: unknown,
        @ReceivedAt() at: unknown,
        @Signal() signal: unknown,
      ) {
        seen.push([device, data, address, all, trace, inherited, raw, at, signal]);
      }
      @Get('asked')
      byHttp(@Device() device: unknown, @Signal() signal: unknown) {
        seen.push([device, signal]);
      }
    }
    behaviour(
      'own-parameters',
      '`@Device()`, `@RemoteAddress()`, `@RequestMetadata()`, `@RawRequest()`, `@ReceivedAt()`, `@Signal()`',
      {
        tcp: [
          'each is `undefined`, as in a handler of a web app',
          async (transport) => {
            const module = await Test.createTestingModule({ controllers: [Handlers] }).compile();
            const app = module.createNestApplication({ logger: new LogRecorder() });
            const server = app.connectMicroservice<MicroserviceOptions>({ strategy: transport.createServer() });
            await app.startAllMicroservices();
            await app.listen(0, '127.0.0.1');
            onTestFinished(() => app.close());
            await ask(
              connectClient(transport, server.unwrap<{ address(): { port: number } }>().address().port),
              'asked',
              1,
            );
            expect(take()).toEqual([[undefined, 1, ...Array<undefined>(7).fill(undefined)]]);
            await fetch(`http://127.0.0.1:${(app.getHttpServer().address() as { port: number }).port}/asked`);
            expect(take()).toEqual([[undefined, undefined]]);
          },
        ],
        benUdp: [
          'each is one fact about the request',
          async () => {
            const { kitchen, nameless, port } = await startHouse({ controllers: [Handlers] });
            const text = "{'action': 'asked', 'data': 1, 'meta': {'trace': 'abc'}}";
            const board = await startBoard(port, { key: HALL });
            const before = Date.now();
            await board.exchange(text);
            const [[device, data, address, all, trace, inherited, raw, at, signal]] = take() as [unknown[]];
            expect([device, data, address]).toEqual(['hall', 1, '127.0.0.1']);
            expect([all, trace, inherited, raw]).toEqual([{ trace: 'abc' }, 'abc', undefined, text]);
            expect((at as Date).getTime()).toBeGreaterThanOrEqual(before - 1);
            expect((at as Date).getTime()).toBeLessThanOrEqual(Date.now());
            expect((signal as AbortSignal).aborted).toBe(false);
            await ask(kitchen, 'asked');
            await ask(nameless, 'asked');
            expect(take().map(([name, , , metadata]) => [name, metadata])).toEqual([
              ['kitchen', undefined],
              [undefined, undefined],
            ]);
          },
        ],
      },
    );
  }

  {
    class Upper implements PipeTransform<string | undefined> {
      transform(value: string | undefined) {
        return value?.toUpperCase() ?? 'NOBODY';
      }
    }
    @Controller()
    class Handlers {
      @MessagePattern('asked')
      asked(
        @Device(Upper, { transform: (name: string) => `${name}!` }) device: string,
        @RequestMetadata('count', new ParseIntPipe({ optional: true })) count: number | undefined,
      ) {
        return [device, count ?? null];
      }
    }
    behaviour('own-parameter-pipes', 'These decorators accept pipes, as `@Payload()` does', {
      tcp: [
        'the pipes get `undefined`',
        async (transport) => {
          const { client } = await start(transport, { controllers: [Handlers] });
          expect(await ask(client, 'asked')).toEqual([['NOBODY!', null]]);
        },
      ],
      benUdp: [
        'the pipes get the value',
        async () => {
          const { kitchen, port } = await startHouse({ controllers: [Handlers] });
          expect(await ask(kitchen, 'asked')).toEqual([['KITCHEN!', null]]);
          const board = await startBoard(port, { key: HALL });
          expect(await board.exchange("{'action': 'asked', 'meta': {'count': '12'}}")).toBe('{"data":["HALL!",12]}');
        },
      ],
    });
  }

  {
    @Controller()
    @AllowDevices()
    class Handlers {
      readonly reports: unknown[] = [];
      @MessagePattern('named')
      named() {
        return 'named';
      }
      @MessagePattern('kitchen')
      @AllowDevices('kitchen', 'cellar')
      kitchen() {
        return 'kitchen';
      }
      @EventPattern<string>('told')
      @AllowDevices('kitchen')
      told(@Device() device: string) {
        this.reports.push(device);
      }
    }
    behaviour('allow-devices', '`@AllowDevices(...names)` on a controller and on a method', {
      tcp: [
        'refuses every message: it has no device',
        async (transport) => {
          const { client } = await start(transport, { controllers: [Handlers] });
          expect(await askInVain(client, 'named')).toEqual(FORBIDDEN);
          expect(await askInVain(client, 'kitchen')).toEqual(FORBIDDEN);
        },
      ],
      benUdp: [
        'allows devices by the name of their key; without names, all that have their own key. The method overrides its controller',
        async () => {
          const { app, kitchen, hall, nameless, shared } = await startHouse({ controllers: [Handlers] });
          expect(await ask(kitchen, 'named')).toEqual(['named']);
          expect(await ask(hall, 'named')).toEqual(['named']);
          expect(await askInVain(nameless, 'named')).toEqual(FORBIDDEN);
          expect(await ask(kitchen, 'kitchen')).toEqual(['kitchen']);
          expect(await askInVain(hall, 'kitchen')).toEqual(FORBIDDEN);
          await tell(hall, 'told');
          await tell(nameless, 'told');
          await tell(kitchen, 'told');
          await expect.poll(() => app.get(Handlers).reports).toEqual(['kitchen']);
          expect(shared.app.get(Handlers).reports).toEqual([]);
          const board = await shared.board();
          expect(await board.send({ action: 'named' })).toBeNull();
          expect(() => AllowDevices('')).toThrow(TypeError);
        },
      ],
    });
  }

  {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {
      constructor(@Inject(CONTEXT) readonly request: RequestContext<unknown, BenUdpContext>) {}
    }
    @Controller({ scope: Scope.REQUEST })
    @AllowDevices('kitchen')
    class Scoped {
      constructor(private readonly perRequest: PerRequest) {}
      @MessagePattern('scoped')
      scoped(@Device() device: string) {
        return [device, this.perRequest.request.context instanceof BaseRpcContext];
      }
    }
    class Base {
      @MessagePattern('inherited')
      inherited(@Device() device: string) {
        return device;
      }
    }
    @Controller()
    @AllowDevices('kitchen')
    class Derived extends Base {}
    @Controller()
    class Open {
      @MessagePattern('open')
      open() {
        return 'open';
      }
      @MessagePattern('hall')
      @AllowDevices('hall')
      hall() {
        return 'hall';
      }
      @Get('open')
      web() {
        return 'web';
      }
    }
    const controllers = [Scoped, Derived, Open];
    behaviour(
      'allow-devices-enhancers',
      '`@AllowDevices()` beside other guards, in request scope, as a global guard, and in tests',
      {
        tcp: [
          '`overrideGuard(BenUdpDeviceGuard)` replaces it; as a global guard it ignores handlers without `@AllowDevices()`',
          async (transport) => {
            const server = transport.createServer();
            const module = await Test.createTestingModule({ controllers, providers: [PerRequest] })
              .overrideGuard(BenUdpDeviceGuard)
              .useValue({ canActivate: () => true })
              .compile();
            const app = module.createNestMicroservice<MicroserviceOptions>({
              strategy: server,
              logger: new LogRecorder(),
            });
            await app.listen();
            onTestFinished(() => app.close());
            const { port } = app.unwrap<{ address(): { port: number } }>().address();
            expect(await ask(connectClient(transport, port), 'hall')).toEqual(['hall']);
            const { client } = await start(
              transport,
              { controllers, providers: [PerRequest] },
              { configure: (other) => other.useGlobalGuards(new BenUdpDeviceGuard()) },
            );
            expect(await ask(client, 'open')).toEqual(['open']);
            expect(await askInVain(client, 'hall')).toEqual(FORBIDDEN);
          },
        ],
        benUdp: [
          'works in each; as a global guard it allows all devices that have their own key',
          async () => {
            const order: string[] = [];
            class Watch implements CanActivate {
              canActivate(context: ExecutionContext) {
                order.push(context.switchToRpc().getContext<BenUdpContext>().getDevice() ?? 'nobody');
                return true;
              }
            }
            const metadata = { controllers, providers: [PerRequest] };
            const house = await startHouse(metadata, (app) => app.useGlobalGuards(new Watch()));
            expect(await ask(house.kitchen, 'scoped')).toEqual([['kitchen', true]]);
            expect(await askInVain(house.hall, 'scoped')).toEqual(FORBIDDEN);
            expect(await ask(house.kitchen, 'inherited')).toEqual(['kitchen']);
            expect(await askInVain(house.hall, 'inherited')).toEqual(FORBIDDEN);
            expect(order).toEqual(['kitchen', 'hall', 'kitchen', 'hall']);
            const guarded = await startHouse(metadata, (app) => app.useGlobalGuards(new BenUdpDeviceGuard()));
            expect(await ask(guarded.hall, 'open')).toEqual(['open']);
            expect(await askInVain(guarded.nameless, 'open')).toEqual(FORBIDDEN);
            expect(await ask(guarded.hall, 'hall')).toEqual(['hall']);
            expect(await askInVain(guarded.kitchen, 'hall')).toEqual(FORBIDDEN);
            const module = await Test.createTestingModule(metadata)
              .overrideGuard(BenUdpDeviceGuard)
              .useValue({ canActivate: () => true })
              .compile();
            const strategy = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS });
            const app = module.createNestMicroservice({ strategy, logger: new LogRecorder() });
            await app.listen();
            onTestFinished(() => app.close());
            const board = await startBoard(strategy.unwrap().address().port);
            expect(await board.send({ action: 'hall' })).toBe('hall');
          },
        ],
      },
    );
  }

  {
    const stopped = vi.fn<(reason: unknown) => void>();
    @Controller()
    class Slow {
      private tellAsked = () => {};
      readonly asked = new Promise<void>((resolve) => (this.tellAsked = resolve));
      @MessagePattern('slow')
      slow(@Signal() signal: AbortSignal | undefined) {
        this.tellAsked();
        return new Promise((resolve) => {
          signal?.addEventListener('abort', () => {
            stopped(signal.reason);
            resolve('stopped');
          });
        });
      }
    }
    behaviour('signal', 'A handler learns that nobody waits for its result any more', {
      tcp: [
        'never',
        async (transport) => {
          stopped.mockClear();
          const { client, app, server } = await start(transport, { controllers: [Slow] });
          client.send('slow', 1).subscribe({ error: () => undefined });
          await app.get(Slow).asked;
          await client.close();
          await (server.close() as unknown as Promise<void> | undefined);
          expect(stopped).not.toHaveBeenCalled();
        },
      ],
      benUdp: [
        '`@Signal()` fires when the board has given up or asks again, and shortly before a shutdown cuts the handler off',
        async () => {
          stopped.mockClear();
          const clock = new MovablePlatform();
          const impatient = await startApp({ controllers: [Slow] }, {}, undefined, clock);
          const board = await impatient.board({}, clock);
          const outcome = board.send({ action: 'slow' }).catch((error: unknown) => error);
          await impatient.app.get(Slow).asked;
          clock.advance(10_000);
          expect(await outcome).toMatchObject({ code: 'BEN_TIMEOUT' });
          await expect.poll(() => stopped.mock.calls).toEqual([[expect.objectContaining({ code: 'BEN_TIMEOUT' })]]);
          stopped.mockClear();
          const closing = await startApp(
            { controllers: [Slow] },
            { timeout: 60_000, shutdownTimeout: 10_000 },
            undefined,
            clock,
          );
          const waiting = await closing.board();
          const reply = waiting.send({ action: 'slow' });
          await closing.app.get(Slow).asked;
          const closed = closing.app.close();
          const stoppedLater = () => {
            // A tenth of shutdownTimeout, for which the signal has fired before the handler is cut off.
            clock.advance(1000);
            return stopped.mock.calls;
          };
          await expect.poll(stoppedLater).toEqual([[expect.objectContaining({ code: 'BEN_CLOSED' })]]);
          expect(await reply).toBe('stopped');
          await closed;
          expect(closing.logs.of('warn')).toEqual([]);
        },
      ],
    });
  }

  {
    @Controller()
    class Validated {
      @MessagePattern('signal')
      signal(@Signal() signal: AbortSignal) {
        return String(signal);
      }
      @MessagePattern('context')
      context(@Ctx() context: BenUdpContext) {
        return String(context.getSignal());
      }
    }
    const startValidated = (transport: ParityTransport) =>
      start(
        transport,
        { controllers: [Validated] },
        {
          configure: (app) =>
            void app.useGlobalPipes(new ValidationPipe({ transform: true, validateCustomDecorators: true })),
        },
      );
    const hidden = { status: 'error', message: 'Internal server error' };
    behaviour(
      'signal-validated',
      '`@Signal() signal: AbortSignal` with a global `ValidationPipe` that has `transform` and `validateCustomDecorators`',
      {
        tcp: [
          'fails, because the pipe tries to construct an `AbortSignal`',
          async (transport) => {
            const { client } = await startValidated(transport);
            expect(await askInVain(client, 'signal')).toEqual(hidden);
          },
        ],
        benUdp: [
          'fails too; `context.getSignal()` works',
          async (transport) => {
            const { client } = await startValidated(transport);
            expect(await askInVain(client, 'signal')).toEqual(hidden);
            expect(await ask(client, 'context')).toEqual(['[object AbortSignal]']);
          },
        ],
      },
    );
  }

  behaviour('relayed-request', 'A context of another transport to which the request of a board was attached', {
    async both(transport) {
      class Relayed implements CanActivate {
        canActivate(context: ExecutionContext) {
          setBenUdpRequest(context.switchToRpc().getContext<object>(), {
            getDevice: () => 'kitchen',
            getRemoteAddress: () => '10.0.0.7',
            getMetadata: () => ({ trace: 'abc' }),
            getReceivedAt: () => undefined,
            getRawRequest: () => undefined,
            getSignal: () => undefined,
          });
          return true;
        }
      }
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        @UseGuards(Relayed)
        asked(@Device() device: unknown, @RemoteAddress() address: unknown, @RequestMetadata('trace') trace: unknown) {
          return [device, address, trace];
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      const own = [null, '127.0.0.1', null];
      expect(await ask(client, 'asked')).toEqual([transport === TCP ? ['kitchen', '10.0.0.7', 'abc'] : own]);
      expect(transport === BEN_UDP || transport === TCP).toBe(true);
    },
  });
});
