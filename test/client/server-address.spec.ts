import { describe, expect, it, vi } from 'vitest';
import { LOOKUP_PATIENCE_MS, MAX_ADDRESS_AGE_MS, ServerAddress, findServer } from '../../lib/client/server-address.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';

const PORT = 8585;

async function create(host = 'ben.test') {
  const platform = new ScriptedPlatform();
  platform.names.set('ben.test', '10.0.0.1');
  const server = { host, port: PORT, localAddress: undefined };
  const onUsable = vi.fn();
  const onError = vi.fn();
  const peer = await findServer(server, undefined, platform);
  const address = new ServerAddress(server, peer, { onUsable, onError }, platform);
  const lookups = () => platform.lookups - 1;
  /** Lets the next lookup take its time. */
  const hang = () => {
    let answer!: (address: string) => void;
    let fail!: (error: Error) => void;
    const pending = new Promise<string>((resolve, reject) => {
      answer = resolve;
      fail = reject;
    });
    pending.catch(() => undefined);
    platform.names.set('ben.test', pending);
    return { answer, fail };
  };
  return { platform, address, onUsable, onError, lookups, hang };
}

describe('findServer', () => {
  const server = { host: 'ben.test', port: PORT, localAddress: undefined };

  it('finds the address of the server', async () => {
    const platform = new ScriptedPlatform();
    platform.names.set('ben.test', '10.0.0.1');
    expect(await findServer(server, 1000, platform)).toEqual({ address: '10.0.0.1', port: PORT });
    expect(platform.pendingTimers).toBe(0);
  });

  it('fails for an unknown name', async () => {
    const platform = new ScriptedPlatform();
    await expect(findServer(server, 1000, platform)).rejects.toMatchObject({
      code: 'BEN_HOST_UNKNOWN',
      message: 'the host "ben.test" is not known: getaddrinfo ENOTFOUND ben.test',
      cause: { code: 'ENOTFOUND' },
    });
    expect(platform.pendingTimers).toBe(0);
  });

  it('fails if the lookup takes longer than the timeout, and ignores its later end', async () => {
    const platform = new ScriptedPlatform();
    let fail!: (error: Error) => void;
    platform.names.set('ben.test', new Promise((_resolve, reject) => (fail = reject)));
    const found = findServer(server, 400, platform).catch((error: unknown) => error);
    await platform.advance(399);
    expect(await Promise.race([found, 'pending'])).toBe('pending');
    await platform.advance(1);
    expect(await found).toMatchObject({
      code: 'BEN_HOST_UNKNOWN',
      message: 'the host "ben.test" is not known: no answer within 400 ms',
    });
    fail(new Error('too late'));
    await settle();
  });
});

describe('ServerAddress', () => {
  it('is usable until it is 60 s old, and again after a lookup', async () => {
    const { platform, address, onUsable } = await create();
    expect(MAX_ADDRESS_AGE_MS).toBe(60_000);
    await platform.advance(MAX_ADDRESS_AGE_MS);
    expect(address.isUsable).toBe(true);
    await platform.advance(1);
    expect(address.isUsable).toBe(false);
    platform.names.set('ben.test', '10.0.0.2');
    address.lookUp(() => 1000);
    expect(address.isUsable).toBe(false);
    await settle();
    expect(onUsable).toHaveBeenCalledOnce();
    expect([address.peer, address.isUsable]).toEqual([{ address: '10.0.0.2', port: PORT }, true]);
    await platform.advance(MAX_ADDRESS_AGE_MS);
    expect(address.isUsable).toBe(true);
  });

  it('is not usable after a failed exchange, until a lookup', async () => {
    const { address } = await create();
    address.doubt(address.peer);
    expect(address.isUsable).toBe(false);
    address.lookUp(() => 1000);
    await settle();
    expect(address.isUsable).toBe(true);
  });

  it('is not doubted because of an exchange that began before the latest lookup', async () => {
    const { address } = await create();
    const before = address.peer;
    address.doubt(before);
    address.lookUp(() => 1000);
    await settle();
    address.doubt(before);
    expect(address.isUsable).toBe(true);
    address.doubt(address.peer);
    expect(address.isUsable).toBe(false);
  });

  it.each(['10.0.0.9', '::1', 'fe80::1%lo'])('is always usable if the host is an IP address: %s', async (host) => {
    const { platform, address, lookups } = await create(host);
    address.doubt(address.peer);
    await platform.advance(10 * MAX_ADDRESS_AGE_MS);
    expect(address.isUsable).toBe(true);
    expect(lookups()).toBe(0);
  });

  it('has no timer and no lookup while nobody uses it', async () => {
    const { platform, address, lookups } = await create();
    address.doubt(address.peer);
    await platform.advance(10 * MAX_ADDRESS_AGE_MS);
    expect([platform.pendingTimers, lookups()]).toEqual([0, 0]);
  });

  it('is looked up once at a time, also while a lookup is overdue', async () => {
    const { platform, address, lookups, hang } = await create();
    const { answer } = hang();
    for (let round = 0; round < 5; round++) {
      address.doubt(address.peer);
      address.lookUp(() => 1000);
      await platform.advance(LOOKUP_PATIENCE_MS);
      expect(address.isUsable).toBe(true);
    }
    expect(lookups()).toBe(1);
    answer('10.0.0.2');
    await settle();
    expect([address.peer.address, address.isUsable]).toEqual(['10.0.0.2', true]);
    expect(lookups()).toBe(1);
  });

  it('holds requests for the shortest of their timeouts, counted from the beginning of the lookup', async () => {
    const { platform, address, onUsable, hang } = await create();
    hang();
    address.doubt(address.peer);
    address.lookUp(() => 900);
    await platform.advance(100);
    address.hasten(500);
    address.hasten(800);
    await platform.advance(399);
    expect([address.isUsable, onUsable.mock.calls]).toEqual([false, []]);
    await platform.advance(1);
    expect([address.isUsable, onUsable.mock.calls]).toEqual([true, [[]]]);
    expect(address.peer.address).toBe('10.0.0.1');
    expect(platform.pendingTimers).toBe(0);
  });

  it('holds nothing any more for a request whose timeout is shorter than the time that passed', async () => {
    const { platform, address, hang } = await create();
    hang();
    address.doubt(address.peer);
    address.lookUp(() => 900);
    await platform.advance(600);
    address.hasten(50);
    await platform.advance(0);
    expect(address.isUsable).toBe(true);
  });

  it('holds requests for a second at most', async () => {
    const { platform, address, hang } = await create();
    hang();
    address.doubt(address.peer);
    address.lookUp(() => 86_400_000);
    expect(LOOKUP_PATIENCE_MS).toBe(1000);
    await platform.advance(999);
    expect(address.isUsable).toBe(false);
    await platform.advance(1);
    expect(address.isUsable).toBe(true);
  });

  it('reports a failed lookup once, keeps the known address, and reports again after a success', async () => {
    const { platform, address, onError, onUsable } = await create();
    const lookUp = async () => {
      address.doubt(address.peer);
      address.lookUp(() => 1000);
      await settle();
      expect(address.isUsable).toBe(true);
    };
    platform.names.clear();
    await lookUp();
    await lookUp();
    expect(address.peer).toEqual({ address: '10.0.0.1', port: PORT });
    expect(onUsable).toHaveBeenCalledTimes(2);
    expect(onError).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({
        code: 'BEN_HOST_UNKNOWN',
        message: 'the host "ben.test" is not known: getaddrinfo ENOTFOUND ben.test; still using 10.0.0.1',
        cause: expect.objectContaining({ code: 'ENOTFOUND' }) as unknown,
      }),
    );
    platform.names.set('ben.test', '10.0.0.1');
    await lookUp();
    platform.names.clear();
    await lookUp();
    expect(onError).toHaveBeenCalledTimes(2);
  });

  it('is not looked up again at once after a failed lookup', async () => {
    const { platform, address } = await create();
    platform.names.clear();
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    address.lookUp(() => 1000);
    await settle();
    await platform.advance(MAX_ADDRESS_AGE_MS);
    expect(address.isUsable).toBe(true);
    await platform.advance(1);
    expect(address.isUsable).toBe(false);
  });

  it('tells nothing and has no timer after it was closed', async () => {
    const { platform, address, onUsable, onError, hang } = await create();
    const { fail } = hang();
    address.doubt(address.peer);
    address.lookUp(() => 1000);
    expect(platform.pendingTimers).toBe(1);
    address.close();
    expect(platform.pendingTimers).toBe(0);
    fail(new Error('getaddrinfo EAI_AGAIN'));
    await settle();
    expect([onUsable.mock.calls, onError.mock.calls]).toEqual([[], []]);
  });
});
