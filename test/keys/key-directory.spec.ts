/** A folder of key files, and a provider of keys. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { platform } from 'node:process';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  type BenUdpDeviceKey,
  type BenUdpKeyOptions,
  KeyStore,
  MAX_POLLED_FILES,
  POLL_INTERVAL_MS,
  SETTLE_MS,
  loadKeyRing,
  readKeyOptions,
} from '../../lib/keys/index.js';
import { FakePlatform } from '../support/fake-platform.js';
import { temporaryFolder } from '../support/temporary-folder.js';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder();
});

const write = (name: string, contents: string | Buffer = randomBytes(32)) =>
  writeFile(join(folder, name), contents, { mode: 0o600 });

const load = async (options: BenUdpKeyOptions) => (await loadKeyRing(readKeyOptions('Owner', options))).keys;

const devicesOf = ({ keys }: { keys: ReadonlyArray<{ device: string | undefined }> }) => keys.map((key) => key.device);

describe('keyDirectory', () => {
  it('takes NAME.sec for the key of device NAME, and leaves everything else alone', async () => {
    await Promise.all([write('kitchen.sec'), write('cellar.2.sec'), write('.kitchen.sec'), write('README', 'hello')]);
    expect(devicesOf(await load({ keyDirectory: folder }))).toEqual(['cellar.2', 'kitchen']);
  });

  it.each([
    ['a folder that is missing', 'nowhere', /key directory ".*nowhere" could not be read: ENOENT.*Create it/],
    ['an empty folder', '', /holds no file NAME\.sec\. Make one with "npx nestjs-ben-udp keygen .*kitchen\.sec"/],
  ])('refuses %s', async (_what, name, message) => {
    await expect(load({ keyDirectory: join(folder, name) })).rejects.toMatchObject({
      code: 'BEN_KEY_DIRECTORY',
      message: expect.stringMatching(message),
    });
  });

  it('leaves out a file that is no key, and reports it by its name', async () => {
    await Promise.all([write('kitchen.sec'), write('cellar.sec', 'short')]);
    const { keys, leftOut } = await loadKeyRing(readKeyOptions('Owner', { keyDirectory: folder }));
    expect(devicesOf(keys)).toEqual(['kitchen']);
    expect(leftOut).toMatchObject([{ code: 'BEN_KEY_FILE_TOO_SHORT', message: expect.stringContaining('cellar.sec') }]);
  });

  it('fails if no file is a key', async () => {
    await write('cellar.sec', 'short');
    await expect(load({ keyDirectory: folder })).rejects.toMatchObject({ code: 'BEN_KEY_FILE_TOO_SHORT' });
  });

  it('leaves out a copy of another file, and keeps the one that was in use', async () => {
    const key = randomBytes(32);
    await Promise.all([write('kitchen.sec', key), write('porch.sec')]);
    const options = readKeyOptions('Owner', { keyDirectory: folder });
    const first = await loadKeyRing(options);
    await Promise.all([write('attic.sec', key), write('roof.sec', key)]);
    const { keys, leftOut } = await loadKeyRing(options, () => first.keys);
    expect(devicesOf(keys)).toEqual(['kitchen', 'porch']);
    expect(leftOut.map(({ code }) => code)).toEqual(['BEN_KEY_DUPLICATE', 'BEN_KEY_DUPLICATE']);
    expect(leftOut.map(({ message }) => message).join()).toMatch(/"attic".*"roof"/);
  });
});

describe('keyDirectory that is watched', () => {
  async function watch() {
    const machine = new FakePlatform();
    const changes: string[] = [];
    const leftOut: unknown[] = [];
    const store = new KeyStore(
      readKeyOptions('Owner', { keyDirectory: folder }),
      true,
      {
        onReplaced: (keys, previous) => changes.push(keys.describeChange(previous).replaceAll(/ \(key \w+\)/g, '')),
        onReloadFailed: (error) => expect.fail(String(error)),
        onLeftOut: (errors) => leftOut.push(...errors),
      },
      machine,
    );
    await store.load();
    onTestFinished(() => store.close());
    const poll = async (ms: number) => {
      machine.advance(ms);
      await expect.poll(() => machine.pendingTimers, { interval: 1 }).toBe(1);
    };
    /** Two polls that agree. */
    const settle = async () => {
      await poll(POLL_INTERVAL_MS);
      await poll(SETTLE_MS);
    };
    return { changes, leftOut, settle, store };
  }

  it('adds and removes boards without a restart', async () => {
    await write('kitchen.sec');
    const { changes, settle, store } = await watch();
    await write('cellar.sec');
    await settle();
    await expect.poll(() => changes).toEqual(['2 in all, added cellar']);
    await rm(join(folder, 'kitchen.sec'));
    await settle();
    await expect.poll(() => changes.at(-1)).toBe('1 in all, removed kitchen');
    expect(devicesOf(store.current)).toEqual(['cellar']);
  });

  it('takes a key that is replaced by a rename, and one that is written in place', async () => {
    await write('kitchen.sec');
    const { changes, settle } = await watch();
    await write('aside');
    await rename(join(folder, 'aside'), join(folder, 'kitchen.sec'));
    await settle();
    await expect.poll(() => changes).toEqual(['1 in all, added kitchen; removed kitchen']);
    await write('kitchen.sec');
    await settle();
    await expect.poll(() => changes).toHaveLength(2);
  });

  it('leaves out an added file while it is no key yet, and takes it when it is', async () => {
    await write('kitchen.sec');
    const { changes, leftOut, settle, store } = await watch();
    await write('cellar.sec', 'short');
    await settle();
    await expect.poll(() => leftOut).toHaveLength(1);
    expect(devicesOf(store.current)).toEqual(['kitchen']);
    await settle();
    expect(leftOut).toHaveLength(1);
    await write('cellar.sec');
    await settle();
    await expect.poll(() => changes.at(-1)).toEqual('2 in all, added cellar');
  });

  it.skipIf(platform === 'win32')('reports a link to nowhere once, and takes the file when it is there', async () => {
    const elsewhere = join(await temporaryFolder(), 'cellar');
    await write('kitchen.sec');
    await symlink(elsewhere, join(folder, 'cellar.sec'));
    const { changes, leftOut, settle } = await watch();
    await settle();
    await settle();
    expect(leftOut).toMatchObject([{ code: 'BEN_KEY_FILE_MISSING' }]);
    expect(changes).toEqual([]);
    await writeFile(elsewhere, randomBytes(32), { mode: 0o600 });
    await settle();
    await expect.poll(() => changes).toEqual(['2 in all, added cellar']);
  });

  it('adds and removes boards beside a file that is no key', async () => {
    await Promise.all([write('kitchen.sec'), write('stolen.sec'), write('damaged.sec', 'short')]);
    const { changes, settle, store } = await watch();
    await rm(join(folder, 'stolen.sec'));
    await write('new.sec');
    await settle();
    await expect.poll(() => changes).toEqual(['2 in all, added new; removed stolen']);
    expect(devicesOf(store.current)).toEqual(['kitchen', 'new']);
  });

  it('keeps the key of a file that is damaged, until it is removed', async () => {
    await Promise.all([write('kitchen.sec'), write('cellar.sec')]);
    const { changes, leftOut, settle, store } = await watch();
    await write('cellar.sec', 'short');
    await settle();
    await expect.poll(() => leftOut).toHaveLength(1);
    expect(devicesOf(store.current)).toEqual(['cellar', 'kitchen']);
    await store.reload();
    expect(devicesOf(store.current)).toEqual(['cellar', 'kitchen']);
    await rm(join(folder, 'cellar.sec'));
    await settle();
    await expect.poll(() => changes.at(-1)).toBe('1 in all, removed cellar');
  });

  it(`looks at ${MAX_POLLED_FILES} files in a poll, and so at every file in turn`, async () => {
    await Promise.all(Array.from({ length: MAX_POLLED_FILES + 1 }, (_, index) => write(`board-${index}.sec`)));
    const { changes, settle } = await watch();
    await write('board-0.sec');
    await write(`board-999.sec`);
    await settle();
    await settle();
    await settle();
    await expect.poll(() => changes.length).toBeGreaterThan(0);
    expect(changes.join()).toMatch(/board-0\b/);
    expect(changes.join()).toMatch(/board-999\b/);
  });
});

describe('keyProvider', () => {
  const keys = ['kitchen', 'cellar'].map((device) => ({ device, key: randomBytes(32) }));

  it.each<[string, BenUdpKeyOptions['keyProvider']]>([
    ['a list', () => keys],
    ['a promise of a list', () => Promise.resolve(keys)],
    [
      'an asynchronous generator',
      async function* () {
        yield* await Promise.resolve(keys);
      },
    ],
  ])('is a function that gives %s', async (_what, keyProvider) => {
    const ring = await load({ keyProvider: keyProvider! });
    expect(devicesOf(ring)).toEqual(['kitchen', 'cellar']);
  });

  it('is asked again by each load, and its bytes are not needed afterwards', async () => {
    const key = randomBytes(32);
    const options = readKeyOptions('Owner', { keyProvider: () => [{ device: 'a', key }] });
    const first = await loadKeyRing(options);
    key.fill(7);
    const second = await loadKeyRing(options, () => first.keys);
    expect(second.keys.describeChange(first.keys)).toMatch(/^1 in all, added a .*; removed a /);
  });

  it.each<[string, () => unknown, object]>([
    ['no key', () => [], { code: 'BEN_KEY_PROVIDER', message: expect.stringContaining('returned no key') }],
    [
      'an error',
      () => Promise.reject(new Error('no database')),
      { code: 'BEN_KEY_PROVIDER', message: expect.stringContaining('failed: no database') },
    ],
    [
      'nothing',
      () => undefined,
      { code: 'BEN_KEY_PROVIDER', message: expect.stringMatching(/failed: it must return .*, got undefined\. /) },
    ],
    ['no board', () => [null], { name: 'TypeError', message: expect.stringContaining('non-empty') }],
    ['no name', () => [{ key: randomBytes(32) }], { name: 'TypeError', message: expect.stringContaining('non-empty') }],
    [
      'a text as key',
      () => [{ device: 'a', key: 'x' }],
      { name: 'TypeError', message: expect.stringContaining('"a"') },
    ],
    [
      'a short key',
      () => [{ device: 'a', key: randomBytes(31) }],
      { name: 'RangeError', message: expect.stringContaining('at least 32 bytes') },
    ],
  ])('fails for %s', async (_what, keyProvider, error) => {
    const options = { keyProvider: keyProvider as () => BenUdpDeviceKey[] };
    await expect(load(options)).rejects.toMatchObject(error);
  });
});

describe('the options that name keys', () => {
  const bytes = createHash('sha256').update('key').digest();

  it.each<[BenUdpKeyOptions, RegExp]>([
    [{ keyFile: 'a.sec', key: bytes }, /takes its keys from one option, got "keyFile" and "key"/],
    [{ keys: { a: bytes }, keyDirectory: 'keys' }, /got "keys" and "keyDirectory"/],
    [{ keyDirectory: 'keys', keyProvider: () => [] }, /got "keyDirectory" and "keyProvider"/],
    [{ keyDirectory: '' }, /"keyDirectory" must be the path of a folder/],
    [{ keyProvider: [] as never }, /"keyProvider" must be a function/],
  ])('%o is a TypeError', (options, message) => {
    const read = () => readKeyOptions('Owner', options);
    expect(read).toThrow(TypeError);
    expect(read).toThrow(message);
  });

  it('may be beside an empty one', async () => {
    await mkdir(join(folder, 'keys'));
    await write('keys/a.sec');
    const ring = await load({ key: [], keys: {}, keyDirectory: join(folder, 'keys') });
    expect(devicesOf(ring)).toEqual(['a']);
  });
});
