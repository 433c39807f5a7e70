/** Boards and clients of protocol v2 beside those of v1, over real UDP, at a Nest server. */
import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { BenUdpClient, type BenUdpClientOptions, BenUdpContext } from 'nestjs-ben-udp';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryNetwork } from '../support/memory-network.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, startApp, unanswered } from '../support/nest-app.js';

const OTHER = Buffer.alloc(32, 'o');
const events: unknown[] = [];
let release: (() => void) | undefined;

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }
  @MessagePattern('who')
  who(@Ctx() context: BenUdpContext) {
    return [context.getDevice(), context.getProtocol()];
  }
  @MessagePattern('long')
  long(@Payload() length: number) {
    return 'x'.repeat(length);
  }
  @MessagePattern('hold')
  hold() {
    return new Promise((resolve) => {
      release = () => resolve('released');
    });
  }
  @EventPattern('log')
  log(@Payload() data: unknown) {
    events.push(data);
  }
}

const KEYS = { kitchen: { key: KEY_CONTENTS }, cellar: { key: OTHER, protocol: 'v2' } } as const;
const start = () => startApp({ controllers: [Handlers] }, { key: undefined as never, keys: KEYS });

function startClient(port: number, options: Partial<BenUdpClientOptions> = {}) {
  const client = new BenUdpClient({ host: '127.0.0.1', port, key: KEY_CONTENTS, protocol: 'v2', ...options });
  onTestFinished(() => client.close());
  return client;
}

describe('a server', () => {
  it('answers a board of v2 beside one of v1, with the same handlers', async () => {
    const { board, transport } = await start();
    const [v1, v2] = [await board(), await board({ protocol: 'v2' })];
    expect([await v1.send({ action: 'who' }), await v2.send({ action: 'who' })]).toEqual([
      ['kitchen', 'v1'],
      ['kitchen', 'v2'],
    ]);
    expect(await v2.send({ action: 'echo', data: { a: [1, null, 'é'] } })).toEqual({ a: [1, null, 'é'] });
    expect(await v2.send({ action: 'log', data: 7 }, { noreturn: true })).toEqual({});
    await expect.poll(() => events).toEqual([7]);
    expect(transport.getStats()).toMatchObject({ sessions: 1, requests: 4, hellos: 2 });
    // One opening, and one datagram for each request.
    expect(v2.getStats()).toMatchObject({ sent: 4, received: 4 });
  });

  it('tells whoever waits that it is busy: boards and clients, for requests and for events', async () => {
    events.length = 0;
    const { board, port } = await startApp(
      { controllers: [Handlers] },
      { key: undefined as never, keys: KEYS, maxInFlight: 1 },
    );
    const [holder, device] = [await board({ protocol: 'v2' }), await board({ protocol: 'v2', key: OTHER })];
    const held = holder.send({ action: 'hold' });
    await expect.poll(() => release).toBeDefined();
    expect(await device.exchange("{'action': 'echo'}")).toMatch(/"busy: too many handlers are running/);
    expect(await device.send({ action: 'log' }, { noreturn: true })).not.toEqual({});
    const client = startClient(port);
    const busy = { status: 'error', message: expect.stringMatching(/^busy: /) };
    await expect(firstValueFrom(client.send('echo', 1))).rejects.toEqual(busy);
    await expect(lastValueFrom(client.emit('log', 1))).rejects.toEqual(busy);
    release!();
    expect(await held).toBe('released');
    expect(await device.send({ action: 'echo', data: 1 })).toBe(1);
    expect(events).toEqual([]);
  });

  it('tells a board of v2 that a result is too long for it, and that there is no handler', async () => {
    const { board } = await start();
    const small = await board({ protocol: 'v2', bufferSize: 512 });
    expect(await small.send({ action: 'long', data: 400 })).toHaveLength(400);
    expect(await small.exchange("{'action': 'long', 'data': 500}")).toMatch(/"error":.*longer than 489/);
    expect(await small.exchange("{'action': 'nothing'}")).toMatch(/no matching message handler/);
    expect(await small.exchange('[1]')).toMatch(/BEN_BAD_REQUEST/);
  });

  it('refuses v1 under a key that is limited to v2, and answers v2', async () => {
    const { board, transport } = await start();
    const rejected: string[] = [];
    transport.on('rejected', ({ reason, device }) => void rejected.push(`${device}: ${reason}`));
    const clock = new MovablePlatform();
    const imitator = await board({ key: OTHER }, clock);
    const outcome = await unanswered(clock, imitator.send({ action: 'who' }), () => rejected.length === 1);
    expect(outcome).toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(rejected).toEqual(['cellar: v1-refused']);
    const moved = await board({ key: OTHER, protocol: 'v2' });
    expect(await moved.send({ action: 'who' })).toEqual(['cellar', 'v2']);
  });

  it('runs each request of a board once in a network that loses and doubles a fifth', async () => {
    const network = new MemoryNetwork();
    const options = { key: undefined as never, keys: KEYS, shutdownTimeout: 0 };
    const { board, transport } = await startApp({ controllers: [Handlers] }, options, undefined, network);
    const lossy = await board({ protocol: 'v2', faults: { loss: 0.2, duplicate: 0.2, seed: 3 } }, network);
    for (let index = 0; index < 20; index++) {
      expect(await network.play(lossy.send({ action: 'echo', data: index }))).toBe(index);
    }
    const { requests, received, hellos, resent, rejected } = transport.getStats();
    const sum = Object.values(rejected).reduce((all, count) => all + count, 0);
    expect([requests, received]).toEqual([20, hellos + requests + resent + sum]);
    expect(resent).toBeGreaterThan(0);
  });

  it('checks itself with its first key, also if that one is limited to v2', async () => {
    const { transport } = await startApp(
      { controllers: [Handlers] },
      { key: undefined as never, keys: { cellar: { key: OTHER, protocol: 'v2' } } },
    );
    expect(await transport.ping({ timeout: 60_000 })).toBeGreaterThan(0);
  });
});

describe('BenUdpClient with protocol v2', () => {
  it('gets results, errors and acknowledgements', async () => {
    const { port } = await start();
    const client = startClient(port);
    expect(await firstValueFrom(client.send('who', {}))).toEqual(['kitchen', 'v2']);
    await expect(firstValueFrom(client.send('nothing', {}))).rejects.toMatchObject({ status: 'error' });
    await lastValueFrom(client.emit('log', 8), { defaultValue: undefined });
    await expect.poll(() => events).toContain(8);
  });

  it('makes many requests at once, each with its own answer', async () => {
    const { port, transport } = await start();
    const client = startClient(port);
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, index) => firstValueFrom(client.send<number>('echo', index))),
    );
    expect(results).toEqual(Array.from({ length: 50 }, (_, index) => index));
    expect(transport.getStats().sessions).toBeLessThanOrEqual(8);
  });

  it('goes on after the server restarted on the same port', async () => {
    const first = await start();
    const client = startClient(first.port);
    expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
    await first.app.close();
    const second = await startApp(
      { controllers: [Handlers] },
      { key: undefined as never, keys: KEYS, port: first.port },
    );
    expect(second.port).toBe(first.port);
    await expect.poll(() => firstValueFrom(client.send('echo', 2)).catch((error: unknown) => error)).toBe(2);
  });

  it('times out at a server that has no such key', async () => {
    const { port } = await start();
    const client = startClient(port, { key: Buffer.alloc(32, 'w'), timeout: 150 });
    await expect(firstValueFrom(client.send('echo', 1))).rejects.toMatchObject({ code: 'BEN_TIMEOUT', step: 'hello' });
  });

  it.each([
    [{ maxSockets: 9 }, /"maxSockets" must be at most 8 with "protocol" v2/],
    [{ bufferSize: 511 }, /"bufferSize" must be an integer from 512/],
    [{ protocol: 'v3' as 'v2' }, /"protocol" must be "v1" or "v2"/],
  ])('refuses %o', (options, message) => {
    expect(() => new BenUdpClient({ key: KEY_CONTENTS, protocol: 'v2', ...options })).toThrow(message);
    expect(() => new BenUdpClient({ key: KEY_CONTENTS, protocol: 'v2', maxSockets: 8, bufferSize: 512 })).not.toThrow();
  });
});
