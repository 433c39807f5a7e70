import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deriveKey, loadKeyRing, loadKeys, readKeyOptions } from '../../lib/keys/index.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const CONTENTS = [Buffer.alloc(32, 'a'), Buffer.alloc(32, 'b')] as const;

async function createFiles(): Promise<[string, string]> {
  const folder = await temporaryFolder();
  const paths: [string, string] = [join(folder, 'a.sec'), join(folder, 'b.sec')];
  await Promise.all(paths.map((path, index) => writeFile(path, CONTENTS[index]!, { mode: 0o600 })));
  return paths;
}

describe('loadKeys', () => {
  it('reads files and bytes in the order of the options, each under its device', async () => {
    const [first, second] = await createFiles();
    const third = Buffer.alloc(32, 'c');
    const options = readKeyOptions('Test', { keys: { porch: first, hall: second, attic: third } });
    const { keys, files } = await loadKeys(options);
    expect(keys).toEqual([
      { device: 'porch', key: deriveKey(CONTENTS[0]) },
      { device: 'hall', key: deriveKey(CONTENTS[1]) },
      { device: 'attic', key: deriveKey(third) },
    ]);
    expect([...files.keys()]).toEqual([first, second]);
  });

  it('gives keys in memory of their own, so overwriting them does not change the options', async () => {
    const options = readKeyOptions('Test', { key: CONTENTS[0] });
    const { keys } = await loadKeys(options);
    keys[0]!.key.fill(0);
    expect((await loadKeys(options)).keys[0]!.key).toEqual(deriveKey(CONTENTS[0]));
  });

  it('rejects with the code of the first file that cannot be read', async () => {
    const [first] = await createFiles();
    const options = readKeyOptions('Test', { keyFile: [first, `${first}.missing`] });
    await expect(loadKeys(options)).rejects.toMatchObject({ code: 'BEN_KEY_FILE_MISSING' });
  });
});

describe('loadKeyRing', () => {
  it('keeps the keys of the previous ring, asked for after the files were read', async () => {
    const [first, second] = await createFiles();
    const { keys: previous } = await loadKeyRing(readKeyOptions('Test', { keyFile: first }));
    let asked = 0;
    const options = readKeyOptions('Test', { keyFile: [second, first] });
    const { keys } = await loadKeyRing(options, () => {
      asked++;
      return previous;
    });
    expect(asked).toBe(1);
    expect(keys.keys[1]).toBe(previous.keys[0]);
    expect(previous.has(keys.keys[0]!)).toBe(false);
  });

  it('hashes at most 100 keys of a provider in one turn of the event loop, so datagrams are read in between', async () => {
    const fleet = Array.from({ length: 1000 }, (_, index) => ({ device: `board ${index}`, key: randomBytes(32) }));
    const options = readKeyOptions('Test', { keyProvider: () => fleet });
    let turns = 0;
    const count = () => {
      turns++;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    const { keys } = await loadKeyRing(options);
    clearImmediate(immediate);
    expect(keys.keys).toHaveLength(1000);
    // Each key is hashed twice: it is derived, and named.
    expect(turns).toBeGreaterThanOrEqual(2 * 9);
  });

  it('rejects two equal keys', async () => {
    const options = readKeyOptions('Test', { key: [CONTENTS[0], Buffer.from(CONTENTS[0])] });
    await expect(loadKeyRing(options)).rejects.toMatchObject({ code: 'BEN_KEY_DUPLICATE' });
  });
});
