/** Transport and client behind a Proxy, as Nest's `instrument.instanceDecorator` and mocks make it. */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxy, ClientsModule } from '@nestjs/microservices';
import { BEN_UDP_TRANSPORT, BenUdpClient, BenUdpModule, BenUdpTransport } from 'nestjs-ben-udp';
import { firstValueFrom } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Echo } from '../support/echo.controller.js';
import { KEY_CONTENTS, startBoard } from '../support/nest-app.js';

const proxied = <Instance extends object>(instance: Instance): Instance => new Proxy(instance, {});
const server = { host: '127.0.0.1', port: 0, key: KEY_CONTENTS };

@Module({ controllers: [Echo] })
class EchoModule {}

describe('behind a Proxy', () => {
  it('a transport serves, pings, reloads keys, reports and closes', async () => {
    const strategy = proxied(new BenUdpTransport(server));
    const app = await NestFactory.createMicroservice(EchoModule, { strategy, logger: false });
    await app.listen();
    const board = await startBoard(strategy.unwrap().address().port);
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
    expect(await strategy.ping({ timeout: 60_000 })).toBeGreaterThan(0);
    await strategy.reloadKeys();
    expect(strategy.getStats().requests).toBe(2);
    expect(strategy.getDevices()).toHaveLength(1);
    await app.close();
    expect(() => strategy.getStats()).toThrow('Not listening');
  });

  it('a client asks, reports and closes', async () => {
    const app = await NestFactory.createMicroservice(EchoModule, {
      strategy: new BenUdpTransport(server),
      logger: false,
    });
    await app.listen();
    onTestFinished(() => app.close());
    const { port } = app.unwrap<{ address(): { port: number } }>().address();
    const client = proxied(new BenUdpClient({ port, key: KEY_CONTENTS }));
    expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
    expect(client.getStats().requests).toBe(1);
    await client.close();
  });

  it('an app whose instances Nest decorates works', async () => {
    @Module({
      imports: [
        BenUdpModule.forRoot(server),
        ClientsModule.registerAsync([
          {
            name: 'BOARDS',
            useFactory: () => ({ customClass: BenUdpClient, options: { port: 1, key: KEY_CONTENTS } }),
          },
        ]),
        EchoModule,
      ],
    })
    class App {}
    const app = await NestFactory.create(App, {
      logger: false,
      instrument: { instanceDecorator: (instance) => (isObject(instance) ? proxied(instance) : instance) },
    });
    const strategy = app.get<BenUdpTransport>(BEN_UDP_TRANSPORT);
    app.connectMicroservice({ strategy });
    await app.startAllMicroservices();
    onTestFinished(() => app.close());
    const board = await startBoard(strategy.unwrap().address().port);
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
    expect(app.get<ClientProxy>('BOARDS')).toBeInstanceOf(BenUdpClient);
  });
});

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
