/** @nestjs/throttler with `getBenUdpTracker`: devices are told apart by their key, not by where they are. */
import { Controller, type ModuleMetadata, UseGuards } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { type BenUdpKeyOptions, getBenUdpTracker } from 'nestjs-ben-udp';
import { describe, expect, it } from 'vitest';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';

const HALL_KEY = Buffer.alloc(32, 'h');
const ATTIC_KEY = Buffer.alloc(32, 'a');
const LIMIT = 2;

@Controller()
@UseGuards(ThrottlerGuard)
class Handlers {
  static noted = 0;

  @MessagePattern('echo')
  echo() {
    return 'hello';
  }

  @EventPattern('note')
  note(_data: unknown) {
    Handlers.noted++;
  }
}

const NAMED: BenUdpKeyOptions = { key: [], keys: { hall: HALL_KEY, attic: ATTIC_KEY } };

const start = (metadata: ModuleMetadata = {}, keys = NAMED) =>
  startApp(
    {
      imports: [ThrottlerModule.forRoot({ throttlers: [{ limit: LIMIT, ttl: 60_000 }], getTracker: getBenUdpTracker })],
      controllers: [Handlers],
      ...metadata,
    },
    keys,
  );

describe('getBenUdpTracker', () => {
  it('counts the requests of each device by itself', async () => {
    const { board } = await start();
    const [hall, attic] = [await board({ key: HALL_KEY }), await board({ key: ATTIC_KEY })];
    const ask = (device: typeof hall) => device.send({ action: 'echo' });
    expect([await ask(hall), await ask(hall), await ask(hall)]).toEqual(['hello', 'hello', null]);
    expect(await ask(attic)).toBe('hello');
  });

  it('knows a device by its key at any address and port', async () => {
    const { board } = await start();
    const answers = [];
    for (const localAddress of ['127.0.0.1', '127.0.0.2', '127.0.0.3']) {
      answers.push(await (await board({ key: HALL_KEY, localAddress })).send({ action: 'echo' }));
    }
    expect(answers).toEqual(['hello', 'hello', null]);
  });

  it('goes by the address if a key has no name', async () => {
    const { board } = await start({}, { key: KEY_CONTENTS });
    const answers = [];
    for (const localAddress of ['127.0.0.1', '127.0.0.1', '127.0.0.1', '127.0.0.2']) {
      answers.push(await (await board({ key: KEY_CONTENTS, localAddress })).send({ action: 'echo' }));
    }
    expect(answers).toEqual(['hello', 'hello', null, 'hello']);
  });

  it('works for events', async () => {
    const { board, transport } = await start();
    Handlers.noted = 0;
    const hall = await board({ key: HALL_KEY });
    for (let number = 0; number < LIMIT + 1; number++) {
      await hall.send({ action: 'note' }, { noreturn: true });
    }
    await expect.poll(() => transport.getStats().outcomes).toMatchObject({ event: LIMIT, 'event-failed': 1 });
    expect(Handlers.noted).toBe(LIMIT);
  });

  it('works for a guard of the whole app', async () => {
    @Controller()
    class Unguarded {
      @MessagePattern('echo')
      echo() {
        return 'hello';
      }
    }
    const { board } = await start({
      controllers: [Unguarded],
      providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
    });
    const hall = await board({ key: HALL_KEY });
    const ask = () => hall.send({ action: 'echo' });
    expect([await ask(), await ask(), await ask()]).toEqual(['hello', 'hello', null]);
  });
});
