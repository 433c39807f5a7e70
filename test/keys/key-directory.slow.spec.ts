/** A folder with a key file for each board of a large fleet. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadKeyRing, readKeyOptions } from '../../lib/keys/index.js';
import { temporaryFolder } from '../support/temporary-folder.js';

it('loads 10,000 files, and reads none of them again if one is added', { timeout: 60_000 }, async () => {
  const folder = await temporaryFolder();
  const write = (name: string) => writeFile(join(folder, name), randomBytes(32), { mode: 0o600 });
  const count = 10_000;
  await Promise.all(Array.from({ length: count }, (_, index) => write(`board-${index}.sec`)));
  const options = readKeyOptions('Owner', { keyDirectory: folder });
  const first = await loadKeyRing(options);
  expect(first.keys.keys).toHaveLength(count);
  await write('new.sec');
  const second = await loadKeyRing(options, () => first.keys, undefined, first);
  expect(second.keys.keys).toHaveLength(count + 1);
  expect(second.keys.keys.filter((key) => first.keys.has(key))).toHaveLength(count);
  expect(second.keys.describeChange(first.keys)).toMatch(/^10001 in all, added new \(key [0-9a-f]{8}\)$/);
});
