import { describe, expect, it, vi } from 'vitest';
import { type BenUdpHeardDevice, DeviceRegistry } from '../../lib/server/device-registry.js';
import { FakePlatform } from '../support/fake-platform.js';
import { remoteOf } from '../support/pure-device.js';
import { Sender } from '../../lib/exchange/remote.js';

function create({ capacity = 100, silentAfterMs = 0 } = {}) {
  const platform = new FakePlatform();
  const silent: BenUdpHeardDevice[] = [];
  const registry = new DeviceRegistry(platform, capacity, silentAfterMs, (device) => silent.push(device));
  registry.start();
  return { platform, registry, silent };
}

function requestOf(device: string | undefined, address: string, port: number) {
  return { device, endpoint: new Sender(remoteOf(address, port)).key };
}

describe('DeviceRegistry', () => {
  it('identifies a named device by its name at any address, and others by their address', () => {
    const { platform, registry } = create();
    vi.spyOn(platform, 'wallClock').mockReturnValue(1_767_355_200_000);
    registry.record(requestOf('kitchen', '10.0.0.1', 1));
    registry.record(requestOf('kitchen', '10.0.0.2', 2));
    registry.record(requestOf(undefined, '10.0.0.3', 3));
    registry.record(requestOf(undefined, 'fe80::1', 4));
    expect(registry.list([])).toEqual([
      {
        name: 'kitchen',
        isNamed: true,
        address: '10.0.0.2',
        port: 2,
        requests: 2,
        lastSeenAt: 1_767_355_200_000,
        isSilent: false,
      },
      expect.objectContaining({ name: '10.0.0.3:3', isNamed: false, requests: 1 }),
      expect.objectContaining({ name: '[fe80::1]:4', address: 'fe80::1' }),
    ]);
  });

  it('forgets the named devices that are not among the names to retain, and no other', () => {
    const { registry, platform, silent } = create({ silentAfterMs: 1000 });
    for (const [port, device] of ['kitchen', 'hall', undefined].entries()) {
      registry.record(requestOf(device, '10.0.0.1', port + 1));
    }
    registry.retain(['hall', 'cellar']);
    expect(registry.list([]).map(({ name }) => name)).toEqual(['hall', '10.0.0.1:3']);
    platform.advance(1100);
    expect(silent.map(({ name }) => name)).toEqual(['hall', '10.0.0.1:3']);
  });

  it('lists the devices that were never heard first, each once', () => {
    const { registry } = create({ silentAfterMs: 1 });
    registry.record(requestOf('hall', '10.0.0.1', 1));
    expect(registry.list(['kitchen', 'hall', 'kitchen'])).toEqual([
      {
        name: 'kitchen',
        isNamed: true,
        address: undefined,
        port: undefined,
        lastSeenAt: undefined,
        requests: 0,
        isSilent: false,
      },
      expect.objectContaining({ name: 'hall', requests: 1 }),
    ]);
  });

  it('remembers at most its capacity and forgets the device with the longest silence', () => {
    const { registry } = create({ capacity: 2 });
    registry.record(requestOf('a', '10.0.0.1', 1));
    registry.record(requestOf('b', '10.0.0.1', 1));
    registry.record(requestOf('a', '10.0.0.1', 1));
    expect(registry.list([]).map(({ name }) => name)).toEqual(['b', 'a']);
    registry.record(requestOf('c', '10.0.0.1', 1));
    expect(registry.list([]).map(({ name }) => name)).toEqual(['a', 'c']);
  });

  it('forgets a device without a name before one with a name, and keeps the limit among named ones', () => {
    const { registry } = create({ capacity: 3 });
    registry.record(requestOf('kitchen', '10.0.0.1', 1));
    for (const port of [1, 2, 3, 4]) {
      registry.record(requestOf(undefined, '10.0.0.9', port));
    }
    expect(registry.list([]).map(({ name }) => name)).toEqual(['kitchen', '10.0.0.9:3', '10.0.0.9:4']);
    for (const name of ['hall', 'cellar', 'attic']) {
      registry.record(requestOf(name, '10.0.0.2', 1));
    }
    expect(registry.list([]).map(({ name }) => name)).toEqual(['hall', 'cellar', 'attic']);
  });

  it('has room for each key, so a fleet larger than its capacity can fall silent', () => {
    const platform = new FakePlatform();
    const silent: string[] = [];
    const registry = new DeviceRegistry(
      platform,
      2,
      1000,
      ({ name }) => silent.push(name),
      () => 4,
    );
    registry.start();
    const names = ['kitchen', 'hall', 'cellar', 'attic'];
    names.forEach((name, index) => registry.record(requestOf(name, '10.0.0.1', 1 + index)));
    platform.advance(600);
    names.slice(1).forEach((name, index) => registry.record(requestOf(name, '10.0.0.1', 2 + index)));
    platform.advance(500);
    expect(silent).toEqual(['kitchen']);
    registry.record(requestOf('a removed device', '10.0.0.1', 9));
    expect(registry.list([]).map(({ name }) => name)).toEqual([...names.slice(1), 'a removed device']);
    registry.stop();
  });

  it('reports a silent device once, within a tenth of the time, and again after it was heard', () => {
    const { platform, registry, silent } = create({ silentAfterMs: 1000 });
    registry.record(requestOf('a', '10.0.0.1', 1));
    platform.advance(999);
    expect(silent).toEqual([]);
    platform.advance(101);
    expect(silent).toEqual([expect.objectContaining({ name: 'a', isSilent: true })]);
    platform.advance(5000);
    expect(silent).toHaveLength(1);
    registry.record(requestOf('a', '10.0.0.1', 1));
    expect(registry.list([])[0]).toMatchObject({ isSilent: false });
    platform.advance(1200);
    expect(silent).toHaveLength(2);
  });

  it('reports no device that is heard in time', () => {
    const { platform, registry, silent } = create({ silentAfterMs: 1000 });
    for (let minute = 0; minute < 50; minute++) {
      registry.record(requestOf('a', '10.0.0.1', 1));
      platform.advance(900);
    }
    expect(silent).toEqual([]);
  });

  it('has no timer if silentAfter is 0, or after stop', () => {
    expect(create().platform.pendingTimers).toBe(0);
    const { platform, registry } = create({ silentAfterMs: 1000 });
    expect(platform.pendingTimers).toBe(1);
    registry.stop();
    expect(platform.pendingTimers).toBe(0);
  });
});
