/** What a user writes: a controller with a service behind it, the transport, and a client. The same in every format. */
import { Controller, type INestMicroservice, Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxy, ClientsModule, Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { BenUdpClient, type BenUdpClientOptions, BenUdpContext, BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { firstValueFrom } from 'rxjs';

const key = Buffer.alloc(32, 'consumers');

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

@Module({ controllers: [GreetingController], providers: [Greetings] })
export class AppModule {}

/** Listens on any free port. */
export function createTransport(): BenUdpTransport {
  return new BenUdpTransport({ host: '127.0.0.1', port: 0, keys: { 'board-01': key } });
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

export const EXPECTED_ANSWERS = ['hello Ben on board-01', 'hello Nest on board-01'];

/** Starts the app, has a board and a client ask it, and closes all. */
export async function exchange(app: INestMicroservice, transport: BenUdpTransport): Promise<unknown[]> {
  await app.listen();
  const { port } = transport.unwrap().address();
  const board = await VirtualBoard.start({ key, port });
  try {
    return [await board.send({ action: 'greet', data: { name: 'Ben' } }), await askByClient(port)];
  } finally {
    await board.close();
    await app.close();
  }
}
