import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type KeyRing, KeyStore, readKeyOptions } from '../../lib/keys/index.js';
import { FakePlatform } from '../support/fake-platform.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const OLD = readKeyOptions('Test', { keys: { old: Buffer.alloc(32, 'o') } });
const NEW = readKeyOptions('Test', { keys: { new: Buffer.alloc(32, 'n') } });

function create(options = OLD, isWatching = false) {
  const platform = new FakePlatform();
  const replaced: Array<[KeyRing, KeyRing]> = [];
  const failed: unknown[] = [];
  const store = new KeyStore(
    options,
    isWatching,
    {
      onReplaced: (keys, previous) => replaced.push([keys, previous]),
      onReloadFailed: (error) => failed.push(error),
      onLeftOut: (errors) => failed.push(...errors),
    },
    platform,
  );
  return { store, platform, replaced, failed };
}

const devicesOf = ({ keys }: KeyRing) => keys.map(({ device }) => device);

describe('KeyStore', () => {
  it('has no current keys before load and after close, and can be loaded again', async () => {
    const { store } = create();
    expect(() => store.current).toThrow('Not listening');
    const ring = await store.load();
    expect(store.current).toBe(ring);
    store.close();
    expect(() => store.current).toThrow('Not listening');
    expect(devicesOf(await store.load())).toEqual(['old']);
  });

  it('reports a reload with the new keys and the previous ones', async () => {
    const { store, replaced } = create();
    const previous = await store.load();
    await store.reload(NEW);
    expect(devicesOf(store.current)).toEqual(['new']);
    expect(replaced).toEqual([[store.current, previous]]);
  });

  it('reloads the options of the last reload that succeeded', async () => {
    const { store } = create();
    await store.load();
    await store.reload(NEW);
    await expect(store.reload(readKeyOptions('Test', { keyFile: '/no/such/file' }))).rejects.toMatchObject({
      code: 'BEN_KEY_FILE_MISSING',
    });
    await store.reload();
    expect(devicesOf(store.current)).toEqual(['new']);
  });

  it('runs reloads one after the other, so the last call wins', async () => {
    const { store, replaced } = create();
    await store.load();
    await Promise.all([store.reload(NEW), store.reload(OLD)]);
    expect(replaced.map(([keys]) => devicesOf(keys))).toEqual([['new'], ['old']]);
    expect(devicesOf(store.current)).toEqual(['old']);
  });

  it('rejects a reload that a close overtakes, and brings no keys back', async () => {
    const { store, replaced } = create();
    await store.load();
    const reloading = store.reload(NEW);
    // The reload has begun to read when this runs.
    await Promise.resolve();
    store.close();
    await expect(reloading).rejects.toMatchObject({ code: 'BEN_CLOSED' });
    expect(replaced).toEqual([]);
    expect(() => store.current).toThrow('Not listening');
  });

  it('watches key files only if it was told to, and stops when it is closed', async () => {
    const path = join(await temporaryFolder(), 'a.sec');
    await writeFile(path, Buffer.alloc(32, 'a'), { mode: 0o600 });
    const options = readKeyOptions('Test', { keyFile: path });
    const [still, watching] = [create(options), create(options, true)];
    await still.store.load();
    await watching.store.load();
    expect([still.platform.pendingTimers, watching.platform.pendingTimers]).toEqual([0, 1]);
    await watching.store.reload();
    expect(watching.platform.pendingTimers).toBe(1);
    watching.store.close();
    expect(watching.platform.pendingTimers).toBe(0);
  });
});
