/** Whether a transport that answers is called healthy, and one that does not is not, by a real exchange and real Terminus. */
import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import {
  BEN_UDP_HEALTH_PATTERN,
  type BenUdpExchange,
  BenUdpHealthIndicator,
  BenUdpModule,
  BenUdpTransport,
  type BenUdpTransportOptions,
} from 'nestjs-ben-udp';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Platform } from '../../lib/net/index.js';
import { FakePlatform } from '../support/fake-platform.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo() {
    return 'hello';
  }
}

const start = (options: BenUdpTransportOptions = {}, platform?: Platform) =>
  startApp({ controllers: [Handlers] }, options, undefined, platform);

/** Makes the socket deaf, as one is whose process hangs: datagrams come in and nobody reads them. */
function deafen(transport: BenUdpTransport): void {
  transport.unwrap().removeAllListeners('message');
}

/** A flood or a busy event loop between the system and the server: arrived datagrams wait here until the test passes them on. */
function hold(transport: BenUdpTransport) {
  const socket = transport.unwrap();
  const [listener] = socket.listeners('message') as Array<(...args: unknown[]) => void>;
  const held: unknown[][] = [];
  socket.removeAllListeners('message');
  socket.on('message', (...args) => held.push(args));
  return {
    /** Resolves when this many datagrams are held. */
    holds: async (count: number) => {
      await expect.poll(() => held).toHaveLength(count);
    },
    /** Passes on the held datagram with this index. */
    pass: (index: number) => listener!(...held.splice(index, 1)[0]!),
    passAllFurther: () => socket.removeAllListeners('message').on('message', listener!),
  };
}

/** So long that only the test's clock can end a ping, or begin its next attempt. An id lives for at least 10 s. */
const PATIENT = { timeout: 27_000 };
const NEXT_ATTEMPT_MS = 9000;

describe('BenUdpTransport#ping', () => {
  it('makes a real exchange, which counts as one', async () => {
    const { transport, logs } = await start();
    expect(await transport.ping(PATIENT)).toBeGreaterThan(0);
    const stats = transport.getStats();
    expect(stats).toMatchObject({ received: 2, hellos: 1, requests: 1, inFlight: 0 });
    expect(stats.outcomes.answered).toBe(1);
    expect([...logs.of('warn'), ...logs.of('error')]).toEqual([]);
  });

  it.each([
    ['all IPv4 addresses', { host: '0.0.0.0' }],
    ['all addresses', { host: '::' }],
    ['one address', { host: '127.0.0.9' }],
    ['a small bufferSize', { bufferSize: 256 }],
    ['a gap between datagrams', { datagramGap: 5 }],
    ['several keys', { key: [], keys: { hall: KEY_CONTENTS, attic: Buffer.alloc(32, 'a') } }],
    ['errorReply none', { errorReply: 'none' as const }],
  ])('works on a transport with %s', async (_what, options) => {
    const { transport } = await start(options);
    expect(await transport.ping(PATIENT)).toBeGreaterThan(0);
  });

  it('records no device, and has its own name in events', async () => {
    const { transport } = await start({ key: [], keys: { hall: KEY_CONTENTS } });
    const events: BenUdpExchange[] = [];
    transport.on('exchange', (event) => events.push(event));
    await transport.ping(PATIENT);
    expect(transport.getDevices()).toMatchObject([{ name: 'hall', requests: 0, lastSeenAt: undefined }]);
    expect(events).toMatchObject([{ pattern: BEN_UDP_HEALTH_PATTERN, device: undefined, outcome: 'answered' }]);
  });

  it('is nothing that a device could ask for', async () => {
    const { transport, board } = await start();
    const device = await board();
    const answer = await device.exchange(`{'action': '${BEN_UDP_HEALTH_PATTERN}'}`);
    expect(answer).toContain('There is no matching message handler');
    expect(transport.getDevices()).toHaveLength(1);
  });

  it('makes at most one exchange a second', async () => {
    const platform = new FakePlatform();
    const { transport } = await start({ shutdownTimeout: 0 }, platform);
    await Promise.all([transport.ping(), transport.ping()]);
    platform.advance(999);
    await transport.ping();
    expect(transport.getStats().requests).toBe(1);
    platform.advance(1);
    await transport.ping();
    expect(transport.getStats().requests).toBe(2);
  });

  it.each([
    ['1000 ms, the default', undefined, 1000],
    ['the given time', { timeout: 60_000 }, 60_000],
  ])('fails with BEN_TIMEOUT if nothing comes back within %s', async (_what, options, ms) => {
    const platform = new FakePlatform();
    const { transport } = await start({ shutdownTimeout: 0 }, platform);
    deafen(transport);
    const outcome = transport.ping(options).catch(({ code }: { code: string }) => code);
    platform.advance(ms - 1);
    expect(await Promise.race([outcome, 'pending'])).toBe('pending');
    platform.advance(1);
    expect(await outcome).toBe('BEN_TIMEOUT');
  });

  it('waits for its first attempt to the end, because a datagram may wait long to be read', async () => {
    const platform = new MovablePlatform();
    const { transport } = await start({}, platform);
    const { holds, pass } = hold(transport);
    const ping = transport.ping(PATIENT);
    await holds(1);
    platform.advance(NEXT_ATTEMPT_MS);
    await holds(2);
    // The hello of the first attempt, and then its request.
    pass(0);
    await holds(2);
    platform.advance(NEXT_ATTEMPT_MS);
    await holds(3);
    pass(1);
    expect(await ping).toBeGreaterThanOrEqual(2 * NEXT_ATTEMPT_MS);
    expect(transport.getStats()).toMatchObject({ received: 2, requests: 1 });
  });

  it.each([
    ['its hello', [0]],
    ['its request', [1]],
    ['two hellos', [0, 0]],
  ])('tries again in its time if the system loses %s', async (_what, passed) => {
    const platform = new MovablePlatform();
    const { transport } = await start({}, platform);
    const { holds, pass, passAllFurther } = hold(transport);
    const ping = transport.ping(PATIENT);
    for (const [lost, count] of passed.entries()) {
      for (let index = 0; index < count; index++) {
        await holds(lost + 1);
        pass(lost);
      }
      await holds(lost + 1);
      if (lost === passed.length - 1) {
        passAllFurther();
      }
      platform.advance(NEXT_ATTEMPT_MS);
    }
    expect(await ping).toBeGreaterThanOrEqual(passed.length * NEXT_ATTEMPT_MS);
  });

  it('works while strangers use up every budget', async () => {
    const rate = { perSecond: 1, burst: 1 };
    const { transport, board } = await start({
      limits: { hellosPerSource: rate, hellosOfStrangers: rate, requestsOfStrangers: rate, failuresPerSource: rate },
    });
    const stranger = await board();
    for (const datagram of ['/GETID', "{'hash': 1}", '/GETID']) {
      await stranger.sendDatagram(Buffer.from(datagram));
    }
    await expect.poll(() => transport.getStats().received).toBe(3);
    expect(await transport.ping(PATIENT)).toBeGreaterThan(0);
  });

  it('goes on with the keys that replaced its own', async () => {
    const platform = new MovablePlatform();
    const { transport } = await start({}, platform);
    await transport.ping(PATIENT);
    await transport.reloadKeys({ key: Buffer.alloc(32, 'new') });
    platform.advance(1000);
    expect(await transport.ping(PATIENT)).toBeGreaterThan(0);
  });

  it('fails with BEN_CLOSED before listen, while closing and after it, and works again after another listen', async () => {
    const closed = { code: 'BEN_CLOSED' };
    const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS });
    onTestFinished(() => transport.close());
    const listen = () => new Promise((resolve) => transport.listen(resolve));
    await expect(transport.ping()).rejects.toMatchObject(closed);
    await listen();
    await transport.ping(PATIENT);
    const closing = transport.close();
    await expect(transport.ping()).rejects.toMatchObject(closed);
    await closing;
    await expect(transport.ping()).rejects.toMatchObject(closed);
    await listen();
    expect(await transport.ping(PATIENT)).toBeGreaterThan(0);
  });

  it('leaves no timer and no socket behind', async () => {
    const platform = new FakePlatform();
    const transport = new BenUdpTransport(
      { host: '127.0.0.1', port: 0, key: KEY_CONTENTS, shutdownTimeout: 0 },
      platform,
    );
    await new Promise((resolve) => transport.listen(resolve));
    const before = platform.pendingTimers;
    await transport.ping();
    // The one that closes its socket when it is idle.
    expect(platform.pendingTimers).toBe(before + 1);
    const udpSockets = () => process.getActiveResourcesInfo().filter((name) => name === 'UDPWrap').length;
    await transport.close();
    expect(platform.pendingTimers).toBe(0);
    await expect.poll(udpSockets).toBe(0);
  });

  it.each([
    [{ timeout: 9 }, RangeError, 'option "timeout" must be an integer from 10 to 60000, got 9'],
    [{ timeout: '1 s' }, TypeError, 'option "timeout"'],
    [{ timeuot: 1000 }, TypeError, 'BenUdpTransport#ping has no option "timeuot"'],
  ])('refuses %o', async (options, kind, message) => {
    const { transport } = await start();
    const ping = transport.ping(options as never);
    await expect(ping).rejects.toThrow(message);
    await expect(ping).rejects.toBeInstanceOf(kind);
  });
});

describe('BenUdpHealthIndicator', () => {
  /** What Terminus makes of it. */
  async function terminusOf(transport: BenUdpTransport) {
    const module = await Test.createTestingModule({ imports: [TerminusModule.forRoot({ logger: false })] }).compile();
    const indicator = new BenUdpHealthIndicator(transport);
    return { health: module.get(HealthCheckService), service: module.get(HealthIndicatorService), indicator };
  }

  it('is taken by Terminus for one that is up', async () => {
    const { transport } = await start();
    const { health, indicator } = await terminusOf(transport);
    const result = await health.check([() => indicator.pingCheck('boards', PATIENT)]);
    expect(result).toMatchObject({ status: 'ok', error: {} });
    expect(result.details).toEqual({ boards: { status: 'up', durationMs: expect.any(Number) } });
  });

  it('is taken by Terminus for one that is down, and says why', async () => {
    const { transport } = await start({ shutdownTimeout: 50 });
    const { health, indicator } = await terminusOf(transport);
    deafen(transport);
    const check = health.check([() => indicator.pingCheck('boards', { timeout: 20 })]);
    await expect(check).rejects.toMatchObject({
      status: 503,
      response: { status: 'error', details: { boards: { status: 'down', code: 'BEN_TIMEOUT' } } },
    });
  });

  it('lets a wrong option through, which is no matter of health', async () => {
    const { transport } = await start();
    const { indicator } = await terminusOf(transport);
    await expect(indicator.pingCheck('boards', { timeout: 0 })).rejects.toThrow('option "timeout"');
  });

  it("can be left to Terminus' own service, as ping() throws", async () => {
    const { transport } = await start({ shutdownTimeout: 50 });
    const { health, service } = await terminusOf(transport);
    const check = () =>
      health.check([
        () => service.check('boards').attempt(async () => ({ durationMs: await transport.ping(PATIENT) })),
      ]);
    expect((await check()).details).toMatchObject({ boards: { status: 'up' } });
    await transport.close();
    await expect(check()).rejects.toMatchObject({ response: { details: { boards: { status: 'down' } } } });
  });

  it('is provided by BenUdpModule', async () => {
    const imports = [BenUdpModule.forRoot({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS })];
    const module = await Test.createTestingModule({ imports }).compile();
    const app = module.createNestMicroservice({ strategy: module.get(BenUdpTransport), logger: false });
    await app.listen();
    onTestFinished(() => app.close());
    expect(await app.get(BenUdpHealthIndicator).pingCheck('boards', PATIENT)).toMatchObject({
      boards: { status: 'up' },
    });
  });
});
