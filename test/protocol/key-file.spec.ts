import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MAX_KEY_FILE_BYTES, deriveKey, fingerprint, generateKeyFile, loadKeyFile } from '../../lib/protocol/index.js';
import { temporaryFolder } from '../support/temporary-folder.js';

async function keyFile(contents: Buffer, mode = 0o600): Promise<string> {
  const path = join(await temporaryFolder(), 'key.sec');
  await writeFile(path, contents);
  await chmod(path, mode);
  return path;
}

describe('generateKeyFile', () => {
  it('writes 32 bytes that only the owner may read, and returns the fingerprint of the key', async () => {
    const path = join(await temporaryFolder(), 'key.sec');
    const print = await generateKeyFile(path);
    const contents = await readFile(path);
    expect(contents).toHaveLength(32);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(print).toBe(fingerprint(deriveKey(contents)));
    expect(await loadKeyFile(path)).toEqual(deriveKey(contents));
  });

  it('writes another key each time', async () => {
    const folder = await temporaryFolder();
    expect(await generateKeyFile(join(folder, 'a'))).not.toBe(await generateKeyFile(join(folder, 'b')));
  });

  it('does not overwrite a file, and leaves it as it was', async () => {
    const path = await keyFile(Buffer.from('precious'));
    await expect(generateKeyFile(path)).rejects.toMatchObject({ code: 'BEN_KEY_FILE_EXISTS' });
    expect(await readFile(path, 'utf8')).toBe('precious');
  });

  it('says so where the folder does not exist', async () => {
    const path = join(await temporaryFolder(), 'none', 'key.sec');
    await expect(generateKeyFile(path)).rejects.toMatchObject({ code: 'BEN_KEY_FILE_IO' });
  });
});

describe('loadKeyFile', () => {
  it.each([32, 33, MAX_KEY_FILE_BYTES])('loads a file of %i bytes', async (length) => {
    const contents = randomBytes(length);
    expect(await loadKeyFile(await keyFile(contents))).toEqual(deriveKey(contents));
  });

  it.each([0, 31])('refuses a file of %i bytes and says how to make one', async (length) => {
    const path = await keyFile(randomBytes(length));
    await expect(loadKeyFile(path)).rejects.toMatchObject({
      code: 'BEN_KEY_FILE_TOO_SHORT',
      message: expect.stringContaining('generateKeyFile()'),
    });
  });

  it.each(['strict', 'upstream'] as const)('refuses more than 64 KiB, %s', async (checks) => {
    const path = await keyFile(Buffer.alloc(MAX_KEY_FILE_BYTES + 1));
    await expect(loadKeyFile(path, checks)).rejects.toMatchObject({
      code: 'BEN_KEY_FILE_TOO_LARGE',
    });
  });

  it.skipIf(process.platform === 'win32').each([0o640, 0o604, 0o620, 0o601])(
    'refuses mode %o and says what to run (POSIX: Windows has no such modes)',
    async (mode) => {
      const path = await keyFile(randomBytes(32), mode);
      await expect(loadKeyFile(path)).rejects.toMatchObject({
        code: 'BEN_KEY_FILE_READABLE_BY_OTHERS',
        message: expect.stringContaining(`chmod 600 "${path}"`),
      });
    },
  );

  it.each([0, 5, 31, 100])('takes a world-readable file of %i bytes as upstream does', async (length) => {
    const contents = randomBytes(length);
    expect(await loadKeyFile(await keyFile(contents, 0o644), 'upstream')).toEqual(deriveKey(contents));
  });

  it('says how to get a key where the file is missing', async () => {
    const path = join(await temporaryFolder(), 'key.sec');
    await expect(loadKeyFile(path)).rejects.toMatchObject({
      code: 'BEN_KEY_FILE_MISSING',
      message: expect.stringContaining('generateKeyFile'),
    });
  });

  it('refuses a folder', async () => {
    const path = join(await temporaryFolder(), 'folder');
    await mkdir(path, { mode: 0o700 });
    await expect(loadKeyFile(path)).rejects.toMatchObject({ code: 'BEN_KEY_FILE_IO' });
  });

  it('takes no more memory for the keys of a fleet than they need', async () => {
    const path = await keyFile(randomBytes(32));
    const before = process.memoryUsage().arrayBuffers;
    await Promise.all(Array.from({ length: 100 }, () => loadKeyFile(path)));
    // A buffer of the largest size for each would be 6.4 MB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });

  it('names no byte of the file in an error', async () => {
    const path = await keyFile(Buffer.from('short-secret'));
    await expect(loadKeyFile(path)).rejects.not.toMatchObject({
      message: expect.stringContaining('secret'),
    });
  });
});
