/**
 * Reads the key files that the options name.
 */
import { KEY_BYTES } from '../protocol/index.js';
import { type RandomFill, systemRandom } from '../random.js';
import { type FileSignature, loadKeyFile } from './key-file.js';
import type { ResolvedKeyOptions } from './key-options.js';
import { KeyRing, type NamedKey } from './key-ring.js';

/** Loaded keys, and the state of each file when it was read. */
export interface LoadedKeys<Keys> {
  readonly keys: Keys;
  readonly files: ReadonlyMap<string, FileSignature>;
}

/**
 * Reads the key files.
 *
 * @returns keys in memory of their own, which the caller overwrites after use.
 * @throws BenUdpError as `loadKeyFile`.
 */
export async function loadKeys({ sources, keyFileChecks }: ResolvedKeyOptions): Promise<LoadedKeys<NamedKey[]>> {
  const keys: NamedKey[] = [];
  const files = new Map<string, FileSignature>();
  // One after the other: a fleet of a thousand has more files than a process may open at once.
  for (const { device, source } of sources) {
    if (typeof source === 'string') {
      const { bytes, signature } = await loadKeyFile(source, keyFileChecks);
      keys.push({ device, key: bytes });
      files.set(source, signature);
    } else {
      const key = Buffer.alloc(KEY_BYTES);
      source.expose().copy(key);
      keys.push({ device, key });
    }
  }
  return { keys, files };
}

/**
 * Reads the key files into a ring, and overwrites the keys: the ring has ciphers.
 *
 * @param previous as for `KeyRing`, asked after the files were read.
 * @throws BenUdpError as `loadKeyFile` and `KeyRing`.
 */
export async function loadKeyRing(
  options: ResolvedKeyOptions,
  previous?: () => KeyRing,
  random: RandomFill = systemRandom,
): Promise<LoadedKeys<KeyRing>> {
  const { keys, files } = await loadKeys(options);
  try {
    return { keys: new KeyRing(keys, previous?.(), random), files };
  } finally {
    keys.forEach(({ key }) => key.fill(0));
  }
}
