import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadKeys, readKeyOptions } from '../../lib/options/index.js';
import { deriveKey } from '../../lib/protocol/index.js';
import { temporaryFolder } from '../support/temporary-folder.js';

describe('readKeyOptions', () => {
  it('needs the bytes of a key no longer than the call takes: their owner may wipe them', async () => {
    const [secret, named] = [randomBytes(32), randomBytes(32)];
    const expected = [deriveKey(secret), deriveKey(named)];
    const options = readKeyOptions('Owner', { key: secret, keys: { board: named } });
    secret.fill(0);
    named.fill(0);
    expect((await loadKeys(options)).map(({ key }) => key)).toEqual(expected);
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
      const keys = await loadKeys(readKeyOptions('Fleet', { keyFile }));
      expect(mostOpen).toBeGreaterThan(0);
      expect(mostOpen).toBeLessThan(openBefore + 20);
      expect(keys.map(({ key }) => key)).toEqual(secrets.map((secret) => deriveKey(secret)));
    },
  );
});
