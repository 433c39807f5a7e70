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

const start = (options: BenUdpTransportOptions = {}, platform?: MovablePlatform) =>
  startApp({ controllers: [Handlers] }, options, undefined, platform);

/** Makes the socket deaf, as one is whose process hangs: datagrams come in and nobody reads them. */
function deafen(transport: BenUdpTransport): void {
  transport.unwrap().removeAllListeners('message');
}

describe('BenUdpTransport#ping', () => {
  it('makes a real exchange, which counts as one', async () => {
    const { transport, logs } = await start();
    expect(await transport.ping()).toBeGreaterThan(0);
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
    expect(await transport.ping()).toBeGreaterThan(0);
  });

  it('records no device, and has its own name in events', async () => {
    const { transport } = await start({ key: [], keys: { hall: KEY_CONTENTS } });
    const events: BenUdpExchange[] = [];
    transport.on('exchange', (event) => events.push(event));
    await transport.ping();
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
    const platform = new MovablePlatform();
    const { transport } = await start({}, platform);
    const [first, second] = await Promise.all([transport.ping(), transport.ping()]);
    expect(second).toBe(first);
    expect(await transport.ping()).toBe(first);
    expect(transport.getStats().requests).toBe(1);
    platform.advance(1000);
    await transport.ping();
    expect(transport.getStats().requests).toBe(2);
  });

  it('fails with BEN_TIMEOUT if nothing comes back in the given time', async () => {
    const { transport } = await start({ shutdownTimeout: 50 });
    deafen(transport);
    const startedAt = performance.now();
    await expect(transport.ping({ timeout: 60 })).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });

  it('works while strangers use up every budget', async () => {
    const rate = { perSecond: 1, burst: 1 };
    const { transport, board } = await start({
      limits: { hellosPerSource: rate, hellosOfStrangers: rate, requestsOfStrangers: rate, failuresPerSource: rate },
    });
    const stranger = await board({ timeout: 50 });
    for (const datagram of ['/GETID', "{'hash': 1}", '/GETID']) {
      await stranger.sendDatagram(Buffer.from(datagram));
    }
    await expect.poll(() => transport.getStats().received).toBe(3);
    expect(await transport.ping()).toBeGreaterThan(0);
  });

  it('goes on with the keys that replaced its own', async () => {
    const platform = new MovablePlatform();
    const { transport } = await start({}, platform);
    await transport.ping();
    await transport.reloadKeys({ key: Buffer.alloc(32, 'new') });
    platform.advance(1000);
    expect(await transport.ping({ timeout: 200 })).toBeGreaterThan(0);
  });

  it('fails with BEN_CLOSED before listen, while closing and after it, and works again after another listen', async () => {
    const closed = { code: 'BEN_CLOSED' };
    const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS });
    onTestFinished(() => transport.close());
    const listen = () => new Promise((resolve) => transport.listen(resolve));
    await expect(transport.ping()).rejects.toMatchObject(closed);
    await listen();
    await transport.ping();
    const closing = transport.close();
    await expect(transport.ping()).rejects.toMatchObject(closed);
    await closing;
    await expect(transport.ping()).rejects.toMatchObject(closed);
    await listen();
    expect(await transport.ping()).toBeGreaterThan(0);
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
    const result = await health.check([() => indicator.pingCheck('boards')]);
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
      health.check([() => service.check('boards').attempt(async () => ({ durationMs: await transport.ping() }))]);
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
    expect(await app.get(BenUdpHealthIndicator).pingCheck('boards')).toMatchObject({ boards: { status: 'up' } });
  });
});
