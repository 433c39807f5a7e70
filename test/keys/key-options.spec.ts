import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type BenUdpKeyOptions,
  KeyRing,
  loadKeyRing,
  loadKeys,
  readKeyOptions,
  withoutKeyBytes,
} from '../../lib/keys/index.js';
import { deriveKey } from '../../lib/keys/index.js';
import { temporaryFolder } from '../support/temporary-folder.js';

describe('readKeyOptions', () => {
  it('needs the bytes of a key only during the call, so their owner may wipe them', async () => {
    for (const name of ['key', 'keys'] as const) {
      const secret = randomBytes(32);
      const expected = [deriveKey(secret)];
      const options = readKeyOptions('Owner', name === 'key' ? { key: secret } : { keys: { board: secret } });
      secret.fill(0);
      expect((await loadKeys(options)).keys.map(({ key }) => key)).toEqual(expected);
    }
  });
});

describe('the protocol of a device', () => {
  const protocolsOf = async (keys: NonNullable<BenUdpKeyOptions['keys']>) =>
    (await loadKeyRing(readKeyOptions('Owner', { keys }))).keys.keys.map(({ device, protocol }) => [device, protocol]);

  it('is any, unless its entry says v2', async () => {
    expect(
      await protocolsOf({
        a: randomBytes(32),
        b: [randomBytes(32)],
        c: { key: randomBytes(32) },
        d: { key: randomBytes(32), protocol: 'any' },
        e: { key: [randomBytes(32), randomBytes(32)], protocol: 'v2' },
      }),
    ).toEqual([
      ['a', 'any'],
      ['b', 'any'],
      ['c', 'any'],
      ['d', 'any'],
      ['e', 'v2'],
      ['e', 'v2'],
    ]);
  });

  it('stands beside a key file', async () => {
    const keyFile = join(await temporaryFolder(), 'kitchen.sec');
    writeFileSync(keyFile, randomBytes(32), { mode: 0o600 });
    expect(await protocolsOf({ kitchen: { keyFile, protocol: 'v2' } })).toEqual([['kitchen', 'v2']]);
  });

  it.each<[string, object, RegExp]>([
    ['another protocol', { key: randomBytes(32), protocol: 'v1' }, /"keys\.a" option "protocol" must be "any" or "v2"/],
    ['a text as shared', { key: randomBytes(32), shared: 'yes' }, /"keys\.a" option "shared" must be true or false/],
    ['an unknown member', { key: randomBytes(32), protocoll: 'v2' }, /has no option "protocoll"/],
    ['no key', { protocol: 'v2' }, /both non-empty/],
    ['a short key', { key: randomBytes(31), protocol: 'v2' }, /"keys\.a" must be at least 32 bytes/],
    ['a number as the path', { keyFile: 5 }, /"keys\.a" must be the path of a key file or bytes/],
  ])('is refused with %s', (_name, entry, message) => {
    expect(() => readKeyOptions('Owner', { keys: { a: entry } })).toThrow(message);
  });

  it('comes from a provider too, which may give no other', async () => {
    const provide = (protocol: unknown) =>
      loadKeyRing(
        readKeyOptions('Owner', {
          keyProvider: () => [{ device: 'a', key: randomBytes(32), protocol: protocol as 'v2' }],
        }),
      );
    expect((await provide('v2')).keys.keys[0]!.protocol).toBe('v2');
    await expect(provide('v3')).rejects.toThrow('must return "any" or "v2" as the protocol of "a", got string');
  });

  it('changes with a reload, and the key stays the same object', () => {
    const key = randomBytes(32);
    const before = new KeyRing([{ device: 'a', key, protocol: 'any' }]);
    const [member] = before.keys;
    const after = new KeyRing([{ device: 'a', key, protocol: 'v2' }], before);
    expect([after.keys[0] === member, member!.protocol]).toEqual([true, 'v2']);
    const twice = [
      { device: 'a', key },
      { device: 'b', key },
    ];
    expect(() => new KeyRing(twice, after)).toThrow('have the same key');
    expect(member!.protocol).toBe('v2');
  });

  it('stands beside the mark of a shared key, which changes with a reload too', async () => {
    const key = randomBytes(32);
    const ringOf = async (options: BenUdpKeyOptions, previous?: KeyRing) =>
      (await loadKeyRing(readKeyOptions('Owner', options), previous && (() => previous))).keys;
    const first = await ringOf({ keys: { a: { key }, b: { key: randomBytes(32), shared: true } } });
    expect(first.keys.map(({ shared }) => shared)).toEqual([false, true]);
    const [member] = first.keys;
    const second = await ringOf({ keyProvider: () => [{ device: 'a', key, shared: true }] }, first);
    expect([second.keys[0] === member, member!.shared]).toEqual([true, true]);
    const keyProvider = () => [{ device: 'a', key, shared: 1 as unknown as boolean }];
    await expect(ringOf({ keyProvider })).rejects.toThrow('must return true or false as "shared" of "a", got number');
  });

  it('is kept beside derived keys', () => {
    const kept = withoutKeyBytes({ keys: { a: { key: randomBytes(32), protocol: 'v2' } } });
    expect(JSON.stringify(kept)).toBe('{"keys":{"a":{"key":"[secret]","protocol":"v2"}}}');
    expect(readKeyOptions('Owner', kept).sources).toMatchObject([{ device: 'a', protocol: 'v2' }]);
  });
});

describe('loadKeys', () => {
  it.skipIf(process.platform !== 'linux')(
    'opens the key files of a fleet one after the other (Linux: open files are counted in /proc)',
    async () => {
      const folder = await temporaryFolder();
      const secrets = Array.from({ length: 300 }, () => randomBytes(32));
      const keyFile = secrets.map((secret, index) => {
        const path = join(folder, `${index}.sec`);
        writeFileSync(path, secret, { mode: 0o600 });
        return path;
      });
      const countOpen = () => readdirSync('/proc/self/fd').length;
      const openBefore = countOpen();
      let mostOpen = 0;
      const watch = setInterval(() => (mostOpen = Math.max(mostOpen, countOpen())));
      onTestFinished(() => clearInterval(watch));
      const { keys } = await loadKeys(readKeyOptions('Fleet', { keyFile }));
      expect(mostOpen).toBeGreaterThan(0);
      expect(mostOpen).toBeLessThan(openBefore + 20);
      expect(keys.map(({ key }) => key)).toEqual(secrets.map((secret) => deriveKey(secret)));
    },
  );
});

describe('loadKeyRing', () => {
  it('returns keys from bytes again at each call, because each call overwrites its own copy', async () => {
    const options = readKeyOptions('Owner', { key: randomBytes(32) });
    const [first, second] = [await loadKeyRing(options), await loadKeyRing(options)];
    expect(second.keys.describe()).toBe(first.keys.describe());
  });
});

describe('withoutKeyBytes', () => {
  it('takes the bytes out of keys of any prototype', () => {
    class House {
      readonly kitchen = randomBytes(32);
    }
    for (const keys of [Object.assign(Object.create(null), { kitchen: randomBytes(32) }), new House()]) {
      const kept = withoutKeyBytes({ keys: keys as NonNullable<BenUdpKeyOptions['keys']> });
      expect(JSON.stringify(kept)).toBe('{"keys":{"kitchen":"[secret]"}}');
      expect(readKeyOptions('Owner', kept).sources).toMatchObject([{ device: 'kitchen' }]);
    }
  });

  it('holds derived keys instead of bytes, which read as the same options', async () => {
    const [secret, named] = [randomBytes(32), randomBytes(40)];
    const expected = [deriveKey(secret), deriveKey(named), deriveKey(named)];
    const kept = withoutKeyBytes({ key: [secret], keys: { a: named, b: [named] } });
    expect(JSON.stringify(kept)).toBe('{"key":["[secret]"],"keys":{"a":"[secret]","b":["[secret]"]}}');
    secret.fill(0);
    named.fill(0);
    const read = async (options: Partial<typeof kept>) =>
      (await loadKeys(readKeyOptions('Owner', options))).keys.map(({ key }) => key);
    expect([...(await read({ key: kept.key })), ...(await read({ keys: kept.keys }))]).toEqual(expected);
  });

  it.each([[undefined], [null], ['x'], [{ key: randomBytes(5) }], [{ keys: new Map() }], [{ keyFile: 'a.sec' }]])(
    'leaves %s as it is, because the transport checks it',
    (options) => {
      expect(withoutKeyBytes(options as never)).toEqual(options);
    },
  );
});
