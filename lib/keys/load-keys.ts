/**
 * Collects the keys that the options name: from key files, a folder of them, bytes, or a provider.
 */
import { BenUdpError } from '../errors.js';
import { isFilledString } from '../option-reader.js';
import { KEY_BYTES } from '../protocol/index.js';
import { type RandomFill, systemRandom } from '../random.js';
import { deriveKey } from './derive-key.js';
import { listKeyDirectory } from './key-directory.js';
import { type BenUdpKeyFileChecks, type FileSignature, loadKeyFile, readSignature } from './key-file.js';
import type { BenUdpKeyProvider, NamedKeySource, ResolvedKeyOptions } from './key-options.js';
import { KeyRing, type NamedKey } from './key-ring.js';
import type { RingKey } from './ring-key.js';

/** Key files that are read in parallel. More would gain nothing, and a process may only open a limited number of files. */
const PARALLEL_READS = 8;

/** Loaded keys, and the state of each file when it was read. */
export interface LoadedKeys<Keys> {
  readonly keys: Keys;
  readonly files: ReadonlyMap<string, FileSignature>;
  /** The state of the key directory before it was read; `undefined` without a directory. */
  readonly directory: FileSignature | undefined;
}

/** A ring, and the key of each file in it. */
export interface LoadedRing extends LoadedKeys<KeyRing> {
  readonly keyOf: ReadonlyMap<string, RingKey>;
}

/** The key of a file in an earlier ring, if the file is still the same. */
type FindUnchanged = (path: string, device: string | undefined) => Promise<Loaded | undefined>;

interface Loaded {
  readonly key: NamedKey | RingKey;
  readonly file?: { readonly path: string; readonly signature: FileSignature };
}

/**
 * Reads the keys.
 *
 * @returns keys in memory of their own, which the caller overwrites after use.
 * @throws BenUdpError as `loadKeyFile`, `BEN_KEY_DIRECTORY`, `BEN_KEY_PROVIDER`; TypeError, RangeError if the provider gives something
 * else than keys.
 */
export async function loadKeys(options: ResolvedKeyOptions): Promise<LoadedKeys<NamedKey[]>> {
  const { loaded, directory } = await load(options, undefined);
  return { keys: loaded.map(({ key }) => key as NamedKey), files: filesOf(loaded), directory };
}

/**
 * Reads the keys into a ring, and overwrites them.
 *
 * @param previous as for `KeyRing`, asked after the files were read.
 * @param unchanged the result that this one replaces: files in the same state are not read again.
 * @throws BenUdpError as `loadKeys` and `KeyRing`.
 */
export async function loadKeyRing(
  options: ResolvedKeyOptions,
  previous?: () => KeyRing,
  random: RandomFill = systemRandom,
  unchanged?: LoadedRing,
): Promise<LoadedRing> {
  const { loaded, directory } = await load(options, unchanged && findIn(unchanged));
  const keys = loaded.map(({ key }) => key);
  try {
    const ring = new KeyRing(keys, previous?.(), random);
    const keyOf = new Map<string, RingKey>();
    loaded.forEach(({ file }, index) => file && keyOf.set(file.path, ring.keys[index]!));
    return { keys: ring, files: filesOf(loaded), directory, keyOf };
  } finally {
    wipe(keys);
  }
}

function findIn({ files, keyOf }: LoadedRing): FindUnchanged {
  return async (path, device) => {
    const signature = await readSignature(path);
    const key = keyOf.get(path);
    return key?.device === device && key && signature !== undefined && files.get(path) === signature
      ? { key, file: { path, signature } }
      : undefined;
  };
}

async function load(
  { sources, directory, provider, keyFileChecks }: ResolvedKeyOptions,
  findUnchanged: FindUnchanged | undefined,
): Promise<{ loaded: Loaded[]; directory: FileSignature | undefined }> {
  if (provider) {
    return { loaded: await loadProvided(provider, keyFileChecks), directory: undefined };
  }
  // Read before the list: what changes meanwhile is noticed later.
  const signature = directory === undefined ? undefined : await readSignature(directory);
  const all =
    directory === undefined
      ? sources
      : (await listKeyDirectory(directory)).map(({ device, path }): NamedKeySource => ({ device, source: path }));
  const loaded: Loaded[] = [];
  const remaining = all.entries();
  const readSome = async () => {
    for (const [index, source] of remaining) {
      loaded[index] = await loadSource(source, keyFileChecks, findUnchanged);
    }
  };
  const results = await Promise.allSettled(Array.from({ length: PARALLEL_READS }, readSome));
  const failed = results.find((each) => each.status === 'rejected');
  if (failed) {
    wipe(loaded.filter((each) => each !== undefined).map(({ key }) => key));
    throw failed.reason;
  }
  return { loaded, directory: signature };
}

async function loadSource(
  { device, source, protocol }: NamedKeySource,
  checks: BenUdpKeyFileChecks,
  findUnchanged: FindUnchanged | undefined,
): Promise<Loaded> {
  if (typeof source !== 'string') {
    const key = Buffer.alloc(KEY_BYTES);
    source.expose().copy(key);
    return { key: { device, key, protocol } };
  }
  const unchanged = await findUnchanged?.(source, device);
  if (unchanged) {
    return unchanged;
  }
  const { bytes, signature } = await loadKeyFile(source, checks);
  return { key: { device, key: bytes, protocol }, file: { path: source, signature } };
}

async function loadProvided(provider: BenUdpKeyProvider, checks: BenUdpKeyFileChecks): Promise<Loaded[]> {
  const loaded: Loaded[] = [];
  try {
    for await (const { device, key, protocol } of readProvider(provider)) {
      checkProvided(device, key, protocol, checks);
      loaded.push({ key: { device, key: deriveKey(key), protocol } });
    }
    if (loaded.length === 0) {
      throw new BenUdpError('BEN_KEY_PROVIDER', '"keyProvider" gave no key. A server without a key would hear nobody');
    }
    return loaded;
  } catch (error) {
    wipe(loaded.map(({ key }) => key));
    throw error;
  }
}

/** An error of the provider gets a code, and stays as the cause. */
async function* readProvider(provider: BenUdpKeyProvider): ReturnType<typeof iterate> {
  try {
    yield* iterate(provider);
  } catch (cause) {
    throw new BenUdpError(
      'BEN_KEY_PROVIDER',
      `"keyProvider" failed: ${cause instanceof Error ? cause.message : String(cause)}. The keys in use stay`,
      { cause },
    );
  }
}

async function* iterate(provider: BenUdpKeyProvider) {
  yield* await provider();
}

function checkProvided(device: unknown, key: unknown, protocol: unknown, checks: BenUdpKeyFileChecks): void {
  if (!isFilledString(device)) {
    throw new TypeError(`"keyProvider" must give { device, key } with a non-empty device name, got ${typeof device}`);
  }
  if (!(key instanceof Uint8Array)) {
    throw new TypeError(`"keyProvider" must give bytes as the key of "${device}", got ${typeof key}`);
  }
  if (protocol !== undefined && protocol !== 'any' && protocol !== 'v2') {
    throw new TypeError(`"keyProvider" must give "any" or "v2" as the protocol of "${device}", got ${typeof protocol}`);
  }
  if (key.length < KEY_BYTES && checks === 'strict') {
    throw new RangeError(
      `"keyProvider" must give at least ${KEY_BYTES} bytes as the key of "${device}", got ${key.length}`,
    );
  }
}

function filesOf(loaded: readonly Loaded[]): Map<string, FileSignature> {
  return new Map(loaded.flatMap(({ file }) => (file ? [[file.path, file.signature] as const] : [])));
}

function wipe(keys: ReadonlyArray<NamedKey | RingKey>): void {
  for (const each of keys) {
    if ('key' in each) {
      each.key.fill(0);
    }
  }
}
