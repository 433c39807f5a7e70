/** Options that come from other providers, which Nest itself does not await for a custom strategy. */
import 'reflect-metadata';
import { Controller, Inject, Injectable, Module } from '@nestjs/common';
import { ClientsModule, MessagePattern, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  BEN_UDP_TRANSPORT,
  BenUdpClient,
  type BenUdpClientOptions,
  BenUdpModule,
  BenUdpTransport,
} from 'nestjs-ben-udp';
import { firstValueFrom } from 'rxjs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { KEY_CONTENTS, LogRecorder, startApp, startBoard } from '../support/nest-app.js';

@Injectable()
class ConfigService {
  async load() {
    return { host: '127.0.0.1', port: 0, key: KEY_CONTENTS };
  }
}

@Module({ providers: [ConfigService], exports: [ConfigService] })
class ConfigModule {}

@Controller()
class Handlers {
  constructor(@Inject(BenUdpTransport) private readonly transport: BenUdpTransport) {}
  @MessagePattern('requests')
  requests(@Payload() _data: unknown) {
    return this.transport.getStats().requests;
  }
}

@Controller()
class Echo {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }
}

const asyncModule = BenUdpModule.forRootAsync({
  imports: [ConfigModule],
  inject: [ConfigService],
  useFactory: (config: ConfigService) => config.load(),
});

describe('BenUdpModule', () => {
  it('warns 10 s after the bootstrap of an app that never connected the transport', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const logs = new LogRecorder();
    const module = await Test.createTestingModule({ imports: [asyncModule] })
      .setLogger(logs)
      .compile();
    const app = module.createNestApplication();
    await app.init();
    onTestFinished(() => app.close());
    vi.advanceTimersByTime(9999);
    expect(logs.of('warn')).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(logs.of('warn')).toEqual([expect.stringContaining('The transport does not listen')]);
  });

  it('provides a microservice with a transport whose options were awaited', async () => {
    const module = await Test.createTestingModule({ imports: [asyncModule], controllers: [Handlers] })
      .setLogger(new LogRecorder())
      .compile();
    const app = module.createNestMicroservice({ strategy: module.get(BenUdpTransport), logger: false });
    await app.listen();
    onTestFinished(() => app.close());
    const board = await startBoard(module.get(BenUdpTransport).unwrap().address().port);
    expect(await board.send({ action: 'requests' })).toBe(1);
  });

  it('provides NestFactory with one too, by its own useFactory', async () => {
    @Module({ imports: [asyncModule], controllers: [Handlers] })
    class AppModule {}
    const { NestFactory } = await import('@nestjs/core');
    const app = await NestFactory.createMicroservice(AppModule, {
      inject: [BenUdpTransport],
      useFactory: (strategy: BenUdpTransport) => ({ strategy }),
      logger: false,
    });
    await app.listen();
    onTestFinished(() => app.close());
    const board = await startBoard(app.get(BenUdpTransport).unwrap().address().port);
    expect(await board.send({ action: 'requests' })).toBe(1);
  });

  it('passes plain options on, and every module can inject the transport if it is global', async () => {
    const options = { host: '127.0.0.1', port: 0, key: KEY_CONTENTS };
    @Module({ controllers: [Handlers] })
    class Elsewhere {}
    const imports = [BenUdpModule.forRootAsync({ useFactory: () => options, isGlobal: true }), Elsewhere];
    const module = await Test.createTestingModule({ imports }).compile();
    expect(module.get(Handlers, { strict: false })).toBeInstanceOf(Handlers);
    const plain = await Test.createTestingModule({ imports: [BenUdpModule.forRoot(options)] }).compile();
    expect(plain.get(BenUdpTransport)).toBeInstanceOf(BenUdpTransport);
    expect(plain.get(BEN_UDP_TRANSPORT)).toBe(plain.get(BenUdpTransport));
  });

  it('fails to compile if an option is wrong, and names the option', async () => {
    const module = BenUdpModule.forRootAsync({ useFactory: async () => ({ port: -1 }) });
    await expect(Test.createTestingModule({ imports: [module] }).compile()).rejects.toThrow('option "port"');
  });
});

describe('ClientsModule.registerAsync', () => {
  const clientOf = (load: (config: ConfigService) => Promise<BenUdpClientOptions>) =>
    ClientsModule.registerAsync([
      {
        name: 'SERVER',
        imports: [ConfigModule],
        inject: [ConfigService],
        useFactory: async (config: ConfigService) => ({ customClass: BenUdpClient, options: await load(config) }),
      },
    ]);

  it('provides a client whose options were awaited, and closes it with the app', async () => {
    const { port } = await startApp({ controllers: [Echo] });
    const client = clientOf(async (config) => ({ port, key: (await config.load()).key }));
    const app = await Test.createTestingModule({ imports: [client] }).compile();
    const proxy = app.get<BenUdpClient>('SERVER');
    expect(await firstValueFrom(proxy.send('echo', 'hello'))).toBe('hello');
    await app.close();
    expect(() => proxy.getStats()).toThrow('Not initialized');
  });

  it('fails to compile if an option is wrong, and names the option', async () => {
    const client = clientOf(async () => ({ retries: -1 }));
    await expect(Test.createTestingModule({ imports: [client] }).compile()).rejects.toThrow('option "retries"');
  });
});
