/** The app of a user: a controller with a service behind it, the transport, and a client. The same in every format. */
import { Controller, type INestMicroservice, Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxy, ClientsModule, Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import {
  AllowDevices,
  type BenUdpActions,
  BenUdpClient,
  type BenUdpClientOptions,
  BenUdpContext,
  type BenUdpData,
  BenUdpEventPattern,
  BenUdpMessagePattern,
  BenUdpTransport,
  Device,
  ReceivedAt,
  Signal,
} from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { firstValueFrom } from 'rxjs';

const key = Buffer.alloc(32, 'consumers');
const otherKey = Buffer.alloc(32, 'others');

interface Reading {
  readonly temperature: number;
}

declare module 'nestjs-ben-udp' {
  interface BenUdpActions {
    greet: { data: { name: string }; reply: string };
    temperature: { data: void; reply: { celsius: number } };
    led: { data: boolean; reply: string };
    dhtsensor: { data: Reading };
  }
}

@Injectable()
class Greetings {
  for(name: string): string {
    return `hello ${name}`;
  }
}

@Controller()
class GreetingController {
  constructor(private readonly greetings: Greetings) {}

  @MessagePattern('greet')
  greet(@Payload('name') name: string, @Ctx() context: BenUdpContext): string {
    return `${this.greetings.for(name)} on ${context.getDevice() ?? 'a device without a name'}`;
  }
}

@Controller()
@AllowDevices()
class RoomController {
  readonly reports: string[] = [];

  @BenUdpMessagePattern('temperature')
  temperature(@Device() device: string): { celsius: number } {
    return { celsius: device.length };
  }

  @BenUdpMessagePattern('led')
  @AllowDevices('board-01')
  led(@Payload() on: BenUdpData<'led'>, @Signal() signal: AbortSignal): string {
    return `${on ? 'on' : 'off'}, ${signal.aborted ? 'too late' : 'in time'}`;
  }

  @BenUdpEventPattern('dhtsensor')
  report(@Device() device: string, @Payload() reading: Reading, @ReceivedAt() at: Date): void {
    this.reports.push(`${device}: ${reading.temperature} °C, ${at.getTime() > 0}`);
  }
}

@Module({ controllers: [GreetingController, RoomController], providers: [Greetings] })
export class AppModule {}

/** Listens on any free port. */
export function createTransport(): BenUdpTransport {
  return new BenUdpTransport({ host: '127.0.0.1', port: 0, keys: { 'board-01': key, 'board-02': otherKey } });
}

@Injectable()
class Asker {
  constructor(@Inject('BOARDS') private readonly client: ClientProxy) {}

  ask(name: string): Promise<string> {
    return firstValueFrom(this.client.send<string>('greet', { name }));
  }
}

/** Asks by a client of Nest's module, in an app of its own that closes it. */
async function askByClient(port: number): Promise<string> {
  @Module({
    imports: [
      ClientsModule.registerAsync([
        {
          name: 'BOARDS',
          useFactory: async () => {
            const options: BenUdpClientOptions = { key, port };
            return { customClass: BenUdpClient, options };
          },
        },
      ]),
    ],
    providers: [Asker],
  })
  class AskerModule {}

  const app = await NestFactory.createApplicationContext(AskerModule, { logger: ['error', 'warn'] });
  try {
    return await app.get(Asker).ask('Nest');
  } finally {
    await app.close();
  }
}

/** The replies of a controller with the decorators of this package, and the report that the controller got. */
async function askWithDecorators(app: INestMicroservice, transport: BenUdpTransport): Promise<unknown[]> {
  const { port } = transport.unwrap().address();
  const board = await VirtualBoard.start<BenUdpActions>({ key, port });
  const other = await VirtualBoard.start<BenUdpActions>({ key: otherKey, port });
  try {
    const { celsius } = await board.send({ action: 'temperature' });
    const led = await board.send({ action: 'led', data: true });
    const refused = await other.send({ action: 'led', data: true });
    const ended = transport.once('exchange');
    await board.send({ action: 'dhtsensor', data: { temperature: 21.5 } }, { noreturn: true });
    await ended;
    return [celsius, led, refused, ...app.get(RoomController).reports];
  } finally {
    await Promise.all([board.close(), other.close()]);
  }
}

export const EXPECTED_ANSWERS = [
  'hello Ben on board-01',
  'hello Nest on board-01',
  8,
  'on, in time',
  null,
  'board-01: 21.5 °C, true',
];

/** Starts the app, has a board and a client ask it, and closes all. */
export async function exchange(app: INestMicroservice, transport: BenUdpTransport): Promise<unknown[]> {
  await app.listen();
  const { port } = transport.unwrap().address();
  const board = await VirtualBoard.start({ key, port });
  try {
    return [
      await board.send({ action: 'greet', data: { name: 'Ben' } }),
      await askByClient(port),
      ...(await askWithDecorators(app, transport)),
    ];
  } finally {
    await board.close();
    await app.close();
  }
}
