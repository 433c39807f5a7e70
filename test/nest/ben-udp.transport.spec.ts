/** The life cycle of a transport: start, stop, and events. Requests are tested in test/e2e/. */
import { createSocket } from 'node:dgram';
import { type EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import {
  type BenUdpContext,
  type BenUdpHeardDevice,
  type BenUdpExchange,
  BenUdpStatus,
  BenUdpTransport,
  type BenUdpTransportOptions,
  type BenUdpRejectedDatagram,
} from 'nestjs-ben-udp';
import { afterAll, beforeAll, describe, expect, expectTypeOf, it, onTestFinished, vi } from 'vitest';
import { type Platform, nodePlatform, withBindSocket } from '../../lib/net/index.js';
import { FakePlatform } from '../support/fake-platform.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { startBoard } from '../support/nest-app.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const key = Buffer.alloc(32, 'k');

beforeAll(() => Logger.overrideLogger(false));
afterAll(() => Logger.overrideLogger(new Logger()));

function create(options: BenUdpTransportOptions = {}, platform: Platform = nodePlatform): BenUdpTransport {
  const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, key, ...options }, platform);
  onTestFinished(() => transport.close());
  return transport;
}

/** Listens, and resolves to all calls of the callback when no further call is expected. */
async function listen(transport: BenUdpTransport): Promise<unknown[][]> {
  const calls: unknown[][] = [];
  await new Promise<void>((resolve) =>
    transport.listen((...args: unknown[]) => {
      calls.push(args);
      resolve();
    }),
  );
  await new Promise((resolve) => setImmediate(resolve));
  return calls;
}

function statuses(transport: BenUdpTransport): string[] {
  const seen: string[] = [];
  transport.status.subscribe((status) => seen.push(status));
  return seen;
}

describe('listen', () => {
  it('calls back once, without arguments, when the socket is bound', async () => {
    const transport = create();
    const seen = statuses(transport);
    const listening = vi.fn();
    transport.on('listening', listening);
    expect(await listen(transport)).toEqual([[]]);
    expect(seen).toEqual([BenUdpStatus.LISTENING]);
    expect(listening).toHaveBeenCalledExactlyOnceWith(transport.unwrap().address());
  });

  it('calls back once with the error if the port is in use', async () => {
    const taken = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void taken.close());
    await once(taken, 'listening');
    const transport = create({ port: taken.address().port, retryAttempts: 0 });
    expect(await listen(transport)).toEqual([
      [
        expect.objectContaining({
          code: 'BEN_ADDRESS_IN_USE',
          message: expect.stringMatching(/^127\.0\.0\.1:\d+ is in use\nStop the other process/),
          cause: expect.objectContaining({ code: 'EADDRINUSE' }),
        }),
      ],
    ]);
    expect(() => transport.unwrap()).toThrow('Not listening');
  });

  it('calls back once with the error if the address is not of this machine, or is not a name', async () => {
    expect(await listen(create({ host: '192.0.2.1' }))).toEqual([
      [
        expect.objectContaining({
          code: 'BEN_SOCKET',
          message:
            '192.0.2.1 is not an address of this machine\nBind to 0.0.0.0 for all of its addresses; "npx nestjs-ben-udp doctor" lists them',
          cause: expect.objectContaining({ code: 'EADDRNOTAVAIL' }),
        }),
      ],
    ]);
    expect(await listen(create({ host: 'no-such-host.invalid' }))).toEqual([
      [
        expect.objectContaining({
          code: 'BEN_HOST_UNKNOWN',
          cause: expect.objectContaining({ syscall: 'getaddrinfo' }),
        }),
      ],
    ]);
  });

  it('leaves no timer behind after a failure', async () => {
    const platform = new FakePlatform();
    vi.spyOn(platform, 'bindSocket').mockRejectedValue(new Error('no'));
    expect(await listen(create({ silentAfter: 1000 }, platform))).toHaveLength(1);
    expect(platform.pendingTimers).toBe(0);
  });

  it('calls back once with any other error of the system, for example EACCES', async () => {
    const denied = Object.assign(new Error('bind EACCES'), { code: 'EACCES' });
    const platform = { ...nodePlatform, bindSocket: () => Promise.reject(denied) };
    expect(await listen(create({}, platform))).toEqual([
      [
        expect.objectContaining({
          code: 'BEN_SOCKET',
          message: expect.stringContaining('Ports below 1024'),
          cause: denied,
        }),
      ],
    ]);
  });

  it('leaves no timer behind after a failure or after close', async () => {
    const pending = new Set<object>();
    const platform: Platform = {
      ...nodePlatform,
      schedule: (callback, ms, options) => {
        const timer = {};
        pending.add(timer);
        const cancel = nodePlatform.schedule(() => pending.delete(timer) && callback(), ms, options);
        return () => {
          pending.delete(timer);
          cancel();
        };
      },
    };
    const taken = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void taken.close());
    await once(taken, 'listening');
    const options = { silentAfter: 60_000 };
    expect(await listen(create({ ...options, port: taken.address().port, retryAttempts: 0 }, platform))).not.toEqual([
      [],
    ]);
    expect(pending.size).toBe(0);
    const transport = create(options, platform);
    await listen(transport);
    expect(pending.size).toBeGreaterThan(0);
    await transport.close();
    expect(pending.size).toBe(0);
  });

  it('calls back with the fault of a key file, and can be called again after the file was corrected', async () => {
    const keyFile = join(await temporaryFolder(), 'key.sec');
    const transport = create({ key: undefined, keyFile });
    expect(await listen(transport)).toEqual([[expect.objectContaining({ code: 'BEN_KEY_FILE_MISSING' })]]);
    await writeFile(keyFile, key);
    await chmod(keyFile, 0o644);
    expect(await listen(transport)).toEqual([[expect.objectContaining({ code: 'BEN_KEY_FILE_READABLE_BY_OTHERS' })]]);
    await chmod(keyFile, 0o600);
    expect(await listen(transport)).toEqual([[]]);
  });

  it('calls back with an error if it listens already, and keeps listening', async () => {
    const transport = create();
    await listen(transport);
    expect(await listen(transport)).toEqual([[expect.objectContaining({ code: 'BEN_ALREADY_LISTENING' })]]);
    expect(transport.unwrap().address().port).toBeGreaterThan(0);
  });

  it('logs fingerprints of the keys and never a key', async () => {
    const lines: string[] = [];
    Logger.overrideLogger({ log: (line: string) => lines.push(line), error: () => 0, warn: () => 0 });
    onTestFinished(() => Logger.overrideLogger(false));
    await listen(create());
    await listen(create({ key: [], keys: { a: Buffer.alloc(32, 'a') } }));
    expect(lines.join()).toMatch(/Listening on 127\.0\.0\.1:\d+ for key [0-9a-f]{8}, \d+ bytes/);
    expect(lines.join()).toMatch(/Listening on 127\.0\.0\.1:\d+ for a \(key [0-9a-f]{8}\), \d+ bytes/);
  });
});

describe('close', () => {
  it('may be called before listen, and listen still works', async () => {
    const transport = create();
    await transport.close();
    expect(await listen(transport)).toEqual([[]]);
  });

  it('during listen waits for it and closes', async () => {
    const transport = create();
    const listened = listen(transport);
    await transport.close();
    await listened;
    expect(() => transport.unwrap()).toThrow('Not listening');
  });

  it('after listen closes the socket, emits close once, and always returns the same promise', async () => {
    const transport = create();
    const closed = vi.fn();
    transport.on('close', closed);
    const seen = statuses(transport);
    await listen(transport);
    const socket = transport.unwrap();
    const closing = transport.close();
    expect(transport.close()).toBe(closing);
    await closing;
    await transport.close();
    expect(() => socket.address()).toThrow();
    expect(closed).toHaveBeenCalledOnce();
    expect(seen).toEqual([BenUdpStatus.LISTENING, BenUdpStatus.CLOSED]);
  });

  it('accepts a socket that is closed already', async () => {
    const transport = create();
    await listen(transport);
    const seen = statuses(transport);
    transport.unwrap().close();
    await transport.close();
    expect(seen).toEqual([BenUdpStatus.LISTENING, BenUdpStatus.CLOSED]);
  });

  it('lets listen be called again', async () => {
    const transport = create();
    transport.addHandler('echo', async (data: unknown) => data as never);
    await listen(transport);
    await transport.close();
    expect(await listen(transport)).toEqual([[]]);
    const board = await startBoard(transport.unwrap().address().port, { key });
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
  });

  it('waits for running handlers and sends their replies', async () => {
    const transport = create();
    let finish = (): void => undefined;
    const started = new Promise<void>((resolve) => {
      transport.addHandler('slow', () => {
        resolve();
        return new Promise((done) => {
          finish = () => done('answer' as never);
        });
      });
    });
    await listen(transport);
    const board = await startBoard(transport.unwrap().address().port, { key });
    const answer = board.send({ action: 'slow' });
    await started;
    let isClosed = false;
    const closing = transport.close().then(() => (isClosed = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isClosed).toBe(false);
    finish();
    expect(await answer).toBe('answer');
    await closing;
  });

  it('answers boards that it hears for the first time while it drains', async () => {
    const keyOf = (index: number) => Buffer.alloc(32, `key ${index}`);
    // Each first request costs a search, so the first one is answered while the others wait.
    const keys = Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`b${index}`, keyOf(index)]));
    const transport = create({ key: [], keys });
    let closing: Promise<void> | undefined;
    transport.addHandler('echo', async (data: unknown) => {
      closing ??= transport.close();
      return data;
    });
    await listen(transport);
    const { port } = transport.unwrap().address();
    const boards = await Promise.all(
      Array.from({ length: 4 }, (_, index) => startBoard(port, { key: keyOf(1999 - index) })),
    );
    expect(await Promise.all(boards.map((board, index) => board.send({ action: 'echo', data: index })))).toEqual([
      0, 1, 2, 3,
    ]);
    await closing;
  });

  it('does not wait longer than shutdownTimeout', async () => {
    const transport = create({ shutdownTimeout: 50 });
    const started = new Promise<void>((resolve) => {
      transport.addHandler('never', () => {
        resolve();
        return new Promise(() => undefined);
      });
    });
    await listen(transport);
    const board = await startBoard(transport.unwrap().address().port, { key });
    await board.send({ action: 'never' }, { noreturn: true });
    await started;
    const before = performance.now();
    await transport.close();
    expect(performance.now() - before).toBeGreaterThanOrEqual(45);
  });

  it('sends nothing for a handler that it cut off, and reports no error when the handler ends', async () => {
    const transport = create({ shutdownTimeout: 20 });
    const errors: Error[] = [];
    transport.on('error', (error) => errors.push(error));
    let finish = (): void => undefined;
    const started = new Promise<void>((resolve) => {
      transport.addHandler('slow', () => {
        resolve();
        return new Promise((done) => {
          finish = () => done('too late' as never);
        });
      });
    });
    await listen(transport);
    const clock = new MovablePlatform();
    const board = await startBoard(transport.unwrap().address().port, { key }, clock);
    const answer = board.send({ action: 'slow' }).catch((error: unknown) => error);
    await started;
    await transport.close();
    finish();
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10_000);
    expect(await answer).toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(errors).toEqual([]);
  });

  it('sends nothing more of a spaced answer', async () => {
    const platform = new FakePlatform();
    const sent: number[] = [];
    const transport = create(
      { datagramGap: 50, shutdownTimeout: 0 },
      recordSends(platform, (port) => sent.push(port)),
    );
    const errors: Error[] = [];
    transport.on('error', (error) => errors.push(error));
    await listen(transport);
    const board = await startBoard(transport.unwrap().address().port, { key });
    board.sendDatagram(Buffer.from('/GETID'));
    await board.receive();
    await transport.close();
    platform.advance(50);
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent).toHaveLength(1);
    expect(errors).toEqual([]);
  });
});

describe('unwrap', () => {
  it('names the method to call first', () => {
    expect(() => create().unwrap()).toThrow('Call "listen" or "startAllMicroservices" first');
  });
});

describe('once, off and removeListener', () => {
  it('let `events.once` wait for an exchange, and leave no listener', async () => {
    const transport = create();
    await listen(transport);
    const board = await startBoard(transport.unwrap().address().port, { key });
    // The types of Node ask for a whole EventEmitter, of which `events.once` uses these two methods.
    const emitter = transport as unknown as EventEmitter;
    // The server takes its monotonic clock from the wall clock, which drops the fraction of a millisecond.
    const before = Date.now() - 1;
    const ended = [once(emitter, 'exchange'), transport.once('exchange')] as const;
    await board.send({ action: 'nobody' });
    const [exchange] = await ended[1];
    expect(await ended[0]).toEqual([exchange]);
    expect(exchange).toMatchObject({ pattern: 'nobody', outcome: 'error-reply' });
    const { pairSentAt, receivedAt, verifiedAt, handlerAt, repliedAt } = exchange;
    const steps = [pairSentAt!, receivedAt, verifiedAt, handlerAt, repliedAt!];
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    expect(receivedAt).toBeGreaterThanOrEqual(before);
    expect(receivedAt).toBeLessThanOrEqual(Date.now());
  });

  it('reject with BEN_CLOSED if the transport closes first', async () => {
    const transport = create();
    await listen(transport);
    const waiting = transport.once('exchange').catch((error: unknown) => error);
    const closed = transport.once('close');
    await transport.close();
    expect(await waiting).toMatchObject({ name: 'BenUdpError', code: 'BEN_CLOSED' });
    expect(await closed).toEqual([]);
  });

  it('reject with BEN_CLOSED if the transport is closed without having listened', async () => {
    const transport = create();
    const waiting = transport.once('listening').catch((error: unknown) => error);
    await transport.close();
    expect(await waiting).toMatchObject({ code: 'BEN_CLOSED' });
  });

  it('remove listeners, and return the transport', () => {
    const transport = create();
    const listener = () => undefined;
    expect(transport.on('close', listener).off('close', listener).once('close', listener)).toBe(transport);
    expect(transport.removeListener('close', listener)).toBe(transport);
  });
});

describe('await using', () => {
  it('closes the transport', async () => {
    const transport = create();
    await listen(transport);
    const closed = transport.once('close');
    await transport[Symbol.asyncDispose]();
    await closed;
    expect(() => transport.unwrap()).toThrow('Not listening');
  });
});

describe('on', () => {
  it('has types for its events and the arguments of their listeners', () => {
    // Checked by `npm run check:types`.
    const transport = create();
    transport.on('listening', (address) => expectTypeOf(address).toEqualTypeOf<AddressInfo>());
    transport.on('error', (error) => expectTypeOf(error).toEqualTypeOf<Error>());
    transport.on('rejected', (rejected) => expectTypeOf(rejected).toEqualTypeOf<BenUdpRejectedDatagram>());
    transport.on('exchange', (exchange) => expectTypeOf(exchange).toEqualTypeOf<BenUdpExchange>());
    transport.on('deviceSilent', (device) => expectTypeOf(device).toEqualTypeOf<BenUdpHeardDevice>());
    expectTypeOf(transport.on<'close'>)
      .parameter(1)
      .toEqualTypeOf<() => void>();
    // @ts-expect-error no such event
    transport.on('reject', () => undefined);
  });

  it('reports every rejected datagram with its reason, and survives a listener that throws', async () => {
    const transport = create();
    transport.addHandler('echo', async (data: unknown) => data as never);
    const rejected: BenUdpRejectedDatagram[] = [];
    transport.on('rejected', () => {
      throw new Error('listener');
    });
    await listen(transport);
    const { port } = transport.unwrap().address();
    const board = await startBoard(port, { key });
    const watching = create();
    watching.on('rejected', (datagram) => rejected.push(datagram));
    await listen(watching);
    const stranger = await startBoard(watching.unwrap().address().port, { key, localAddress: '127.0.0.7' });
    stranger.sendDatagram(Buffer.from('/GETIDs'));
    board.sendDatagram(Buffer.from('junk'));
    await expect.poll(() => rejected).toHaveLength(1);
    expect(rejected).toEqual([
      {
        reason: 'unknown-datagram',
        remote: expect.objectContaining({ address: '127.0.0.7', port: stranger.address.port, family: 'IPv4' }),
        device: undefined,
      },
    ]);
    expect(await board.send({ action: 'echo', data: 2 })).toBe(2);
  });

  it('survives a listener that rejects later, although a stranger can cause it', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    onTestFinished(() => void process.off('unhandledRejection', unhandled));
    const transport = create();
    await listen(transport);
    const called = vi.fn();
    // A promise is not expected here, but the type allows it, because TypeScript ignores the result of a void callback.
    transport.on('rejected', async () => {
      called();
      throw new Error('from a listener');
    });
    const board = await startBoard(transport.unwrap().address().port);
    board.sendDatagram(Buffer.from('junk'));
    await expect.poll(() => called).toHaveBeenCalled();
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).not.toHaveBeenCalled();
  });

  it('reports errors of the socket, which stays usable', async () => {
    const transport = create();
    transport.addHandler('echo', async (data: unknown) => data as never);
    const errors: Error[] = [];
    await listen(transport);
    const broken = new Error('broken');
    transport.unwrap().emit('error', broken);
    transport.on('error', (error) => errors.push(error));
    transport.unwrap().emit('error', broken);
    expect(errors).toEqual([broken]);
    const board = await startBoard(transport.unwrap().address().port, { key });
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
  });
});

describe('getDevices', () => {
  it('has room for a device of each key, also if there are more than maxEndpoints', async () => {
    const keys = { kitchen: Buffer.alloc(32, 'a'), hall: Buffer.alloc(32, 'b'), cellar: Buffer.alloc(32, 'c') };
    const transport = create({ key: [], keys, maxEndpoints: 2 });
    transport.addHandler('echo', async (data: unknown) => data as never);
    await listen(transport);
    const { port } = transport.unwrap().address();
    let localPort = 0;
    for (const [name, own] of Object.entries(keys)) {
      // All from one port, because the table of endpoints has room for two.
      const board = await startBoard(port, { key: own, localPort });
      localPort = board.address.port;
      expect(await board.send({ action: 'echo', data: name })).toBe(name);
      await board.close();
    }
    expect(transport.getDevices().map(({ name, requests }) => [name, requests])).toEqual(
      Object.keys(keys).map((name) => [name, 1]),
    );
  });
});

describe('IPv6', () => {
  it('serves boards on ::1', async () => {
    const transport = create({ host: '::1' });
    transport.addHandler('echo', async (data: unknown) => data as never);
    await listen(transport);
    const board = await startBoard(transport.unwrap().address().port, { key, host: '::1', localAddress: '::1' });
    expect(await board.send({ action: 'echo', data: 6 })).toBe(6);
  });

  it('on :: serves IPv4 boards too, whose address is then an IPv6 one', async () => {
    const transport = create({ host: '::' });
    const remotes: string[] = [];
    transport.addHandler('echo', async (data: unknown, context?: BenUdpContext) => {
      remotes.push(`${context?.getRemoteFamily()} ${context?.getRemoteAddress()}`);
      return data as never;
    });
    await listen(transport);
    const { port } = transport.unwrap().address();
    expect(await (await startBoard(port, { key })).send({ action: 'echo', data: 4 })).toBe(4);
    expect(
      await (await startBoard(port, { key, host: '::1', localAddress: '::1' })).send({ action: 'echo', data: 6 }),
    ).toBe(6);
    expect(remotes).toEqual(['IPv6 ::ffff:127.0.0.1', 'IPv6 ::1']);
    expect(transport.getDevices().map(({ name }) => name)).toEqual([
      expect.stringMatching(/^\[::ffff:127\.0\.0\.1\]:\d+$/),
      expect.stringMatching(/^\[::1\]:\d+$/),
    ]);
  });
});

/** A platform with a callback for each datagram that its sockets send. */
function recordSends(platform: Platform, onSend: (port: number) => void): Platform {
  return withBindSocket(platform, async (options, handlers) => {
    const socket = await platform.bindSocket(options, handlers);
    const send = socket.send.bind(socket);
    return Object.assign(socket, {
      send: (...args: Parameters<typeof send>) => {
        onSend(args[1]);
        send(...args);
      },
    });
  });
}

describe('datagramGap', () => {
  /** A server on a clock of the test, and the ports that it has sent datagrams to. */
  async function start(datagramGap: number) {
    const platform = new FakePlatform();
    const ports: number[] = [];
    const transport = create(
      { datagramGap, shutdownTimeout: 0 },
      recordSends(platform, (port) => ports.push(port)),
    );
    transport.addHandler('echo', async (data: unknown) => data as never);
    await listen(transport);
    return { platform, ports, transport, port: transport.unwrap().address().port };
  }

  it('spaces the answers to many boards concurrently, not one after the other', async () => {
    const boards = 20;
    const { platform, ports, port } = await start(200);
    const fleet = await Promise.all(
      Array.from({ length: boards }, (_, index) => startBoard(port, { key, localAddress: `127.0.0.${index + 2}` })),
    );
    const answers = Promise.all(fleet.map((board, index) => board.send({ action: 'echo', data: index })));
    for (const datagrams of [1, 2, 3, 4, 5]) {
      // The same datagram for each board. The second is that of the pair, the fourth and fifth those of the reply.
      await expect.poll(() => ports.length).toBe(datagrams * boards);
      expect(new Set(ports.slice(-boards)).size).toBe(boards);
      if (datagrams !== 2) {
        platform.advance(200);
      }
    }
    expect(await answers).toEqual(fleet.map((_, index) => index));
  });

  it('of 30 ms spaces the datagrams of an answer', async () => {
    const { platform, ports, port } = await start(30);
    const board = await startBoard(port, { key });
    const answer = board.send({ action: 'echo', data: 1 });
    /** The number of sent datagrams, after the promises that follow a timer. */
    const sentAfter = async (ms: number) => {
      platform.advance(ms);
      await new Promise((resolve) => setImmediate(resolve));
      return ports.length;
    };
    await expect.poll(() => ports.length).toBe(1);
    expect([await sentAfter(29), await sentAfter(1)]).toEqual([1, 2]);
    // The reply.
    await expect.poll(() => ports.length).toBe(3);
    expect([await sentAfter(29), await sentAfter(1), await sentAfter(29), await sentAfter(1)]).toEqual([3, 4, 4, 5]);
    expect(await answer).toBe(1);
  });

  it('of 0 ms sends the datagrams of an answer at once, without a timer', async () => {
    const { platform, ports, port } = await start(0);
    const board = await startBoard(port, { key });
    const timers = platform.pendingTimers;
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
    expect(ports).toHaveLength(5);
    expect(platform.pendingTimers).toBe(timers);
  });
});
