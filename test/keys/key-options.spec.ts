import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadKeyRing, loadKeys, readKeyOptions, withoutKeyBytes } from '../../lib/keys/index.js';
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
