/**
 * Key files: 32 random bytes that server and device share.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, chmod, open, unlink } from 'node:fs/promises';
import { platform } from 'node:process';
import { BenUdpError } from '../ben-udp.errors.js';
import { deriveKey, fingerprint } from './key.js';
import { KEY_BYTES } from './wire.js';

/** Owner may read and write, nobody else. */
const KEY_FILE_MODE = 0o600;
const GROUP_AND_OTHERS = 0o077;

/** Upstream hashes a file of any length. Past 64 KiB hardly a board could read it: it is a mistake then (a device, a log). */
export const MAX_KEY_FILE_BYTES = 65_536;

/** What the first read asks for; each one after that asks for as much as there is already. */
const FIRST_READ_BYTES = 256;

/**
 * How strictly a key file is judged.
 * - `strict`: at least 32 bytes and, on POSIX, not accessible to group or others.
 * - `upstream`: anything readable of up to 64 KiB, as upstream takes it. An empty file then yields a key that
 *   everybody knows.
 */
export type KeyFileChecks = 'strict' | 'upstream';

/**
 * Writes a new key file: 32 bytes from the system's CSPRNG, mode 0600. Never overwrites.
 *
 * @returns the fingerprint of the key, safe to log.
 * @throws BenUdpError `BEN_KEY_FILE_EXISTS`, `BEN_KEY_FILE_IO`.
 */
export async function generateKeyFile(path: string): Promise<string> {
  const contents = randomBytes(KEY_BYTES);
  const file = await open(path, 'wx', KEY_FILE_MODE).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EEXIST') {
      throw new BenUdpError(
        'BEN_KEY_FILE_EXISTS',
        `"${path}" exists and is not overwritten: the devices that hold its key would be locked out. ` +
          'Choose another path, or remove the file first',
        { cause },
      );
    }
    throw new BenUdpError('BEN_KEY_FILE_IO', `"${path}" could not be created: ${cause.message}`, {
      cause,
    });
  });
  try {
    // The process's umask may have taken more away than group and others' rights.
    await chmod(path, KEY_FILE_MODE);
    await file.writeFile(contents);
    await file.sync();
  } catch (cause) {
    // A half-written key must not be mistaken for a key at the next start.
    await unlink(path).catch(() => undefined);
    throw new BenUdpError('BEN_KEY_FILE_IO', `"${path}" could not be written`, { cause });
  } finally {
    await file.close();
  }
  return fingerprint(deriveKey(contents));
}

/**
 * Reads a key file and derives its key.
 *
 * @throws BenUdpError as `readKeyFile`.
 */
export async function loadKeyFile(path: string, checks: KeyFileChecks = 'strict'): Promise<Buffer> {
  return deriveKey(await readKeyFile(path, checks));
}

/**
 * What a key file holds: the secret itself.
 *
 * @throws BenUdpError `BEN_KEY_FILE_MISSING`, `BEN_KEY_FILE_TOO_SHORT`, `BEN_KEY_FILE_TOO_LARGE`,
 * `BEN_KEY_FILE_READABLE_BY_OTHERS`, `BEN_KEY_FILE_IO`; each message says what to do.
 */
export async function readKeyFile(path: string, checks: KeyFileChecks = 'strict'): Promise<Buffer> {
  const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') {
      throw new BenUdpError(
        'BEN_KEY_FILE_MISSING',
        `key file "${path}" does not exist. Make one with generateKeyFile("${path}") and copy it to your ` +
          "devices, or copy the devices' key file here",
        { cause },
      );
    }
    throw new BenUdpError('BEN_KEY_FILE_IO', `key file "${path}" could not be opened: ${cause.message}`, {
      cause,
    });
  });
  try {
    if (checks === 'strict' && platform !== 'win32') {
      checkMode(path, (await file.stat()).mode);
    }
    const contents = await readAtMost(file, MAX_KEY_FILE_BYTES + 1);
    checkLength(path, contents.length, checks);
    return contents;
  } catch (cause) {
    if (cause instanceof BenUdpError) {
      throw cause;
    }
    throw new BenUdpError('BEN_KEY_FILE_IO', `key file "${path}" could not be read`, { cause });
  } finally {
    await file.close();
  }
}

/** Reads to the end, or `limit` bytes of something that never ends. Key files are short, and a fleet has many. */
async function readAtMost(file: FileHandle, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < limit) {
    const chunk = Buffer.alloc(Math.min(Math.max(FIRST_READ_BYTES, length), limit - length));
    const { bytesRead } = await file.read(chunk, 0, chunk.length);
    if (bytesRead === 0) {
      break;
    }
    chunks.push(chunk.subarray(0, bytesRead));
    length += bytesRead;
  }
  return Buffer.concat(chunks);
}

function checkLength(path: string, length: number, checks: KeyFileChecks): void {
  if (length > MAX_KEY_FILE_BYTES) {
    throw new BenUdpError(
      'BEN_KEY_FILE_TOO_LARGE',
      `key file "${path}" holds more than ${MAX_KEY_FILE_BYTES} bytes: this is not a key file`,
    );
  }
  if (checks === 'strict' && length < KEY_BYTES) {
    throw new BenUdpError(
      'BEN_KEY_FILE_TOO_SHORT',
      `key file "${path}" holds ${length} bytes; a key needs at least ${KEY_BYTES} random bytes. ` +
        'Make one with generateKeyFile(), or accept it as upstream does with keyFileChecks: "upstream"',
    );
  }
}

function checkMode(path: string, mode: number): void {
  if ((mode & GROUP_AND_OTHERS) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    throw new BenUdpError(
      'BEN_KEY_FILE_READABLE_BY_OTHERS',
      `key file "${path}" is accessible to other users (mode ${octal}). Run: chmod 600 "${path}" ` +
        '- or accept it with keyFileChecks: "upstream"',
    );
  }
}
