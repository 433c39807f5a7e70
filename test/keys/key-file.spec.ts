import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { chmod, mkdir, open, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { deriveKey, fingerprint, generateKeyFile, loadKeyFile, readKeyFile } from '../../lib/keys/index.js';
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
    expect((await loadKeyFile(path)).bytes).toEqual(deriveKey(contents));
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

  it('names the missing folder', async () => {
    const path = join(await temporaryFolder(), 'none', 'key.sec');
    await expect(generateKeyFile(path)).rejects.toMatchObject({ code: 'BEN_KEY_FILE_IO' });
  });
});

describe('loadKeyFile', () => {
  it.each([32, 33, 65_536])('loads a file of %i bytes', async (length) => {
    const contents = randomBytes(length);
    expect((await loadKeyFile(await keyFile(contents))).bytes).toEqual(deriveKey(contents));
  });

  it.each([0, 31])('refuses a file of %i bytes and says how to make one', async (length) => {
    const path = await keyFile(randomBytes(length));
    await expect(loadKeyFile(path)).rejects.toMatchObject({
      code: 'BEN_KEY_FILE_TOO_SHORT',
      message: expect.stringContaining('generateKeyFile()'),
    });
  });

  it.each(['strict', 'upstream'] as const)('refuses more than 64 KiB, %s', async (checks) => {
    const path = await keyFile(Buffer.alloc(65_537));
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

  it.each([0, 5, 31, 100])('accepts a world-readable file of %i bytes, as upstream does', async (length) => {
    const contents = randomBytes(length);
    const { bytes } = await loadKeyFile(await keyFile(contents, 0o644), 'upstream');
    expect(bytes).toEqual(deriveKey(contents));
  });

  it('names the command that makes a missing file', async () => {
    const path = join(await temporaryFolder(), 'key.sec');
    await expect(loadKeyFile(path)).rejects.toMatchObject({
      code: 'BEN_KEY_FILE_MISSING',
      message: expect.stringContaining(
        `does not exist. Make it and copy it to your devices: npx nestjs-ben-udp keygen "${path}"`,
      ),
    });
  });

  const posix = process.platform !== 'win32';
  it.each(['strict', 'upstream'] as const)(
    'refuses a folder, %s, and gives no advice about its mode',
    async (checks) => {
      const path = join(await temporaryFolder(), 'folder');
      await mkdir(path, { mode: 0o755 });
      await expect(loadKeyFile(path, checks)).rejects.toMatchObject({
        code: 'BEN_KEY_FILE_NOT_A_FILE',
        message: `"${path}" is not a file but a folder, a pipe or a device. Name the key file itself`,
      });
    },
  );

  it.skipIf(!posix)('refuses a pipe that nobody writes to, at once (POSIX: Windows has none in folders)', async () => {
    const path = join(await temporaryFolder(), 'pipe');
    execFileSync('mkfifo', ['-m', '600', path]);
    await expect(loadKeyFile(path)).rejects.toMatchObject({ code: 'BEN_KEY_FILE_NOT_A_FILE' });
  });

  it.skipIf(!posix).each(['/dev/null', '/dev/zero'])(
    'refuses the device %s (POSIX: Windows has no such path)',
    async (path) => {
      await expect(loadKeyFile(path, 'upstream')).rejects.toMatchObject({ code: 'BEN_KEY_FILE_NOT_A_FILE' });
    },
  );

  it('accepts a link to a file, as secret stores make them', async () => {
    const contents = randomBytes(32);
    const path = await keyFile(contents);
    await symlink(path, `${path}.link`);
    expect((await loadKeyFile(`${path}.link`)).bytes).toEqual(deriveKey(contents));
  });

  it('names the absolute path in errors', async () => {
    const path = join(await temporaryFolder(), 'none.sec');
    await expect(loadKeyFile(relative(process.cwd(), path))).rejects.toMatchObject({
      message: expect.stringContaining(`key file "${path}" does not exist`),
    });
  });

  it('returns memory of its own, never a part of the pool that Node shares', async () => {
    const path = await keyFile(randomBytes(32));
    for (const { bytes } of [await loadKeyFile(path), await readKeyFile(path)]) {
      expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, 32]);
    }
    const derived = deriveKey(randomBytes(32));
    expect([derived.byteOffset, derived.buffer.byteLength]).toEqual([0, 32]);
  });

  it('does not use a file that is being written: reads it again, a few times', async () => {
    const path = await keyFile(randomBytes(32));
    const handle = await open(path);
    await handle.close();
    const { read } = handle;
    // A writer that always gets in between, however busy the machine is.
    const reading = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'read').mockImplementation(function (
      this: typeof handle,
      ...args: unknown[]
    ) {
      writeFileSync(path, randomBytes(32));
      return Reflect.apply(read, this, args) as never;
    });
    await expect(loadKeyFile(path, 'upstream')).rejects.toMatchObject({
      code: 'BEN_KEY_FILE_IO',
      message: expect.stringContaining('changes while it is read'),
    });
    // One read finds the key, and a second one would find its end.
    expect(reading).toHaveBeenCalledTimes(10);
    reading.mockRestore();
    expect((await loadKeyFile(path, 'upstream')).bytes).toEqual(deriveKey(await readFile(path)));
  });

  it('uses no more memory for the keys of a fleet than they need', async () => {
    const path = await keyFile(randomBytes(32));
    const before = process.memoryUsage().arrayBuffers;
    await Promise.all(Array.from({ length: 100 }, () => loadKeyFile(path)));
    // A buffer of the largest size for each would be 6.4 MB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });

  it('shows no byte of the file in an error', async () => {
    const path = await keyFile(Buffer.from('short-secret'));
    await expect(loadKeyFile(path)).rejects.not.toMatchObject({
      message: expect.stringContaining('secret'),
    });
  });
});
