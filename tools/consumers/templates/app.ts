/** What a user writes: a controller with a service behind it, and the transport. The same in every format. */
import { Controller, type INestMicroservice, Injectable, Module } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { BenUdpContext, BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';

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

export const EXPECTED_ANSWER = 'hello Ben on board-01';

/** Starts the app, has a board ask it, and closes both. */
export async function exchange(app: INestMicroservice, transport: BenUdpTransport): Promise<unknown> {
  await app.listen();
  const board = await VirtualBoard.start({ key, port: transport.unwrap().address().port });
  try {
    return await board.send({ action: 'greet', data: { name: 'Ben' } });
  } finally {
    await board.close();
    await app.close();
  }
}
