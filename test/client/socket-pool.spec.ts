/** Which sockets are free, busy, resting and outdated. The clients' specs assert the rest, through whole requests. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SocketPool } from '../../lib/client/socket-pool.js';
import { ClientExchange } from '../../lib/exchange/index.js';
import { deriveKey } from '../../lib/keys/index.js';
import { Sealer } from '../../lib/protocol/index.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';
import { SERVER } from '../support/scripted-server.js';

const sealer = new Sealer(deriveKey(Buffer.alloc(32, 'k')));

function create({ maxSockets = 2, port = 0 } = {}) {
  const platform = new ScriptedPlatform();
  const handlers = { onFree: vi.fn(), onNone: vi.fn(), onIgnored: vi.fn(), onError: vi.fn() };
  const bind = { host: '0.0.0.0', port, receiveBufferSize: undefined };
  const pool = new SocketPool({ bind, maxSockets, idleTimeoutMs: 30_000 }, handlers, platform);
  onTestFinished(() => pool.close());
  return { platform, handlers, pool };
}

/** Takes a socket, and begins an exchange on it. */
async function begin(pool: SocketPool) {
  pool.provide(1);
  await settle();
  const socket = pool.take()!;
  const request = sealer.seal("{'action': 'echo'}");
  const exchange = new ClientExchange({ sealer, peer: SERVER, bufferSize: 4096, request, noreturn: false });
  socket.begin({ exchange, peer: SERVER, noreturn: false, timeoutMs: 1000, onEnd: () => pool.retire(socket, 500) });
  return socket;
}

describe('SocketPool', () => {
  it('has a vacancy for each socket that is idle or can be opened', async () => {
    const { pool } = create();
    expect(pool.vacancies).toBe(2);
    pool.provide(1);
    await settle();
    expect([pool.open.length, pool.vacancies]).toEqual([1, 2]);
    pool.take();
    expect(pool.vacancies).toBe(1);
  });

  it('closes an idle socket by a timer that keeps no process alive', async () => {
    const { platform, pool } = create();
    const schedule = vi.spyOn(platform, 'schedule');
    pool.provide(1);
    await settle();
    expect(schedule.mock.calls).toEqual([[expect.any(Function), 30_000, { isBackground: true }]]);
    await platform.advance(30_000);
    expect(platform.openSockets).toEqual([]);
  });

  it('closes a busy socket of an address that it left, and tells that there is room', async () => {
    const { platform, handlers, pool } = create({ maxSockets: 1 });
    pool.provide(1);
    await settle();
    const socket = pool.take()!;
    pool.sendFrom('10.0.0.9');
    expect(platform.openSockets).toHaveLength(1);
    handlers.onFree.mockClear();
    pool.release(socket);
    expect(handlers.onFree).toHaveBeenCalledOnce();
    expect([pool.take(), pool.vacancies, platform.openSockets]).toEqual([undefined, 1, []]);
  });

  it('uses no socket that was being bound when it left the address', async () => {
    const { platform, pool } = create();
    pool.provide(1);
    pool.sendFrom('10.0.0.9');
    await settle();
    expect(platform.bound).toMatchObject([{ host: '0.0.0.0' }]);
    expect([pool.take(), platform.openSockets]).toEqual([undefined, []]);
  });

  it('lets a resting socket keep the process alive while requests wait, and no idle or closed one', async () => {
    const { platform, pool } = create({ maxSockets: 1, port: 8585 });
    const socket = await begin(pool);
    await platform.advance(1000);
    const [scripted] = platform.sockets;
    expect([pool.take(), scripted!.isReferenced]).toEqual([undefined, false]);
    pool.provide(1);
    expect(scripted!.isReferenced).toBe(true);
    pool.provide(0);
    await platform.advance(500);
    pool.provide(1);
    expect([pool.take(), scripted!.isReferenced]).toEqual([socket, false]);
  });

  it('forgets a resting socket that is closed', async () => {
    const { platform, pool } = create({ maxSockets: 1, port: 8585 });
    const socket = await begin(pool);
    await platform.advance(1000);
    await pool.discard(socket);
    pool.provide(1);
    expect(platform.sockets[0]!.isReferenced).toBe(false);
    await platform.advance(500);
    expect(pool.open).not.toContain(socket);
  });
});
