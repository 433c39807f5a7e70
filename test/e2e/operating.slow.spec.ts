/** The work of an operator: counters that reconcile, events, devices, keys replaced under way, shutdown. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { chmod, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import {
  type BenUdpDevice,
  type BenUdpExchange,
  type BenUdpTransport,
  REJECTIONS,
  type BenUdpRejectedDatagram,
} from 'nestjs-ben-udp';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { VirtualBoard } from '../../lib/testing/index.js';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';
import { temporaryFolder } from '../support/temporary-folder.js';

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }
  @MessagePattern('fail')
  fail() {
    throw new RpcException('no');
  }
  @EventPattern<string>('log')
  log(@Payload() data: unknown) {
    if (data === 'fail') {
      throw new RpcException('no');
    }
  }
}

/** Does something when a board has its pair and has not sent its request yet. */
function afterPair(board: VirtualBoard, act: () => Promise<void> | void): void {
  const receive = board.receive.bind(board);
  let received = 0;
  board.receive = async () => {
    const datagram = await receive();
    if (++received === 2) {
      await act();
    }
    return datagram;
  };
}

/** The counters, which must add up at any moment. */
function reconciled(transport: BenUdpTransport) {
  const stats = transport.getStats();
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, count) => all + count, 0);
  expect(stats.received).toBe(stats.hellos + stats.requests + stats.resent + sum(stats.rejected));
  expect(stats.requests).toBe(sum(stats.outcomes) + stats.inFlight);
  return stats;
}

describe('getStats', () => {
  it('counts every datagram once, and every request by how it ended', async () => {
    const { transport, board } = await startApp({ controllers: [Handlers] });
    expect(reconciled(transport)).toMatchObject({ received: 0, handlerMs: { p50: 0, p99: 0, max: 0 } });
    const device = await board();
    await device.send({ action: 'echo' });
    await device.send({ action: 'fail' });
    await device.send({ action: 'log' }, { noreturn: true });
    await device.send({ action: 'log', data: 'fail' }, { noreturn: true });
    await device.send({ action: 'nobody' }, { noreturn: true });
    device.sendDatagram(Buffer.from('junk'));
    const stranger = await board({ key: Buffer.alloc(32, 's') });
    await stranger.send({ action: 'echo' }, { noreturn: true });
    await expect.poll(() => reconciled(transport).rejected['bad-hash']).toBe(1);
    const stats = reconciled(transport);
    expect(stats).toMatchObject({ received: 13, hellos: 6, requests: 5, inFlight: 0, endpoints: 1 });
    expect(stats.outcomes).toEqual({
      answered: 1,
      'error-reply': 1,
      'error-silent': 0,
      event: 1,
      'event-failed': 2,
      late: 0,
      superseded: 0,
      unsent: 0,
    });
    expect(stats.rejected).toMatchObject({ 'unknown-datagram': 1, 'bad-hash': 1 });
    expect(Object.keys(stats.rejected)).toEqual(Object.keys(REJECTIONS));
    expect(stats.handlerMs.p50).toBeGreaterThan(0);
    expect(stats.handlerMs.max).toBeGreaterThanOrEqual(stats.handlerMs.p99);
  });
});

describe('exchange events', () => {
  it('tell how each request ended, by on() and on a diagnostics channel alike', async () => {
    const { transport, board, port } = await startApp(
      { controllers: [Handlers] },
      { key: [], keys: { hall: KEY_CONTENTS } },
    );
    const events: BenUdpExchange[] = [];
    const published: unknown[] = [];
    const record = (message: unknown) => void published.push(message);
    transport.on('exchange', (exchange) => events.push(exchange));
    subscribe('nestjs-ben-udp:exchange', record);
    onTestFinished(() => void unsubscribe('nestjs-ben-udp:exchange', record));
    const device = await board();
    await device.send({ action: 'echo', data: 1 });
    await device.send({ action: { cmd: 'none' } });
    await device.send({ action: 'log' }, { noreturn: true });
    await expect.poll(() => events).toHaveLength(3);
    expect(port).toBeGreaterThan(0);
    expect(events).toEqual([
      {
        pattern: 'echo',
        device: 'hall',
        remote: expect.objectContaining({ port: device.address.port }),
        protocol: 'v1',
        outcome: 'answered',
        durationMs: expect.any(Number),
        pairSentAt: expect.any(Number),
        receivedAt: expect.any(Number),
        verifiedAt: expect.any(Number),
        handlerAt: expect.any(Number),
        repliedAt: expect.any(Number),
      },
      expect.objectContaining({ pattern: '{"cmd":"none"}', outcome: 'error-reply' }),
      expect.objectContaining({ pattern: 'log', outcome: 'event' }),
    ]);
    expect(published).toEqual(events);
  });
});

describe('rejected events', () => {
  it('tell what got no answer and why, by on() and on a diagnostics channel alike', async () => {
    const { transport, board } = await startApp({ controllers: [Handlers] }, { key: [], keys: { hall: KEY_CONTENTS } });
    const events: BenUdpRejectedDatagram[] = [];
    const published: unknown[] = [];
    const record = (message: unknown) => void published.push(message);
    transport.on('rejected', (rejected) => events.push(rejected));
    subscribe('nestjs-ben-udp:rejected', record);
    onTestFinished(() => void unsubscribe('nestjs-ben-udp:rejected', record));
    const device = await board();
    device.sendDatagram(Buffer.from('junk'));
    await device.exchange('[]', true);
    const remote = expect.objectContaining({ address: '127.0.0.1', port: device.address.port });
    await expect
      .poll(() => events)
      .toEqual([
        { reason: 'unknown-datagram', remote, device: undefined },
        { reason: 'bad-request', remote, device: 'hall' },
      ]);
    expect(published).toEqual(events);
  });

  it('are published for a channel alone, and for a listener alone', async () => {
    const { board } = await startApp({ controllers: [Handlers] });
    const published: unknown[] = [];
    const record = (message: unknown) => void published.push(message);
    subscribe('nestjs-ben-udp:rejected', record);
    onTestFinished(() => void unsubscribe('nestjs-ben-udp:rejected', record));
    (await board()).sendDatagram(Buffer.from('junk'));
    await expect.poll(() => published).toHaveLength(1);

    unsubscribe('nestjs-ben-udp:rejected', record);
    const other = await startApp({ controllers: [Handlers] });
    const events: BenUdpRejectedDatagram[] = [];
    other.transport.on('rejected', (rejected) => events.push(rejected));
    (await other.board()).sendDatagram(Buffer.from('junk'));
    await expect.poll(() => events).toHaveLength(1);
    expect(published).toHaveLength(1);
  });
});

describe('getDevices', () => {
  it('lists who was heard, and deviceSilent tells who is not any more', async () => {
    const { transport, board } = await startApp({ controllers: [Handlers] }, { silentAfter: 100 });
    const silent: BenUdpDevice[] = [];
    transport.on('deviceSilent', (device) => silent.push(device));
    const device = await board();
    await device.send({ action: 'echo' });
    await device.send({ action: 'echo' });
    const name = `127.0.0.1:${device.address.port}`;
    expect(transport.getDevices()).toEqual([expect.objectContaining({ name, isNamed: false, requests: 2 })]);
    await expect.poll(() => silent).toEqual([expect.objectContaining({ name, isSilent: true })]);
  });
});

describe('reloadKeys', () => {
  const [oldKey, newKey] = [Buffer.alloc(32, 'o'), Buffer.alloc(32, 'n')];

  it('forgets a device whose key was removed or renamed: its silence is expected', async () => {
    const options = { key: [], keys: { hall: oldKey, cellar: newKey }, silentAfter: 100 };
    const { transport, board } = await startApp({ controllers: [Handlers] }, options);
    const silent: string[] = [];
    transport.on('deviceSilent', ({ name }) => silent.push(name));
    await (await board({ key: oldKey })).send({ action: 'echo' });
    await (await board({ key: newKey })).send({ action: 'echo' });
    await transport.reloadKeys({ keys: { kitchen: oldKey, cellar: newKey } });
    expect(transport.getDevices().map(({ name, requests }) => [name, requests])).toEqual([
      ['kitchen', 0],
      ['cellar', 1],
    ]);
    await expect.poll(() => silent).toEqual(['cellar']);
    expect(silent).toEqual(['cellar']);
  });

  it('takes other keys at once, and disturbs no exchange of a key that stays', async () => {
    const { transport, board } = await startApp({ controllers: [Handlers] }, { key: [], keys: { hall: oldKey } });
    const [before, after] = [await board({ key: oldKey, timeout: 300 }), await board({ key: newKey })];
    // An id is good for every key: this pair is sent before the new key is known, and used after.
    afterPair(after, () => transport.reloadKeys({ keys: { hall: [oldKey, newKey] } }));
    expect(await after.send({ action: 'echo', data: 1 })).toBe(1);
    expect(await before.send({ action: 'echo', data: 2 })).toBe(2);
    await transport.reloadKeys({ keys: { hall: newKey } });
    await expect(before.send({ action: 'echo' })).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(transport.getStats().rejected['bad-hash']).toBeGreaterThan(0);
  });

  it('obeys the last call, even if an earlier one still reads its file', async () => {
    const keyFile = join(await temporaryFolder(), 'key.sec');
    await writeFile(keyFile, oldKey, { mode: 0o600 });
    const { transport, board } = await startApp({ controllers: [Handlers] }, { key: [], keyFile });
    await Promise.all([transport.reloadKeys(), transport.reloadKeys({ key: newKey })]);
    expect(await (await board({ key: newKey })).send({ action: 'echo', data: 1 })).toBe(1);
    await expect((await board({ key: oldKey, timeout: 200 })).send({ action: 'echo' })).rejects.toThrow();
  });

  it('never falls back to the default key file: who takes the last key away lets nobody in', async () => {
    const { transport } = await startApp({ controllers: [Handlers] }, { key: [], keys: { hall: oldKey } });
    await expect(transport.reloadKeys({ keys: {} })).rejects.toThrow('"keys" must be at least one key');
  });

  it('starts nothing if the transport is closed while it reads the files', async () => {
    const keyFile = join(await temporaryFolder(), 'key.sec');
    await writeFile(keyFile, oldKey, { mode: 0o600 });
    const { transport, logs } = await startApp({ controllers: [Handlers] }, { key: [], keyFile, watchKeyFiles: true });
    logs.lines.length = 0;
    const reloaded = transport.reloadKeys().catch((error: unknown) => error);
    await transport.close();
    expect(await reloaded).toMatchObject({ code: 'BEN_CLOSED' });
    expect(logs.lines.filter((line) => line.includes('Keys loaded'))).toEqual([]);
  });

  it('keeps the old keys if the new ones are invalid, and reports the error', async () => {
    const keyFile = join(await temporaryFolder(), 'key.sec');
    await writeFile(keyFile, oldKey, { mode: 0o600 });
    const { transport, board } = await startApp({ controllers: [Handlers] }, { key: [], keyFile });
    const device = await board({ key: oldKey });
    await writeFile(keyFile, 'short');
    await expect(transport.reloadKeys()).rejects.toMatchObject({ code: 'BEN_KEY_FILE_TOO_SHORT' });
    await expect(transport.reloadKeys({ key: 'text' as never })).rejects.toThrow('option "key" must be bytes');
    await expect(transport.reloadKeys({ key: [newKey, newKey] })).rejects.toMatchObject({ code: 'BEN_KEY_DUPLICATE' });
    expect(await device.send({ action: 'echo', data: 1 })).toBe(1);
  });

  it('happens by itself where key files are watched: a new one is taken, a bad one is reported and the old key stays', async () => {
    const folder = await temporaryFolder();
    const keyFile = join(folder, 'key.sec');
    await writeFile(keyFile, oldKey, { mode: 0o600 });
    const { transport, board, logs } = await startApp(
      { controllers: [Handlers] },
      { key: [], keyFile, watchKeyFiles: true },
    );
    const before = await board({ key: oldKey, timeout: 200 });
    await chmod(keyFile, 0o644);
    await writeFile(keyFile, 'bad');
    await expect.poll(() => logs.of('error').join(), { timeout: 5000 }).toContain('the old keys stay');
    expect(await before.send({ action: 'echo', data: 1 })).toBe(1);
    await writeFile(join(folder, 'new.sec'), newKey, { mode: 0o600 });
    await rename(join(folder, 'new.sec'), keyFile);
    await expect
      .poll(() => logs.of('log').filter((line) => line.includes('Keys loaded')), { timeout: 5000 })
      .toHaveLength(1);
    await expect(before.send({ action: 'echo' })).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(await (await board({ key: newKey })).send({ action: 'echo', data: 2 })).toBe(2);
    expect(transport.getStats().rejected['bad-hash']).toBe(1);
  });
});

describe('shutdown', () => {
  it('still accepts the request of an id that was issued, and answers it', async () => {
    const { app, board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    let closing: Promise<void> | undefined;
    afterPair(device, () => {
      closing = app.close();
    });
    expect(await device.send({ action: 'echo', data: 1 })).toBe(1);
    await closing;
  });

  it('answers no hello any more', async () => {
    let finish = (): void => undefined;
    @Controller()
    class Slow {
      @MessagePattern('slow')
      slow() {
        return new Promise<void>((resolve) => {
          finish = resolve;
        });
      }
    }
    const { app, transport, board } = await startApp({ controllers: [Slow] });
    const [device, late] = [await board(), await board({ timeout: 200 })];
    const answer = device.send({ action: 'slow' });
    await expect.poll(() => transport.getStats().inFlight).toBe(1);
    const closing = app.close();
    await expect(late.send({ action: 'slow' })).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(transport.getStats().rejected.closing).toBe(1);
    finish();
    expect(await answer).toBeNull();
    await closing;
  });

  it('names the requests that it had to cut off', async () => {
    @Controller()
    class Hanging {
      @MessagePattern('hang')
      hang() {
        return new Promise(() => undefined);
      }
    }
    const { app, transport, board, logs } = await startApp({ controllers: [Hanging] }, { shutdownTimeout: 50 });
    const device = await board({ timeout: 500 });
    const answer = device.send({ action: 'hang' }).catch((error: unknown) => error);
    await expect.poll(() => transport.getStats().inFlight).toBe(1);
    await app.close();
    expect(logs.of('warn').join()).toContain('1 handlers still ran after 50 ms and were cut off: "hang"');
    expect(await answer).toMatchObject({ code: 'BEN_TIMEOUT' });
  });
});

describe('wildcards', () => {
  it('are words between dots where asked for, and plain text otherwise', async () => {
    @Controller()
    class Sensors {
      @MessagePattern('sensors.*')
      one() {
        return 'one';
      }
      @MessagePattern('sensors.#')
      any() {
        return 'any';
      }
      @MessagePattern('sensors.dht')
      exact() {
        return 'exact';
      }
    }
    const ask = async (wildcards: boolean) => {
      const { board } = await startApp({ controllers: [Sensors] }, { wildcards });
      const device = await board();
      const answers = [];
      for (const action of ['sensors.dht', 'sensors.bmp', 'sensors.bmp.raw', 'sensors.*', 'other']) {
        answers.push(await device.send({ action }));
      }
      return answers;
    };
    expect(await ask(true)).toEqual(['exact', 'one', 'any', 'one', null]);
    expect(await ask(false)).toEqual(['exact', null, null, 'one', null]);
  });
});
