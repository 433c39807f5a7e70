/**
 * The parts of the app that exist while the transport drains. Nest runs `onModuleDestroy`, then `beforeApplicationShutdown`, then closes
 * the transport, which awaits its handlers, then runs `onApplicationShutdown`. A database that `onModuleDestroy` closes is gone too early.
 */
import 'reflect-metadata';
import { Controller, Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, type MicroserviceOptions } from '@nestjs/microservices';
import { BEN_UDP_TRANSPORT, BenUdpModule, BenUdpTransport } from 'nestjs-ben-udp';
import { describe, expect, it } from 'vitest';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, startBoard, unanswered } from '../support/nest-app.js';

/** A promise, and the function that resolves it. */
function gate(): { readonly opened: Promise<void>; open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

const server = { host: '127.0.0.1', port: 0, key: KEY_CONTENTS };

describe.each([
  ['hybrid app', ['onModuleDestroy', 'beforeApplicationShutdown', 'handler ended', 'onApplicationShutdown']],
  // With a signal it is as in a hybrid app.
  ['microservice', ['handler ended', 'onModuleDestroy', 'beforeApplicationShutdown', 'onApplicationShutdown']],
])('closing a %s while a handler runs', (kind, expected) => {
  it(`has this order: ${expected.join(', ')}`, async () => {
    const entered = gate();
    const order: string[] = [];
    @Injectable()
    class Database {
      onModuleDestroy() {
        order.push('onModuleDestroy');
      }
      beforeApplicationShutdown() {
        order.push('beforeApplicationShutdown');
      }
      onApplicationShutdown() {
        order.push('onApplicationShutdown');
      }
    }
    @Controller()
    class Slow {
      @MessagePattern('slow')
      async slow() {
        entered.open();
        // Turns of the loop, in which the other hooks run if they do not wait.
        for (let turn = 0; turn < 20; turn++) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        order.push('handler ended');
        return 'done';
      }
    }
    @Module({ controllers: [Slow], providers: [Database] })
    class App {}
    const strategy = new BenUdpTransport(server);
    const app =
      kind === 'microservice'
        ? await NestFactory.createMicroservice<MicroserviceOptions>(App, { strategy, logger: false })
        : await NestFactory.create(App, { logger: false });
    if ('connectMicroservice' in app) {
      app.connectMicroservice<MicroserviceOptions>({ strategy });
      await app.startAllMicroservices();
      await app.init();
    } else {
      await app.listen();
    }
    const board = await startBoard(strategy.unwrap().address().port);
    const answer = board.send({ action: 'slow' });
    await entered.opened;
    await app.close();
    expect(await answer).toBe('done');
    expect(order).toEqual(expected);
  });
});

describe('BenUdpModule', () => {
  it('answers no hello from its onModuleDestroy on, though other hooks are still to run', async () => {
    const heard: unknown[] = [];
    @Injectable()
    class Late {
      constructor(@Inject(BEN_UDP_TRANSPORT) private readonly transport: BenUdpTransport) {}

      /** Runs after every onModuleDestroy, and before Nest closes the transport. */
      async beforeApplicationShutdown() {
        const clock = new MovablePlatform();
        const board = await startBoard(this.transport.unwrap().address().port, {}, clock);
        const isRejected = () => this.transport.getStats().rejected.closing === 1;
        heard.push(await unanswered(clock, board.send({ action: 'any' }), isRejected));
      }
    }
    @Module({ imports: [BenUdpModule.forRoot(server)], providers: [Late] })
    class App {}
    const app = await NestFactory.create(App, { logger: false });
    app.connectMicroservice<MicroserviceOptions>({ strategy: app.get(BenUdpTransport) });
    await app.startAllMicroservices();
    await app.init();
    await app.close();
    expect(heard).toMatchObject([{ code: 'BEN_TIMEOUT' }]);
  });
});
