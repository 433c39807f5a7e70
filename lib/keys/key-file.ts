/**
 * Key files: 32 random bytes that server and device share.
 */
import { randomBytes } from 'node:crypto';
import { type BigIntStats, constants, stat as statFile } from 'node:fs';
import { type FileHandle, chmod, open, stat, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { platform } from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import { BenUdpError } from '../errors.js';
import { deriveKey, fingerprint } from './derive-key.js';
import { KEY_BYTES } from '../protocol/wire.js';

/** Only the owner may read and write. */
const KEY_FILE_MODE = 0o600;
const GROUP_AND_OTHERS = 0o077;

/** Upstream hashes a file of any length. Hardly any board can read more than 64 KiB, so a longer file is a mistake, such as a log. */
export const MAX_KEY_FILE_BYTES = 65_536;

/** The size of the first read. Each further read doubles the total. */
const FIRST_READ_BYTES = 256;

/** Without this flag, opening a pipe without a writer would wait forever. Windows has no such flag. */
const READ_WITHOUT_WAITING = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** A file that is being written is read again a few times, some milliseconds apart. */
const MAX_READS = 5;
const REREAD_AFTER_MS = 20;

/**
 * How strictly a key file is judged.
 * - `strict`: at least 32 bytes and, on POSIX, not accessible to group or others.
 * - `upstream`: any readable file of up to 64 KiB, as upstream accepts it. An empty file yields a key that everybody
 *   knows.
 */
export type BenUdpKeyFileChecks = 'strict' | 'upstream';

/**
 * Writes a new key file: 32 bytes from the system's CSPRNG, mode 0600. Never overwrites.
 *
 * @returns the fingerprint of the key, safe to log.
 * @throws BenUdpError `BEN_KEY_FILE_EXISTS`, `BEN_KEY_FILE_IO`.
 */
export async function generateKeyFile(path: string): Promise<string> {
  const absolute = resolve(path);
  const contents = randomBytes(KEY_BYTES);
  const file = await open(absolute, 'wx', KEY_FILE_MODE).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EEXIST') {
      throw new BenUdpError(
        'BEN_KEY_FILE_EXISTS',
        `"${absolute}" exists and is not overwritten: the devices that hold its key would be locked out. ` +
          'Choose another path, or remove the file first',
        { cause },
      );
    }
    throw new BenUdpError('BEN_KEY_FILE_IO', `"${absolute}" could not be created: ${cause.message}. Check the folder`, {
      cause,
    });
  });
  try {
    // The umask may have removed rights of the owner too.
    await chmod(absolute, KEY_FILE_MODE);
    await file.writeFile(contents);
    await file.sync();
  } catch (cause) {
    // The next start must not take a half-written key for a key.
    await unlink(absolute).catch(() => undefined);
    throw new BenUdpError('BEN_KEY_FILE_IO', `"${absolute}" could not be written. Check the disk, then try again`, {
      cause,
    });
  } finally {
    await file.close();
  }
  const key = deriveKey(contents);
  contents.fill(0);
  const print = fingerprint(key);
  key.fill(0);
  return print;
}

/** The bytes and the state of a key file. */
export interface KeyFile {
  /** The key, or the contents that it is derived from. A separate allocation, which the caller overwrites after use. */
  readonly bytes: Buffer;
  /** Changes with every change of the file. */
  readonly signature: FileSignature;
}

/** Size, times, inode and device of a file, as one text. */
export type FileSignature = string;

/** The signature of the file on the disk; `undefined` if it does not exist or can't be inspected. */
export function readSignature(path: string): Promise<FileSignature | undefined> {
  return new Promise((settle) =>
    // The callback form takes a quarter of the time of the promise, and a fleet has many files.
    statFile(path, { bigint: true }, (error, stats) => settle(error ? undefined : signatureOf(stats))),
  );
}

function signatureOf({ size, mtimeNs, ctimeNs, ino, dev }: BigIntStats): FileSignature {
  return [size, mtimeNs, ctimeNs, ino, dev].join(':');
}

/**
 * Reads a key file and derives its key.
 *
 * @throws BenUdpError as `readKeyFile`.
 */
export async function loadKeyFile(path: string, checks: BenUdpKeyFileChecks = 'strict'): Promise<KeyFile> {
  const { bytes: contents, signature } = await readKeyFile(path, checks);
  const bytes = deriveKey(contents);
  contents.fill(0);
  return { bytes, signature };
}

/**
 * Reads the contents of a key file: the secret itself.
 *
 * @throws BenUdpError `BEN_KEY_FILE_MISSING`, `BEN_KEY_FILE_NOT_A_FILE`, `BEN_KEY_FILE_TOO_SHORT`, `BEN_KEY_FILE_TOO_LARGE`,
 * `BEN_KEY_FILE_READABLE_BY_OTHERS`, `BEN_KEY_FILE_IO`; each message names the absolute path and the next step.
 */
export async function readKeyFile(path: string, checks: BenUdpKeyFileChecks = 'strict'): Promise<KeyFile> {
  const absolute = resolve(path);
  for (let attempt = 1; attempt <= MAX_READS; attempt++) {
    const read = await readOnce(absolute, checks).catch((cause: NodeJS.ErrnoException) => {
      throw toKeyFileError(absolute, cause);
    });
    if (read) {
      return read;
    }
    await pause(REREAD_AFTER_MS);
  }
  throw new BenUdpError(
    'BEN_KEY_FILE_IO',
    `key file "${absolute}" changes while it is read. Write the new key to another file and rename that over this one`,
  );
}

/** `undefined` if the file changed during the read: half of a key must not be taken for a key. */
async function readOnce(path: string, checks: BenUdpKeyFileChecks): Promise<KeyFile | undefined> {
  // Checked before the file is opened, because opening some devices has an effect.
  checkKind(path, await stat(path));
  const file = await open(path, READ_WITHOUT_WAITING);
  try {
    const before = await file.stat({ bigint: true });
    checkKind(path, before);
    if (checks === 'strict' && platform !== 'win32') {
      checkMode(path, Number(before.mode));
    }
    const bytes = await readAtMost(file, MAX_KEY_FILE_BYTES + 1);
    const signature = signatureOf(await file.stat({ bigint: true }));
    if (signature !== signatureOf(before)) {
      bytes.fill(0);
      return undefined;
    }
    checkLength(path, bytes.length, checks);
    return { bytes, signature };
  } finally {
    await file.close();
  }
}

function toKeyFileError(path: string, cause: NodeJS.ErrnoException): BenUdpError {
  if (cause instanceof BenUdpError) {
    return cause;
  }
  if (cause.code === 'ENOENT') {
    return new BenUdpError(
      'BEN_KEY_FILE_MISSING',
      `key file "${path}" does not exist. Make it and copy it to your devices: npx nestjs-ben-udp keygen "${path}"`,
      { cause },
    );
  }
  return new BenUdpError(
    'BEN_KEY_FILE_IO',
    `key file "${path}" could not be read: ${cause.message}. Check that the user of this process may read it`,
    { cause },
  );
}

/** Reads to the end, or up to `limit` bytes, because some files never end. Key files are short, and a fleet has many. */
async function readAtMost(file: FileHandle, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < limit) {
    const chunk = Buffer.alloc(Math.min(Math.max(FIRST_READ_BYTES, length), limit - length));
    chunks.push(chunk);
    const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) {
      break;
    }
    chunks[chunks.length - 1] = chunk.subarray(0, bytesRead);
    length += bytesRead;
  }
  // Not `Buffer.concat`, whose small Buffers lie in the pool that Node shares.
  const contents = Buffer.alloc(length);
  let at = 0;
  for (const chunk of chunks) {
    at += at < length ? chunk.copy(contents, at) : 0;
    chunk.fill(0);
  }
  return contents;
}

function checkKind(path: string, stats: { isFile(): boolean }): void {
  if (!stats.isFile()) {
    throw new BenUdpError(
      'BEN_KEY_FILE_NOT_A_FILE',
      `"${path}" is not a file but a folder, a pipe or a device. Name the key file itself`,
    );
  }
}

function checkLength(path: string, length: number, checks: BenUdpKeyFileChecks): void {
  if (length > MAX_KEY_FILE_BYTES) {
    throw new BenUdpError(
      'BEN_KEY_FILE_TOO_LARGE',
      `key file "${path}" holds more than ${MAX_KEY_FILE_BYTES} bytes, so it is not a key file. Check the path`,
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
