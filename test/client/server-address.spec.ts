import { describe, expect, it } from 'vitest';
import { LOOKUP_PATIENCE_MS, MAX_ADDRESS_AGE_MS, ServerAddress } from '../../lib/client/server-address.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';

async function resolve(host = 'ben.test') {
  const platform = new ScriptedPlatform();
  platform.names.set('ben.test', '10.0.0.1');
  const errors: Error[] = [];
  const address = await ServerAddress.resolve(host, 0, (error) => errors.push(error), platform);
  return { platform, errors, address };
}

describe('ServerAddress', () => {
  it('is stale after its age, and fresh again after a look-up', async () => {
    const { platform, address } = await resolve();
    await platform.advance(MAX_ADDRESS_AGE_MS);
    expect(address.isStale).toBe(false);
    await platform.advance(1);
    expect(address.isStale).toBe(true);
    platform.names.set('ben.test', '10.0.0.2');
    await address.refresh();
    expect([address.current, address.isStale]).toEqual(['10.0.0.2', false]);
  });

  it('is stale once an exchange timed out', async () => {
    const { address } = await resolve();
    address.doubt();
    expect(address.isStale).toBe(true);
    await address.refresh();
    expect(address.isStale).toBe(false);
  });

  it.each(['10.0.0.9', '::1'])('is never stale if the host is an address: %s', async (host) => {
    const { platform, address } = await resolve(host);
    address.doubt();
    await platform.advance(10 * MAX_ADDRESS_AGE_MS);
    expect(address.isStale).toBe(false);
  });

  it('is looked up once for all that ask meanwhile', async () => {
    const { platform, address } = await resolve();
    const before = platform.lookups;
    await Promise.all([address.refresh(), address.refresh(), address.refresh()]);
    expect(platform.lookups - before).toBe(1);
  });

  it('stays if the name is not known any more, and reports that once until it is known again', async () => {
    const { platform, address, errors } = await resolve();
    platform.names.clear();
    await address.refresh();
    await address.refresh();
    expect(address.current).toBe('10.0.0.1');
    expect(errors).toHaveLength(1);
    platform.names.set('ben.test', '10.0.0.1');
    await address.refresh();
    platform.names.clear();
    await address.refresh();
    expect(errors).toHaveLength(2);
  });

  it('is used while a name server does not answer, and replaced when it does', async () => {
    const { platform, address } = await resolve();
    let answer!: (address: string) => void;
    platform.names.set('ben.test', new Promise((settleName) => (answer = settleName)));
    let isOver = false;
    const refreshed = address.refresh().then(() => (isOver = true));
    await platform.advance(LOOKUP_PATIENCE_MS - 1);
    expect(isOver).toBe(false);
    await platform.advance(1);
    await refreshed;
    expect([address.current, address.isStale]).toEqual(['10.0.0.1', false]);
    answer('10.0.0.2');
    await settle();
    expect(address.current).toBe('10.0.0.2');
    expect(platform.pendingTimers).toBe(0);
  });

  it('is not there if the first look-up fails', async () => {
    await expect(resolve('none.test')).rejects.toThrow('ENOTFOUND');
  });
});
