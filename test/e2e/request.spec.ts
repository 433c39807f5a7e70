/**
 * A controller answers boards over real UDP. Only a round trip can prove that the values of a board reach the handler as documented,
 * through Nest's own layers, and that the result of the handler reaches the board.
 */
import {
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  ParseIntPipe,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { CONTEXT, Ctx, EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { BEN_UDP_TRANSPORT, BenUdpContext } from 'nestjs-ben-udp';
import { NEVER, Observable, Subject, concat, firstValueFrom, map, of, throwError, toArray, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { MovablePlatform } from '../support/movable-platform.js';
import { startApp, unanswered } from '../support/nest-app.js';

describe('a request', () => {
  it('gets the result of the handler: a value, a promise, or the last value of an Observable', async () => {
    @Controller()
    class Handlers {
      @MessagePattern('value')
      value(@Payload() data: unknown) {
        return { got: data };
      }
      @MessagePattern('promise')
      async promise() {
        return [1, 2];
      }
      @MessagePattern('stream')
      stream() {
        return of(1, 2, 3);
      }
      @MessagePattern('empty')
      empty() {
        return of();
      }
      @MessagePattern('nothing')
      nothing() {}
    }
    const { board, logs } = await startApp({ controllers: [Handlers] });
    const device = await board();
    expect(await device.send({ action: 'value', data: 'x' })).toEqual({ got: 'x' });
    expect(await device.send({ action: 'promise' })).toEqual([1, 2]);
    expect(await device.send({ action: 'stream' })).toBe(3);
    expect(await device.send({ action: 'stream' })).toBe(3);
    expect(await device.send({ action: 'empty' })).toBeNull();
    expect(await device.send({ action: 'nothing' })).toBeNull();
    expect(logs.of('warn').filter((line) => line.includes('emitted 3 values'))).toHaveLength(1);
  });

  it('ends a stream that has no end once its device has stopped waiting, and one of an event on close', async () => {
    const running = new Set<string>();
    const endless = (name: string) =>
      new Observable<number>((subscriber) => {
        running.add(name);
        subscriber.next(1);
        return () => running.delete(name);
      });
    @Controller()
    class Handlers {
      @MessagePattern('asked')
      asked() {
        return endless('asked');
      }
      @EventPattern<string>('told')
      told() {
        return endless('told');
      }
    }
    const clock = new MovablePlatform();
    const { app, transport, board } = await startApp(
      { controllers: [Handlers] },
      { shutdownTimeout: 0 },
      undefined,
      clock,
    );
    const device = await board({}, clock);
    await device.send({ action: 'told' }, { noreturn: true });
    const outcome = await unanswered(clock, device.send({ action: 'asked' }), () => running.has('asked'));
    expect(outcome).toMatchObject({ code: 'BEN_TIMEOUT' });
    await expect.poll(() => transport.getStats().outcomes.late).toBe(1);
    expect([...running]).toEqual(['told']);
    await app.close();
    expect([...running]).toEqual([]);
  });

  it('finds its handler by any literal: a string, a number, a dict, None, True', async () => {
    @Controller()
    class Handlers {
      @MessagePattern('a string')
      string() {
        return 'string';
      }
      @MessagePattern(7)
      number() {
        return 'number';
      }
      @MessagePattern({ cmd: 'sum', version: 2 })
      dict() {
        return 'dict';
      }
      @MessagePattern(null as never)
      none() {
        return 'none';
      }
      @MessagePattern(true as never)
      bool() {
        return 'bool';
      }
      @MessagePattern({})
      empty() {
        return 'empty';
      }
    }
    const { board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    expect(await device.send({ action: 'a string' })).toBe('string');
    expect(await device.send({ action: 7 })).toBe('number');
    expect(await device.send({ action: '7' })).toBe('number');
    expect(await device.send({ action: { version: 2, cmd: 'sum' } })).toBe('dict');
    expect(await device.send({ action: '{"cmd": "sum", "version": 2}' })).toBe('dict');
    expect(await device.send({ action: null })).toBe('none');
    expect(await device.send({ action: true })).toBe('bool');
    expect(await device.send({ action: {} })).toBe('empty');
    for (const action of [
      false,
      [],
      [1],
      { cmd: 'sum' },
      Buffer.from('x'),
      Buffer.alloc(0),
      2n ** 70n,
      new Map([[1, 2]]),
      new Set([1]),
      new Set(),
    ]) {
      expect(await device.send({ action })).toBeNull();
    }
  });

  it('calls the handler with undefined if the device sent no data, and with null for None', async () => {
    const seen: unknown[] = [];
    @Controller()
    class Handlers {
      @MessagePattern('see')
      see(@Payload() data: unknown) {
        seen.push(data);
      }
    }
    const { board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    await device.send({ action: 'see' });
    await device.send({ action: 'see', data: null });
    expect(seen).toEqual([undefined, null]);
  });

  it('passes guards, pipes, interceptors, parameter decorators, request scope and filters', async () => {
    @Injectable()
    class OnlyKitchen implements CanActivate {
      canActivate(context: ExecutionContext) {
        const ctx = context.switchToRpc().getContext<BenUdpContext>();
        return context.getType() === 'rpc' && ctx.getDevice() === 'kitchen';
      }
    }
    @Injectable()
    class Shout implements NestInterceptor {
      intercept(_context: ExecutionContext, next: CallHandler) {
        return next.handle().pipe(map((value: string) => value.toUpperCase()));
      }
    }
    @Catch(RangeError)
    class TellRange {
      catch(error: RangeError, _host: ArgumentsHost) {
        return throwError(() => ({ status: 'range', message: error.message }));
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {
      static made = 0;
      readonly number = ++PerRequest.made;
      constructor(@Inject(CONTEXT) readonly request: { context: BenUdpContext; data: unknown }) {}
    }
    @Controller()
    class Handlers {
      @UseGuards(OnlyKitchen)
      @UseInterceptors(Shout)
      @MessagePattern('guarded')
      guarded(@Payload('name') name: string, @Ctx() ctx: BenUdpContext) {
        return `${name} from ${ctx.getDevice()}`;
      }
      @MessagePattern('int')
      int(@Payload(ParseIntPipe) value: number) {
        return value + 1;
      }
      @UseFilters(TellRange)
      @MessagePattern('range')
      range() {
        throw new RangeError('out of range');
      }
    }
    @Controller()
    class Scoped {
      constructor(private readonly perRequest: PerRequest) {}
      @MessagePattern('scoped')
      scoped() {
        return [this.perRequest.number, this.perRequest.request.context.getPattern()];
      }
    }
    const keys = { kitchen: Buffer.alloc(32, 1), cellar: Buffer.alloc(32, 2) };
    const { board } = await startApp(
      { controllers: [Handlers, Scoped], providers: [PerRequest, OnlyKitchen, Shout] },
      { key: undefined as never, keys },
    );
    const kitchen = await board({ key: keys.kitchen });
    const cellar = await board({ key: keys.cellar });
    expect(await kitchen.send({ action: 'guarded', data: { name: 'esp' } })).toBe('ESP FROM KITCHEN');
    expect(JSON.parse((await cellar.exchange("{'action': 'guarded'}"))!)).toEqual({
      data: null,
      error: { status: 'error', message: 'Forbidden resource' },
    });
    expect(await kitchen.send({ action: 'int', data: '41' })).toBe(42);
    expect(JSON.parse((await kitchen.exchange("{'action': 'range'}"))!)).toMatchObject({
      error: { status: 'range', message: 'out of range' },
    });
    expect(await kitchen.send({ action: 'scoped' })).toEqual([1, 'scoped']);
    expect(await kitchen.send({ action: 'scoped' })).toEqual([2, 'scoped']);
  });

  it('reaches a handler that names this transport, and none that names another', async () => {
    @Controller()
    class Handlers {
      @MessagePattern('ours', BEN_UDP_TRANSPORT)
      ours() {
        return 'ours';
      }
      @MessagePattern('theirs', Symbol('another'))
      theirs() {
        return 'theirs';
      }
    }
    const { board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    expect(await device.send({ action: 'ours' })).toBe('ours');
    expect(await device.send({ action: 'theirs' })).toBeNull();
  });

  it('waits for no other: a thousand slow handlers run at once', async () => {
    const started = new Subject<void>();
    const go = firstValueFrom(started.pipe(take(1000), toArray()));
    @Controller()
    class Handlers {
      @MessagePattern('meet')
      async meet(@Payload() data: number) {
        started.next();
        // Nobody is answered before all have been asked.
        await go;
        return data;
      }
    }
    // Server and boards share this process, which is busy for a while: hellos that wait are not to be taken for stale ones.
    const { board } = await startApp({ controllers: [Handlers] }, { timeout: 60_000 });
    const boards = await Promise.all(
      Array.from({ length: 1000 }, (_, index) =>
        board({ localAddress: `127.1.${index >> 8}.${index & 255}`, timeout: 60_000 }),
      ),
    );
    const answers = await Promise.all(boards.map((device, index) => device.send({ action: 'meet', data: index })));
    expect(answers).toEqual(boards.map((_, index) => index));
  });
});

describe('the context', () => {
  it('knows pattern, peer, device, whether it waits, when it came, and the raw request', async () => {
    const contexts: BenUdpContext[] = [];
    @Controller()
    class Handlers {
      @MessagePattern({ cmd: 'see' })
      see(@Ctx() ctx: BenUdpContext) {
        contexts.push(ctx);
      }
    }
    const { board } = await startApp(
      { controllers: [Handlers] },
      { key: undefined as never, keys: { hall: Buffer.alloc(32, 3) } },
    );
    const device = await board({ key: Buffer.alloc(32, 3), localAddress: '127.0.0.9' });
    // The server takes its monotonic clock from the wall clock, which drops the fraction of a millisecond.
    const before = Date.now() - 1;
    await device.exchange("{'data': (1,), 'action': {'cmd': 'see'}}");
    const [ctx] = contexts;
    expect(ctx).toBeInstanceOf(BenUdpContext);
    expect(ctx!.getPattern()).toBe('{"cmd":"see"}');
    expect(ctx!.getDevice()).toBe('hall');
    expect([ctx!.getRemoteAddress(), ctx!.getRemotePort(), ctx!.getRemoteFamily()]).toEqual([
      '127.0.0.9',
      device.address.port,
      'IPv4',
    ]);
    expect(ctx!.isReplyExpected()).toBe(true);
    expect(ctx!.getReceivedAt().getTime()).toBeGreaterThanOrEqual(before);
    expect(ctx!.getReceivedAt().getTime()).toBeLessThanOrEqual(Date.now());
    expect(ctx!.getRawRequest()).toBe("{'data': (1,), 'action': {'cmd': 'see'}}");
  });
});

describe('noreturn', () => {
  it('finds its event handlers wherever among the message handlers of the pattern they were added', async () => {
    const seen: string[] = [];
    @Controller()
    class First {
      @MessagePattern('both')
      ask() {
        return 'first';
      }
    }
    @Controller()
    class Second {
      @EventPattern<string>('both')
      told() {
        seen.push('event');
      }
    }
    @Controller()
    class Third {
      @MessagePattern('both')
      ask() {
        return 'third';
      }
    }
    const { board } = await startApp({ controllers: [First, Second, Third] });
    const device = await board();
    expect(await device.send({ action: 'both' })).toBe('third');
    await device.send({ action: 'both' }, { noreturn: true });
    await expect.poll(() => seen).toEqual(['event']);
  });

  it('runs every event handler of the pattern, for any return value', async () => {
    const seen = new Subject<string>();
    const two = firstValueFrom(seen.pipe(take(2), toArray()));
    @Controller()
    class First {
      @EventPattern<string>('reading')
      reading(@Payload() data: string) {
        seen.next(`first ${data}`);
        return concat(of(1), NEVER);
      }
    }
    @Controller()
    class Second {
      @EventPattern<string>('reading')
      reading(@Payload() data: string, @Ctx() ctx: BenUdpContext) {
        seen.next(`second ${data} ${ctx.isReplyExpected()}`);
      }
    }
    const { board } = await startApp({ controllers: [First, Second] }, { shutdownTimeout: 0 });
    const device = await board();
    expect(await device.send({ action: 'reading', data: 'x' }, { noreturn: true })).toEqual({});
    expect((await two).toSorted()).toEqual(['first x', 'second x false']);
  });

  it('runs a message handler too, and nothing is sent back', async () => {
    const seen = new Subject<unknown>();
    const one = firstValueFrom(seen);
    @Controller()
    class Handlers {
      @MessagePattern('reading')
      reading(@Payload() data: unknown) {
        seen.next(data);
        return 'dropped';
      }
      @MessagePattern('echo')
      echo(@Payload() data: unknown) {
        return data;
      }
    }
    const { board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    await device.send({ action: 'reading', data: 5 }, { noreturn: true });
    expect(await one).toBe(5);
    // A reply to the first would have come before this one and spoilt it.
    expect(await device.send({ action: 'echo', data: 6 })).toBe(6);
    expect(device.leftovers).toBe(0);
  });

  it.each(['event first', 'message first'])('prefers the event handler if the pattern has both, %s', async (order) => {
    const seen: string[] = [];
    @Controller()
    class Events {
      @EventPattern<string>('both')
      event() {
        seen.push('event');
      }
    }
    @Controller()
    class Messages {
      @MessagePattern('both')
      message() {
        seen.push('message');
        return 'answer';
      }
    }
    const controllers = order === 'event first' ? [Events, Messages] : [Messages, Events];
    const { board } = await startApp({ controllers });
    const device = await board();
    await device.send({ action: 'both' }, { noreturn: true });
    expect(await device.send({ action: 'both' })).toBe('answer');
    expect(seen).toEqual(['event', 'message']);
  });

  it('of an event handler whose device waits answers None once the handlers have run', async () => {
    const seen: string[] = [];
    @Controller()
    class Handlers {
      @EventPattern<string>('reading')
      async reading() {
        await Promise.resolve();
        seen.push('ran');
        return { secret: 'row' };
      }
    }
    const { board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    expect(await device.send({ action: 'reading' })).toBeNull();
    expect(seen).toEqual(['ran']);
  });

  it('logs a failure once, by Nest or by the transport', async () => {
    @Controller()
    class Handlers {
      @EventPattern<string>('hidden')
      hidden() {
        throw new Error('hidden failure');
      }
      @EventPattern<string>('rpc')
      rpc() {
        throw new RpcException('rpc failure');
      }
      @MessagePattern('message')
      message() {
        throw new RpcException('message failure');
      }
      @MessagePattern('done')
      done() {}
    }
    const { board, logs } = await startApp({ controllers: [Handlers] });
    const device = await board();
    for (const action of ['hidden', 'rpc', 'message']) {
      await device.send({ action }, { noreturn: true });
    }
    await device.send({ action: 'done' });
    for (const failure of ['hidden failure', 'rpc failure', 'message failure']) {
      expect(logs.of('error').filter((line) => line.includes(failure))).toHaveLength(1);
    }
  });
});
