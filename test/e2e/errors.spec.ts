/**
 * The reply to a board, and the log, if a request fails. The claim is about datagrams: exactly one reply, none for noreturn, none that a
 * board's buffer would cut off.
 */
import { Controller, ValidationPipe } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { IsNumber } from 'class-validator';
import { NEVER, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, startApp, unanswered } from '../support/nest-app.js';

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }
  @MessagePattern('rpc')
  rpc() {
    throw new RpcException('no such sensor');
  }
  @MessagePattern('rpc-object')
  rpcObject() {
    throw new RpcException({ code: 404, message: 'no such sensor' });
  }
  @MessagePattern('stream')
  stream() {
    return throwError(() => new RpcException('from a stream'));
  }
  @MessagePattern('bug')
  bug() {
    throw new Error('connection string postgres://secret');
  }
  @MessagePattern('circle')
  circle() {
    const circle: Record<string, unknown> = {};
    return (circle['self'] = circle);
  }
  @MessagePattern('trap')
  trap() {
    return {
      toJSON() {
        throw new Error('secret of toJSON');
      },
    };
  }
  @MessagePattern('large')
  large(@Payload() length: number) {
    return 'x'.repeat(length);
  }
  @MessagePattern('large-error')
  largeError() {
    throw new RpcException('x'.repeat(5000));
  }
}

const reply = async (exchange: Promise<string | undefined>) => JSON.parse((await exchange) ?? 'null') as unknown;

describe('an error', () => {
  it.each([
    ['rpc', { status: 'error', message: 'no such sensor' }],
    ['rpc-object', { code: 404, message: 'no such sensor' }],
    ['stream', { status: 'error', message: 'from a stream' }],
    ['bug', { status: 'error', message: 'Internal server error' }],
    ['nobody', { status: 'error', message: 'There is no matching message handler defined in the remote service.' }],
    ['trap', { status: 'error', message: 'Internal server error' }],
    ['large-error', { status: 'error', message: expect.stringContaining('the reply') }],
    ['circle', { status: 'error', message: expect.stringContaining('contains itself') }],
  ])('of %s reaches the device as {"data": null, "error": …}', async (action, error) => {
    const { board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    expect(await reply(device.exchange(`{'action': '${action}'}`))).toEqual({ data: null, error });
    expect(await device.send({ action })).toBeNull();
    expect(await device.send({ action: 'echo', data: 'still fine' })).toBe('still fine');
    expect(device.leftovers).toBe(0);
  });

  it('as text reaches an unmodified device as a str', async () => {
    const { board } = await startApp({ controllers: [Handlers] }, { errorReply: 'text' });
    expect(await (await board()).send({ action: 'rpc' })).toBe(
      '{"error":{"status":"error","message":"no such sensor"}}',
    );
  });

  it('as none is silence: the device times out, as with upstream', async () => {
    const { board, transport } = await startApp({ controllers: [Handlers] }, { errorReply: 'none' });
    const clock = new MovablePlatform();
    const device = await board({}, clock);
    for (const [index, action] of ['rpc', 'circle'].entries()) {
      const isSilent = () => transport.getStats().outcomes['error-silent'] === index + 1;
      expect(await unanswered(clock, device.send({ action }), isSilent)).toMatchObject({ code: 'BEN_TIMEOUT' });
    }
    expect(await device.send({ action: 'echo', data: 1 })).toBe(1);
  });

  it('is logged by the action it belongs to, on one line for any action', async () => {
    const { board, logs } = await startApp({ controllers: [Handlers] });
    const device = await board();
    await device.send({ action: 'circle' });
    await device.send({ action: `no\nsuch\u2028\x9b31m\u202e${'x'.repeat(500)}` });
    expect(logs.of('error').find((line) => line.includes('"circle"'))).toContain("can't be sent");
    const unknown = logs.of('error').find((line) => line.includes('no matching message handler'))!;
    expect(unknown).toContain('"no\\nsuch\\u2028\\u009b31m\\u202exxx');
    expect(unknown.length).toBeLessThan(250);
  });

  it('of an action that nobody handles is logged once in a while, however often a device asks for it', async () => {
    const { app, board, logs } = await startApp({ controllers: [Handlers] });
    const device = await board();
    for (let count = 0; count < 20; count++) {
      await device.send({ action: 'nobody' });
    }
    await app.close();
    const lines = logs.of('error').filter((line) => line.includes('no matching message handler'));
    expect(lines).toEqual([expect.stringContaining('"nobody"'), expect.stringContaining('the last of 19')]);
  });
});

describe('a reply', () => {
  it('of exactly bufferSize reaches the device, one byte more becomes an error', async () => {
    const { board } = await startApp({ controllers: [Handlers] }, { bufferSize: 512 });
    const device = await board({ bufferSize: 512 });
    // {"data":"…"} and at least one space: 500 + 11 + 1 = 512.
    expect(await device.send({ action: 'large', data: 500 })).toHaveLength(500);
    expect(await reply(device.exchange("{'action': 'large', 'data': 501}"))).toMatchObject({
      data: null,
      error: { message: expect.stringContaining('528 bytes') },
    });
  });

  it('of an error fits the least bufferSize there is', async () => {
    const { board } = await startApp({ controllers: [Handlers] }, { bufferSize: 256 });
    const device = await board({ bufferSize: 256 });
    expect(await reply(device.exchange("{'action': 'large', 'data': 256}"))).toMatchObject({ data: null });
  });

  it('that comes too late is not sent: the device has given up, and a late datagram would spoil its next exchange', async () => {
    const asked: string[] = [];
    let finish = (): void => undefined;
    @Controller()
    class Slow {
      @MessagePattern('slow')
      slow() {
        asked.push('slow');
        return new Promise<string>((resolve) => {
          finish = () => resolve('late');
        });
      }
      @MessagePattern('never')
      never() {
        asked.push('never');
        return NEVER;
      }
      @MessagePattern('echo')
      echo(@Payload() data: unknown) {
        return data;
      }
    }
    const clock = new MovablePlatform();
    const { board, logs } = await startApp({ controllers: [Slow] }, { shutdownTimeout: 0 }, undefined, clock);
    const device = await board({}, clock);
    const askInVain = (action: string) => unanswered(clock, device.send({ action }), () => asked.includes(action));
    expect(await askInVain('slow')).toMatchObject({ code: 'BEN_TIMEOUT' });
    finish();
    expect(await device.send({ action: 'echo', data: 1 })).toBe(1);
    expect(await askInVain('never')).toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(await device.send({ action: 'echo', data: 2 })).toBe(2);
    expect(device.leftovers).toBe(0);
    expect(logs.of('warn').filter((line) => line.includes('stopped waiting (late)'))).toHaveLength(2);
  });

  it('to a device that has meanwhile asked again is not sent, though its time has not run out', async () => {
    const finish: Array<(value: string) => void> = [];
    @Controller()
    class Slow {
      @MessagePattern('slow')
      slow() {
        return new Promise<string>((resolve) => finish.push(resolve));
      }
    }
    const clock = new MovablePlatform();
    const { board, logs } = await startApp({ controllers: [Slow] }, { timeout: 60_000 }, undefined, clock);
    const impatient = await board({}, clock);
    const first = impatient.send({ action: 'slow' });
    expect(await unanswered(clock, first, () => finish.length === 1)).toMatchObject({ code: 'BEN_TIMEOUT' });
    const second = impatient.send({ action: 'slow' });
    await expect.poll(() => finish.length).toBe(2);
    finish[0]!('first');
    finish[1]!('second');
    expect(await second).toBe('second');
    expect(impatient.leftovers).toBe(0);
    expect(logs.of('warn').filter((line) => line.includes('(superseded)'))).toHaveLength(1);
  });
});

describe('an error that Nest hides', () => {
  class Reading {
    @IsNumber()
    celsius!: number;
  }

  @Controller()
  class Validating {
    @MessagePattern('store')
    store(@Payload(new ValidationPipe()) reading: Reading) {
      return reading;
    }
    @EventPattern('report')
    report(@Payload(new ValidationPipe()) _reading: Reading) {}
    @MessagePattern('bug')
    bug() {
      throw new Error('first');
    }
  }

  const start = async () => {
    const app = await startApp({ controllers: [Validating] }, { key: [], keys: { kitchen: KEY_CONTENTS } });
    return { ...app, device: await app.board() };
  };

  it.each(['store', 'bug'])(
    'in the handler of %j leaves a warning with device and action, once in 10 s',
    async (action) => {
      const { device, logs } = await start();
      for (let turn = 0; turn < 3; turn++) {
        await device.send({ action, data: { celsius: 'hot' } });
      }
      expect(logs.of('warn')).toEqual([expect.stringContaining(`"${action}" of kitchen at 127.0.0.1:`)]);
      expect(logs.of('warn')[0]).toContain('unless it is an HttpException');
    },
  );

  it('in an event handler leaves the same warning', async () => {
    const { device, logs, transport } = await start();
    await device.send({ action: 'report', data: { celsius: 'hot' } }, { noreturn: true });
    await expect.poll(() => transport.getStats().outcomes['event-failed']).toBe(1);
    expect(logs.of('warn')).toEqual([expect.stringContaining('"report" of kitchen at 127.0.0.1:')]);
  });
});
