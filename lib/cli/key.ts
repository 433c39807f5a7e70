/**
 * The key of a command, from the file that `--key-file` or `BEN_KEY_FILE` names. The key itself is never on the command line, because
 * every user of the machine can read that.
 */
import { resolve } from 'node:path';
import { BenUdpError } from '../errors.js';
import { DEFAULT_KEY_FILE } from '../keys/index.js';
import { type BenUdpKeyFileChecks, fingerprint, loadKeyFile } from '../keys/index.js';
import { CliFailure } from './command.js';
import type { CliIo } from './io.js';
import { PROGRAM } from './text.js';

export const KEY_OPTIONS = {
  'key-file': { type: 'string' },
  'any-key-file': { type: 'boolean' },
} as const;

export const KEY_HELP = `  --key-file FILE   the key file; else BEN_KEY_FILE, else ${DEFAULT_KEY_FILE}
  --any-key-file    accept a key file that is short or readable by others, as upstream does`;

export interface KeyValues {
  readonly 'key-file'?: string | undefined;
  readonly 'any-key-file'?: boolean | undefined;
}

export interface CliKey {
  readonly path: string;
  /** 32 bytes; never printed. */
  readonly key: Buffer;
  readonly fingerprint: string;
}

export function keyPath(values: KeyValues, io: CliIo): string | undefined {
  return values['key-file'] ?? (io.env['BEN_KEY_FILE'] || undefined);
}

export function keyFileChecks(values: Pick<KeyValues, 'any-key-file'>): BenUdpKeyFileChecks {
  return values['any-key-file'] ? 'upstream' : 'strict';
}

/** @throws CliFailure */
export async function loadKey(values: KeyValues, io: CliIo): Promise<CliKey> {
  const path = keyPath(values, io) ?? DEFAULT_KEY_FILE;
  return readKey(path, keyFileChecks(values));
}

/** @throws CliFailure */
export async function readKey(path: string, checks: BenUdpKeyFileChecks): Promise<CliKey> {
  const absolute = resolve(path);
  const { bytes: key } = await loadKeyFile(absolute, checks).catch(rethrowExplained(absolute));
  return { path: absolute, key, fingerprint: fingerprint(key) };
}

/** For errors of a key file: throws them in the words of the command line, with the absolute path. */
export function rethrowExplained(path: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof BenUdpError ? explainKeyFile(error, resolve(path)) : error;
  };
}

/** The problem with a key file, in the words of the command line. */
function explainKeyFile({ code, cause, message }: BenUdpError, path: string): CliFailure {
  switch (code) {
    case 'BEN_KEY_FILE_MISSING':
      return new CliFailure(`the key file "${path}" does not exist`, {
        code,
        hint:
          'Name it with --key-file or BEN_KEY_FILE. If you have no key yet, make one and copy it to the boards:\n' +
          `  ${PROGRAM} keygen "${path}"`,
      });
    case 'BEN_KEY_FILE_READABLE_BY_OTHERS':
      return new CliFailure(`the key file "${path}" can be read by other users of this machine`, {
        code,
        hint: `Make it readable only by you, or accept it with --any-key-file:\n  chmod 600 "${path}"`,
      });
    case 'BEN_KEY_FILE_TOO_SHORT':
      return new CliFailure(`the key file "${path}" holds less than 32 bytes, so its key can be guessed`, {
        code,
        hint: `Make another one with "${PROGRAM} keygen FILE", or accept this one with --any-key-file.`,
      });
    case 'BEN_KEY_FILE_NOT_A_FILE':
      return new CliFailure(`"${path}" is not a file`, { code, hint: 'Name the key file itself with --key-file.' });
    case 'BEN_KEY_FILE_TOO_LARGE':
      return new CliFailure(`"${path}" is too large for a key file`, { code, hint: 'Is it the right file?' });
    default: {
      const reason = (cause as NodeJS.ErrnoException | undefined)?.code;
      return new CliFailure(reason ? `the key file "${path}" can't be read (${reason})` : message, {
        code,
        hint: 'Does it belong to the user that runs this program, and is it a file?',
      });
    }
  }
}
