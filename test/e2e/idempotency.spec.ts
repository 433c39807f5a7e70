/** Requests with an id: the handler runs once, although the retry comes in another session, or from another board, client or process. */
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import {
  BenUdpClient,
  type BenUdpClientOptions,
  BenUdpMemoryResultStore,
  BenUdpRecord,
  BenUdpRecordBuilder,
  type BenUdpResultStore,
  type BenUdpTransportOptions,
  Signal,
} from 'nestjs-ben-udp';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { type Platform, nodePlatform } from '../../lib/net/index.js';
import { REFUSED_IDS } from '../../lib/server/index.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';

let runs: unknown[] = [];
const nothing = () => undefined;
let finish: () => void = nothing;
beforeEach(() => {
  runs = [];
  finish = nothing;
});

@Controller()
class Handlers {
  @MessagePattern('water')
  water(@Payload() litres: number) {
    runs.push(litres);
    return `${litres} l, run ${runs.length}`;
  }
  @MessagePattern('slow')
  async slow(@Payload() data: unknown) {
    runs.push(data);
    await new Promise<void>((resolve) => (finish = resolve));
    return 'done';
  }
  @MessagePattern('sprinkle')
  sprinkle(@Payload() data: unknown) {
    runs.push(data);
    return runs.length;
  }
  @MessagePattern('patient')
  async patient(@Signal() signal: AbortSignal) {
    runs.push('patient');
    await new Promise<void>((resolve) => (finish = resolve));
    return signal.aborted ? 'aborted' : 'not aborted';
  }
  @MessagePattern('fail')
  fail() {
    runs.push('fail');
    throw new RpcException(`failed in run ${runs.length}`);
  }
  @EventPattern('log')
  log(@Payload() data: unknown) {
    runs.push(data);
  }
}

const start = (options: BenUdpTransportOptions = {}) => startApp({ controllers: [Handlers] }, options);

function startClient(port: number, options: Partial<BenUdpClientOptions> = {}, platform: Platform = nodePlatform) {
  const resolved: BenUdpClientOptions = { host: '127.0.0.1', port, key: KEY_CONTENTS, protocol: 'v2', ...options };
  const client = new BenUdpClient(resolved, platform);
  onTestFinished(() => client.close());
  return client;
}

const water = (rid: string, litres = 5) => `{'action': 'water', 'data': ${litres}, 'rid': '${rid}'}`;
const errorOf = (reply: string | undefined) => (JSON.parse(reply!) as { error?: { message: string } }).error?.message;

describe('a request with an id', () => {
  it('runs once for a board that restarts and opens another session', async () => {
    const { board, transport } = await start();
    const [before, after] = [await board({ protocol: 'v2' }), await board({ protocol: 'v2' })];
    expect(await before.exchange(water('a'))).toBe('{"data":"5 l, run 1"}');
    expect(await after.exchange(water('a'))).toBe('{"data":"5 l, run 1"}');
    expect(await after.exchange(water('b'))).toBe('{"data":"5 l, run 2"}');
    expect(runs).toHaveLength(2);
    expect(transport.getStats()).toMatchObject({ sessions: 2, requests: 3 });
  });

  it.each([
    // MicroPython keeps no order: a dict from a file has another one than the literal.
    ['in another order', "{'rid': 'a', 'data': {'l': 5, 'zone': (1, 2)}, 'action': 'sprinkle'}"],
    ['with nested keys in another order', "{'action': 'sprinkle', 'data': {'zone': [1, 2], 'l': 5.0}, 'rid': 'a'}"],
    [
      'with another trace id',
      "{'action': 'sprinkle', 'data': {'l': 5, 'zone': [1, 2]}, 'rid': 'a', 'meta': {'trace': '2'}}",
    ],
  ])('is recognised %s', async (_name, retry) => {
    const { board } = await start();
    const device = await board({ protocol: 'v2' });
    const text = "{'action': 'sprinkle', 'data': {'l': 5, 'zone': [1, 2]}, 'meta': {'trace': '1'}, 'rid': 'a'}";
    const first = await device.exchange(text);
    expect(errorOf(first)).toBeUndefined();
    expect(await device.exchange(retry)).toBe(first);
    expect(runs).toHaveLength(1);
  });

  it('is another one if it was an event: it has no result, so silence would last for ever', async () => {
    const { board } = await start();
    const device = await board({ protocol: 'v2' });
    const text = "{'action': 'log', 'data': 1, 'rid': 'a'}";
    await device.exchange(text, true);
    await expect.poll(() => runs).toEqual([1]);
    expect(errorOf(await device.exchange(text))).toBe(REFUSED_IDS.reused);
  });

  it('keeps its handler running although its board gave up, because a retry gets the result', async () => {
    const clock = new MovablePlatform();
    const { board } = await startApp({ controllers: [Handlers] }, {}, undefined, clock);
    const [one, other] = [await board({ protocol: 'v2' }), await board({ protocol: 'v2' })];
    const text = "{'action': 'patient', 'rid': 'a'}";
    const first = one.exchange(text).catch(() => 'gave up');
    await expect.poll(() => runs).toEqual(['patient']);
    clock.advance(19_000);
    const retry = other.exchange(text);
    await expect.poll(() => finish).not.toBe(nothing);
    finish();
    expect(await retry).toBe('{"data":"not aborted"}');
    await first;
  });

  it('gets its error again, and does not run again', async () => {
    const { board } = await start();
    const device = await board({ protocol: 'v2' });
    const text = "{'action': 'fail', 'rid': 'a'}";
    const first = await device.exchange(text);
    expect(errorOf(first)).toBe('failed in run 1');
    expect(await device.exchange(text)).toBe(first);
  });

  it('runs once if it is an event', async () => {
    const { board } = await start();
    const device = await board({ protocol: 'v2' });
    for (const data of [1, 1, 2]) {
      await device.exchange(`{'action': 'log', 'data': ${data}, 'rid': 'e${data}', 'noreturn': True}`, true);
    }
    await expect.poll(() => runs).toEqual([1, 2]);
  });

  it('waits for the first one if that still runs', async () => {
    const { board } = await start();
    const [one, other] = [await board({ protocol: 'v2' }), await board({ protocol: 'v2' })];
    const text = "{'action': 'slow', 'data': 1, 'rid': 'a'}";
    const first = one.exchange(text);
    await expect.poll(() => runs).toEqual([1]);
    const retry = other.exchange(text);
    const reused = await (await board({ protocol: 'v2' })).exchange("{'action': 'slow', 'data': 2, 'rid': 'a'}");
    expect(errorOf(reused)).toBe(REFUSED_IDS.reused);
    finish();
    expect(await Promise.all([first, retry])).toEqual(['{"data":"done"}', '{"data":"done"}']);
    expect(runs).toEqual([1]);
  });

  it('is refused if its id belongs to another request, or is none', async () => {
    const { board } = await start();
    const device = await board({ protocol: 'v2' });
    await device.exchange(water('a'.repeat(64)));
    expect(errorOf(await device.exchange(water('a'.repeat(64), 6)))).toBe(REFUSED_IDS.reused);
    for (const rid of [`'${'a'.repeat(65)}'`, "''", '7', 'None']) {
      expect(errorOf(await device.exchange(`{'action': 'water', 'data': 5, 'rid': ${rid}}`))).toBe(
        REFUSED_IDS.malformed,
      );
    }
    expect(runs).toEqual([5]);
  });

  it('belongs to its device', async () => {
    const other = Buffer.alloc(32, 'o');
    const { board } = await start({ key: undefined, keys: { kitchen: KEY_CONTENTS, cellar: other } });
    const [kitchen, cellar] = [await board({ protocol: 'v2' }), await board({ protocol: 'v2', key: other })];
    expect(await kitchen.exchange(water('a'))).toBe('{"data":"5 l, run 1"}');
    expect(await cellar.exchange(water('a'))).toBe('{"data":"5 l, run 2"}');
  });

  it('has none under v1, where rid is a key of the application', async () => {
    const { board } = await start();
    const device = await board();
    expect(await device.exchange(water('a'))).toBe('{"data":"5 l, run 1"}');
    expect(await device.exchange(water('a'))).toBe('{"data":"5 l, run 2"}');
  });
});

describe('resultStore', () => {
  it('that outlives the server answers a retry after a restart', async () => {
    const resultStore = new BenUdpMemoryResultStore();
    const first = await start({ resultStore });
    expect(await (await first.board({ protocol: 'v2' })).exchange(water('a'))).toBe('{"data":"5 l, run 1"}');
    await first.app.close();
    const second = await start({ resultStore });
    expect(await (await second.board({ protocol: 'v2' })).exchange(water('a'))).toBe('{"data":"5 l, run 1"}');
    const third = await start();
    expect(await (await third.board({ protocol: 'v2' })).exchange(water('a'))).toBe('{"data":"5 l, run 2"}');
  });

  it('that has a claim without a result keeps the request from running again', async () => {
    const resultStore = new BenUdpMemoryResultStore();
    const { board, app } = await start({ resultStore, shutdownTimeout: 0 });
    const text = "{'action': 'slow', 'data': 1, 'rid': 'a'}";
    const device = await board({ protocol: 'v2' });
    const cutOff = device.exchange(text).catch((error: unknown) => error);
    await expect.poll(() => runs).toEqual([1]);
    await app.close();
    await device.close();
    expect(await cutOff).toMatchObject({ code: 'BEN_CLOSED' });
    const second = await start({ resultStore });
    expect(errorOf(await (await second.board({ protocol: 'v2' })).exchange(text))).toBe(REFUSED_IDS.lost);
    expect(runs).toEqual([1]);
  });

  it('that fails keeps the request from running, or costs later retries their answer', async () => {
    const failing = { begin: false, end: false };
    const memory = new BenUdpMemoryResultStore();
    const resultStore: BenUdpResultStore = {
      begin: async (key, request) => (failing.begin ? Promise.reject(new Error('gone')) : memory.begin(key, request)),
      end: async (key, request, result) =>
        failing.end ? Promise.reject(new Error('gone')) : memory.end(key, request, result),
    };
    const { board, logs } = await start({ resultStore });
    const device = await board({ protocol: 'v2' });
    failing.begin = true;
    expect(errorOf(await device.exchange(water('a')))).toBe(REFUSED_IDS.unavailable);
    expect(runs).toEqual([]);
    failing.begin = false;
    failing.end = true;
    expect(await device.exchange(water('a'))).toBe('{"data":"5 l, run 1"}');
    expect(errorOf(await device.exchange(water('a')))).toBe(REFUSED_IDS.lost);
    expect(runs).toEqual([5]);
    expect(logs.of('error').join('\n')).toContain('The result store failed: Error: gone');
  });

  it.each<[string, (request: string) => unknown]>([
    ['text that is not parsed', (request) => JSON.stringify({ request })],
    ['a number', () => 1],
    ['true, as if the id were free', () => true],
    ['an entry without its request', () => ({ result: { reply: '{"data":1}', isError: false } })],
    ['a reply that is no text', (request) => ({ request, result: { reply: 7, isError: false } })],
    ['a result that is no object', (request) => ({ request, result: '{"data":1}' })],
  ])('that gives %s has failed: nothing runs, and nothing of it is sent', async (_what, give) => {
    const resultStore = { begin: (_key: string, request: string) => give(request), end: () => undefined };
    const { board, logs, transport } = await start({ resultStore: resultStore as unknown as BenUdpResultStore });
    const device = await board({ protocol: 'v2' });
    expect(errorOf(await device.exchange(water('a')))).toBe(REFUSED_IDS.unavailable);
    expect([runs, transport.getStats().inFlight]).toEqual([[], 0]);
    expect(logs.of('error').join('\n')).toContain(
      'The result store failed: TypeError: "begin" of the result store must return',
    );
  });

  it.each(['begin', 'end'])('without %s() is refused at once', async (method) => {
    const store = { begin: () => undefined, end: () => undefined, [method]: undefined };
    await expect(() => start({ resultStore: store as unknown as BenUdpResultStore })).rejects.toThrow(
      `"resultStore" must be an object with a method ${method}()`,
    );
  });
});

describe('BenUdpRecordBuilder.setIdempotencyKey', () => {
  it('lets retries repeat a request that may have run, and its handler runs once', async () => {
    const { port } = await start();
    const clock = new MovablePlatform();
    const client = startClient(port, {}, clock);
    const record = new BenUdpRecordBuilder(7).setIdempotencyKey('a').setRetries(1).build();
    const result = firstValueFrom(client.send('slow', record));
    await expect.poll(() => runs).toEqual([7]);
    const retriesLater = () => {
      clock.advance(1000);
      return client.getStats().retries;
    };
    await expect.poll(retriesLater).toBe(1);
    finish();
    expect(await result).toBe('done');
    expect(runs).toEqual([7]);
  });

  it('answers another client with the same key', async () => {
    const { port } = await start();
    const record = () => new BenUdpRecordBuilder(5).setIdempotencyKey('a').build();
    expect(await firstValueFrom(startClient(port).send('water', record()))).toBe('5 l, run 1');
    expect(await firstValueFrom(startClient(port).send('water', record()))).toBe('5 l, run 1');
    await lastValueFrom(startClient(port).emit('log', new BenUdpRecordBuilder(9).setIdempotencyKey('b').build()), {
      defaultValue: undefined,
    });
    await expect.poll(() => runs).toEqual([5, 9]);
  });

  it('needs protocol v2, because a server of v1 ignores it', async () => {
    const client = startClient(8585, { protocol: 'v1' });
    const record = new BenUdpRecordBuilder(5).setIdempotencyKey('a').build();
    await expect(firstValueFrom(client.send('water', record))).rejects.toThrow(
      /"idempotencyKey" must be absent with protocol v1/,
    );
  });

  it('accepts 1 to 64 characters', () => {
    const builder = new BenUdpRecordBuilder(5);
    expect(() => builder.setIdempotencyKey('a'.repeat(64))).not.toThrow();
    expect(() => builder.setIdempotencyKey('a'.repeat(65))).toThrow(RangeError);
    expect(() => builder.setIdempotencyKey('')).toThrow(TypeError);
    expect(() => builder.setIdempotencyKey(7 as unknown as string)).toThrow(
      /"idempotencyKey" must be a non-empty string/,
    );
    expect(new BenUdpRecord(1, { idempotencyKey: 'a' }).options).toEqual({ idempotencyKey: 'a' });
  });
});
