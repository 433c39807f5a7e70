/** Whose datagrams are the probe's own, and how it finds its process on a shared port. test/e2e/health.spec.ts makes real exchanges. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { KeyRing } from '../../lib/keys/index.js';
import { LoopbackProbe } from '../../lib/nest/loopback-probe.js';
import type { ListenerHandlers } from '../../lib/server/index.js';
import { KEY, remoteOf } from '../support/pure-device.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';
import { SERVER, ScriptedServer } from '../support/scripted-server.js';

/** How long the probe waits for its own hello on a shared port. */
const SEARCH_MS = 5;

function create({ isShared = false, address = '0.0.0.0' } = {}) {
  const platform = new ScriptedPlatform();
  const ring = new KeyRing([{ device: undefined, key: KEY }]);
  const probe = new LoopbackProbe(() => ring, platform, isShared);
  const handlers = probe.wrap({} as ListenerHandlers);
  probe.aim({ address, port: 8585 });
  /** Begins a ping, and returns the port that it sends from. */
  const begin = async () => {
    probe.run(1000).catch(() => undefined);
    await settle();
    return platform.sockets[0]!.address.port;
  };
  onTestFinished(async () => {
    await platform.advance(1000);
    await probe.close();
  });
  return { platform, probe, begin, isOwn: (from: string, port: number) => handlers.isOwn!(remoteOf(from, port)) };
}

describe('isOwn', () => {
  it('needs a port of the probe, and an address of this machine', async () => {
    const { begin, isOwn } = create();
    const port = await begin();
    expect(['127.0.0.1', '127.0.0.9', '::ffff:127.0.0.1', '::1'].map((from) => isOwn(from, port))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect([isOwn('10.0.0.9', port), isOwn('::ffff:10.0.0.9', port), isOwn('127.0.0.1', port + 1)]).toEqual([
      false,
      false,
      false,
    ]);
  });

  it('knows the address that the server is bound to', async () => {
    const { begin, isOwn } = create({ address: '192.168.1.2' });
    const port = await begin();
    expect([isOwn('192.168.1.2', port), isOwn('192.168.1.3', port)]).toEqual([true, false]);
  });

  it('forgets a port whose socket is closed', async () => {
    const { probe, begin, isOwn } = create();
    const port = await begin();
    await probe.close();
    expect(isOwn('127.0.0.1', port)).toBe(false);
  });
});

describe('on a shared port', () => {
  it('tries another source port until this process gets the hello', async () => {
    const { platform, begin, isOwn } = create({ isShared: true });
    const port = await begin();
    await platform.advance(SEARCH_MS);
    expect(platform.sockets.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    isOwn('127.0.0.1', port);
    await platform.advance(SEARCH_MS);
    expect(platform.sockets.map(({ isClosed }) => isClosed)).toEqual([true, false]);
  });

  it('reads its socket before it gives an attempt up, because a blocked loop fires timers first', async () => {
    const { platform, begin, isOwn } = create({ isShared: true });
    const port = await begin();
    const advanced = platform.advance(SEARCH_MS);
    isOwn('127.0.0.1', port);
    await advanced;
    expect(platform.sockets).toHaveLength(1);
  });

  it('takes no pair of another process, which has the same keys', async () => {
    const { platform, begin, isOwn } = create({ isShared: true });
    const port = await begin();
    const [socket] = platform.sockets;
    const other = new ScriptedServer(KEY);
    const server = { ...SERVER, address: '127.0.0.1' };
    await socket!.receive(other.pair(), server);
    expect(socket!.sent).toHaveLength(1);
    isOwn('127.0.0.1', port);
    await socket!.receive(other.pair(), server);
    expect(socket!.sent).toHaveLength(2);
  });
});
