/**
 * A folder of key files, one for each board: `NAME.sec` is the key of device `NAME`.
 */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { BenUdpError } from '../errors.js';
import { type FileSignature, readSignature } from './key-file.js';

/** Other files in the folder are not key files, and are ignored. */
const KEY_FILE_SUFFIX = '.sec';

export interface DirectoryEntry {
  readonly device: string;
  readonly path: string;
}

/**
 * Lists the key files of a folder, by name. Ignores names that begin with a dot, because editors and secret stores write such files.
 *
 * @throws BenUdpError `BEN_KEY_DIRECTORY` if the folder can't be read or holds no key file.
 */
export async function listKeyDirectory(directory: string): Promise<DirectoryEntry[]> {
  const absolute = resolve(directory);
  const names = await readdir(absolute).catch((cause: Error) => {
    throw new BenUdpError(
      'BEN_KEY_DIRECTORY',
      `the key directory "${absolute}" could not be read: ${cause.message}. Create it, or set "keyDirectory" to the folder of your key files`,
      { cause },
    );
  });
  // Joined once: 100,000 times would hold the event loop for 0.1 s.
  const folder = join(directory, '_').slice(0, -1);
  const entries = names
    .filter((name) => name.endsWith(KEY_FILE_SUFFIX) && !name.startsWith('.'))
    .toSorted()
    .map((name) => ({ device: name.slice(0, -KEY_FILE_SUFFIX.length), path: `${folder}${name}` }));
  if (entries.length === 0) {
    // A server with an empty ring would accept nobody.
    throw new BenUdpError(
      'BEN_KEY_DIRECTORY',
      `the key directory "${absolute}" holds no file NAME${KEY_FILE_SUFFIX}. Make one with ` +
        `"npx nestjs-ben-udp keygen ${join(directory, `kitchen${KEY_FILE_SUFFIX}`)}", and copy it to the board`,
    );
  }
  return entries;
}

/**
 * Identifies the state of a folder: its own signature, and those of its key files that are not `known`. A new file changes the folder
 * at once, but the content of the file may be written later.
 */
export async function readDirectorySignature(
  directory: string,
  known: { has(path: string): boolean },
  loaded: FileSignature | undefined,
): Promise<FileSignature | undefined> {
  const own = await readSignature(directory);
  if (own === loaded) {
    return own;
  }
  const entries = await listKeyDirectory(directory).catch(() => []);
  const added = entries.filter(({ path }) => !known.has(path));
  const signatures = await Promise.all(added.map(({ path }) => readSignature(path)));
  return [own, ...signatures].join('|');
}
