import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { BenUdpClient, BenUdpRecordBuilder, BenUdpTransport } from 'nestjs-ben-udp';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { behaviour } from './behaviour.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';
import { ask, askInVain, connectClient, start } from './transports.js';

@Controller()
class Words {
  @MessagePattern('sensors.*')
  anySensor(@Payload() data: unknown) {
    return ['sensors.*', data];
  }
  @MessagePattern('sensors.kitchen')
  kitchen(@Payload() data: unknown) {
    return ['sensors.kitchen', data];
  }
  @MessagePattern('#')
  anything(@Payload() data: unknown) {
    return ['#', data];
  }
}

@Controller()
class Silent {
  private tellAsked = () => {};
  readonly asked = new Promise<void>((resolve) => (this.tellAsked = resolve));
  @MessagePattern('silent')
  silent() {
    this.tellAsked();
    return new Promise(() => undefined);
  }
}

/** Does not answer the first message. */
@Controller()
class Forgetful {
  asked = 0;
  @MessagePattern('forgetful')
  forgetful() {
    return ++this.asked === 1 ? new Promise(() => undefined) : this.asked;
  }
}

@Controller()
class Echo {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }
}

describe('What BenUdp adds', () => {
  behaviour('wildcards', 'Patterns with wildcards', {
    tcp: [
      'none: `sensors.*` is a pattern like any other',
      async (transport) => {
        const { client } = await start(transport, { controllers: [Words] });
        expect(await ask(client, 'sensors.*', 1)).toEqual([['sensors.*', 1]]);
        expect(await askInVain(client, 'sensors.cellar', 1)).toContain('no matching message handler');
      },
    ],
    benUdp: [
      'with `wildcards: true`, `*` is a word and `#` any number of them; the most exact pattern wins',
      async () => {
        const { port } = await startApp({ controllers: [Words] }, { wildcards: true });
        const client = new BenUdpClient({ port, key: KEY_CONTENTS });
        onTestFinished(() => client.close());
        expect(await ask(client, 'sensors.kitchen', 1)).toEqual([['sensors.kitchen', 1]]);
        expect(await ask(client, 'sensors.cellar', 2)).toEqual([['sensors.*', 2]]);
        expect(await ask(client, 'sensors.cellar.left', 3)).toEqual([['#', 3]]);
      },
    ],
  });

  behaviour('default-timeout', 'A message is never answered', {
    tcp: [
      'it waits for ever, unless the application adds a timeout',
      async (transport) => {
        const { client, app } = await start(transport, { controllers: [Silent] });
        vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
        onTestFinished(() => void vi.useRealTimers());
        const settled = vi.fn();
        client.send('silent', 1).subscribe({ error: settled, complete: settled });
        await app.get(Silent).asked;
        await vi.advanceTimersByTimeAsync(86_400_000);
        expect(settled).not.toHaveBeenCalled();
      },
    ],
    benUdp: [
      'it fails after `timeout`, 10 seconds by default',
      async () => {
        const { app, port } = await startApp({ controllers: [Silent] }, { shutdownTimeout: 0 });
        const client = new BenUdpClient({ port, key: KEY_CONTENTS });
        onTestFinished(() => client.close());
        vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
        onTestFinished(() => void vi.useRealTimers());
        const failed = vi.fn();
        client.send('silent', 1).subscribe({ error: failed });
        await app.get(Silent).asked;
        await vi.advanceTimersByTimeAsync(9999);
        expect(failed).not.toHaveBeenCalled();
        await vi.advanceTimersByTimeAsync(1);
        expect(failed.mock.calls).toEqual([[expect.objectContaining({ code: 'BEN_TIMEOUT', step: 'request' })]]);
      },
    ],
  });

  behaviour('retries', 'The server starts late, or datagrams are lost', {
    tcp: [
      'a message is tried once',
      async (transport) => {
        const { port, app } = await start(transport, { controllers: [Echo] });
        await app.close();
        const client = connectClient(transport, port);
        expect(await askInVain(client, 'echo')).toMatchObject({ code: 'ECONNREFUSED' });
      },
    ],
    benUdp: [
      "with `retries`, a request that can't have run is retried; with `idempotent`, any",
      async () => {
        const mute = createSocket('udp4').bind(0, '127.0.0.1');
        await once(mute, 'listening');
        const { port } = mute.address();
        const clock = new MovablePlatform();
        const client = new BenUdpClient({ port, key: KEY_CONTENTS, timeout: 10_000, retries: 1 }, clock);
        onTestFinished(() => client.close());
        const answer = ask(client, 'echo', 'late');
        await once(mute, 'message');
        mute.close();
        await once(mute, 'close');
        const { app } = await startApp({ controllers: [Echo, Forgetful] }, { port, shutdownTimeout: 0 });
        clock.advance(10_000);
        expect(await answer).toEqual(['late']);
        expect(client.getStats().retries).toBe(1);
        const handler = app.get(Forgetful);
        const failure = askInVain(client, 'forgetful');
        await expect.poll(() => handler.asked).toBe(1);
        clock.advance(10_000);
        expect(await failure).toMatchObject({ code: 'BEN_TIMEOUT', step: 'request' });
        handler.asked = 0;
        const record = new BenUdpRecordBuilder('data').setIdempotent().build();
        const result = ask(client, 'forgetful', record);
        await expect.poll(() => handler.asked).toBe(1);
        clock.advance(10_000);
        expect(await result).toEqual([2]);
      },
    ],
  });

  behaviour('record-builder', 'Options for one request', {
    tcp: [
      'none: an object of that kind is data',
      async (transport) => {
        const { client } = await start(transport, { controllers: [Echo] });
        const record = new BenUdpRecordBuilder('data').setTimeout(1000).build();
        expect(await ask(client, 'echo', record)).toEqual([{ data: 'data', options: { timeout: 1000 } }]);
      },
    ],
    benUdp: [
      'a `BenUdpRecord` has `timeout`, `retries` and `idempotent`, and can hold no data or `null`',
      async (transport) => {
        const { port } = await startApp({ controllers: [Echo, Silent] }, { shutdownTimeout: 0 });
        const client = connectClient(transport, port);
        expect(await ask(client, 'echo', new BenUdpRecordBuilder('data').setRetries(1).build())).toEqual(['data']);
        expect(await ask(client, 'echo', new BenUdpRecordBuilder(null).build())).toEqual([null]);
        const impatient = new BenUdpRecordBuilder('data').setTimeout(50).build();
        expect(await askInVain(client, 'silent', impatient)).toMatchObject({
          code: 'BEN_TIMEOUT',
          message: expect.stringContaining('within 50 ms') as string,
        });
      },
    ],
  });

  behaviour('test-helpers', 'Published helpers for the tests of an app', {
    tcp: [
      'none',
      async () => {
        const entry = '@nestjs/microservices/testing';
        await expect(import(/* @vite-ignore */ entry)).rejects.toThrow();
      },
    ],
    benUdp: [
      '`nestjs-ben-udp/testing`: a virtual board',
      async (transport) => {
        const { VirtualBoard } = await import('nestjs-ben-udp/testing');
        const { port, server } = await start(transport, { controllers: [Echo] });
        expect(server).toBeInstanceOf(BenUdpTransport);
        const board = await VirtualBoard.start({ key: KEY_CONTENTS, port });
        onTestFinished(() => board.close());
        expect(await board.send({ action: 'echo', data: 'hello' })).toBe('hello');
      },
    ],
  });
});
