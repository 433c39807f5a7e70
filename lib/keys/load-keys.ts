/**
 * Collects the keys that the options name: from key files, a folder of them, bytes, or a provider.
 */
import { setImmediate } from 'node:timers/promises';
import { BenUdpError } from '../errors.js';
import { isFilledString } from '../option-reader.js';
import { KEY_BYTES } from '../protocol/index.js';
import { keyIdOf } from '../protocol/v2/index.js';
import { type RandomFill, systemRandom } from '../random.js';
import { copyOf } from '../secret.js';
import { deriveKey } from './derive-key.js';
import { listKeyDirectory } from './key-directory.js';
import { type BenUdpKeyFileChecks, type FileSignature, loadKeyFile, readSignature } from './key-file.js';
import { type KeyPlace, bytesAt } from './key-memory.js';
import type { BenUdpDeviceKey, BenUdpKeyProvider, NamedKeySource, ResolvedKeyOptions } from './key-options.js';
import { KeyRing, type NamedKey, findCopies } from './key-ring.js';
import type { RingKey } from './ring-key.js';

/** Key files that are read in parallel. More would not be faster, and a process may open only a limited number of files. */
const PARALLEL_READS = 8;

/** Keys that are hashed in one turn of the event loop: about a millisecond. All hashes of 100,000 keys would hold it for a second. */
const KEYS_PER_TURN = 100;

/** Loaded keys, and the state of each file when it was read. */
export interface LoadedKeys<Keys> {
  readonly keys: Keys;
  readonly files: ReadonlyMap<string, FileSignature | undefined>;
  /** The state of the key directory before it was read; `undefined` without a directory. */
  readonly directory: FileSignature | undefined;
}

/** A ring, and the key of each file in it. */
export interface LoadedRing extends LoadedKeys<KeyRing> {
  readonly keyOf: ReadonlyMap<string, RingKey>;
  /** Why files of the key directory are not used. */
  readonly leftOut: readonly BenUdpError[];
}

interface Loaded {
  readonly key: NamedKey | RingKey;
  /** The place of the key in the options, which own its bytes, so they are not overwritten. */
  readonly place?: KeyPlace;
  readonly file?: { readonly path: string; readonly signature: FileSignature | undefined };
}

/**
 * Reads the keys.
 *
 * @returns keys as separate allocations, which the caller overwrites after use.
 * @throws BenUdpError as `loadKeyFile`, `BEN_KEY_DIRECTORY`, `BEN_KEY_PROVIDER`; TypeError, RangeError if the provider returns anything
 * but keys.
 */
export async function loadKeys(options: ResolvedKeyOptions): Promise<LoadedKeys<NamedKey[]>> {
  const { loaded, directory } = await load(options, undefined);
  const keys = loaded.map(({ key: each, place }) => {
    const { key, ...rest } = each as NamedKey;
    return { ...rest, key: place ? copyOf(key) : key };
  });
  return { keys, files: filesOf(loaded), directory };
}

/**
 * Reads the keys into a ring, and overwrites them.
 *
 * @param previous as for `KeyRing`, called after the files were read.
 * @param replaced the result that this one replaces. Files in the same state are not read again, and the key of a file in a key
 * directory stays while the file can't be used.
 * @throws BenUdpError as `loadKeys` and `KeyRing`.
 */
export async function loadKeyRing(
  options: ResolvedKeyOptions,
  previous?: () => KeyRing,
  random: RandomFill = systemRandom,
  replaced?: LoadedRing,
): Promise<LoadedRing> {
  const { loaded, directory, leftOut } = await load(options, replaced);
  try {
    await identify(loaded);
    const known = previous?.();
    const { ring, used, copies } = createRing(loaded, known, random, options.directory !== undefined);
    const keyOf = new Map<string, RingKey>();
    for (const [index, { file }] of used.entries()) {
      await leaveTurn(index);
      if (file) {
        keyOf.set(file.path, ring.keys[index]!);
      }
    }
    const files = filesOf(loaded);
    leftOut.forEach(({ path, signature }) => files.set(path, signature));
    const errors = [...leftOut.map(({ error }) => error), ...copies];
    return { keys: ring, files, directory, keyOf, leftOut: errors };
  } finally {
    wipe(loaded);
  }
}

/** Computes the ids of the keys, which the ring needs at once. */
async function identify(loaded: readonly Loaded[]): Promise<void> {
  for (const [index, { key }] of loaded.entries()) {
    await leaveTurn(index);
    if ('key' in key) {
      key.v2Id = keyIdOf(key.key);
    }
  }
}

/** Lets datagrams be read before the next keys. */
async function leaveTurn(index: number): Promise<void> {
  if (index > 0 && index % KEYS_PER_TURN === 0) {
    await setImmediate();
  }
}

/** @param mayLeaveOut whether copies are skipped. Otherwise they are an error. */
function createRing(
  loaded: readonly Loaded[],
  known: KeyRing | undefined,
  random: RandomFill,
  mayLeaveOut: boolean,
): { ring: KeyRing; used: readonly Loaded[]; copies: readonly BenUdpError[] } {
  try {
    return { ring: new KeyRing(keysOf(loaded), known, random), used: loaded, copies: [] };
  } catch (error) {
    if (!mayLeaveOut) {
      throw error;
    }
    const copies = findCopies(keysOf(loaded), known);
    const used = loaded.filter((_each, index) => !copies.has(index));
    return { ring: new KeyRing(keysOf(used), known, random), used, copies: [...copies.values()] };
  }
}

function keysOf(loaded: readonly Loaded[]): Array<NamedKey | RingKey> {
  return loaded.map(({ key }) => key);
}

/** A file of the key directory that can't be used, and its state. */
interface LeftOut {
  readonly path: string;
  /** `undefined` if it can't be inspected, such as a link to nowhere. */
  readonly signature: FileSignature | undefined;
  readonly error: BenUdpError;
}

async function load(
  { sources, directory, provider, keyFileChecks }: ResolvedKeyOptions,
  replaced: LoadedRing | undefined,
): Promise<{ loaded: Loaded[]; directory: FileSignature | undefined; leftOut: LeftOut[] }> {
  if (provider) {
    return { loaded: await loadProvided(provider, keyFileChecks), directory: undefined, leftOut: [] };
  }
  // Read before the list: what changes meanwhile is noticed later.
  const signature = directory === undefined ? undefined : await readSignature(directory);
  const all =
    directory === undefined
      ? sources
      : (await listKeyDirectory(directory)).map(({ device, path }): NamedKeySource => ({ device, source: path }));
  const found: Array<Loaded | undefined> = [];
  const leftOut: LeftOut[] = [];
  const remaining = all.entries();
  const readSome = async () => {
    for (const [index, { source, ...owner }] of remaining) {
      if (typeof source !== 'string') {
        found[index] = { key: { ...owner, key: bytesAt(source) }, place: source };
        continue;
      }
      try {
        found[index] = await loadFile(source, owner, keyFileChecks, replaced);
      } catch (error) {
        // One damaged file must not keep a stolen key in the ring.
        if (directory === undefined || !(error instanceof BenUdpError)) {
          throw error;
        }
        const left = { path: source, signature: await readSignature(source), error };
        leftOut.push(left);
        found[index] = keyInUse(left, owner.device, replaced);
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: PARALLEL_READS }, readSome));
  const loaded = found.filter((each) => each !== undefined);
  const failed = results.find((each) => each.status === 'rejected');
  if (failed) {
    wipe(loaded);
    throw failed.reason;
  }
  if (loaded.length === 0 && leftOut[0]) {
    throw leftOut[0].error;
  }
  return { loaded, directory: signature, leftOut };
}

/** The key of a file that can't be used now, unless the file was removed. */
function keyInUse(
  { path, signature, error }: LeftOut,
  device: string | undefined,
  replaced: LoadedRing | undefined,
): Loaded | undefined {
  const key = error.code === 'BEN_KEY_FILE_MISSING' ? undefined : replaced?.keyOf.get(path);
  return key && key.device === device ? { key, file: { path, signature } } : undefined;
}

async function loadFile(
  path: string,
  owner: Omit<NamedKey, 'key'>,
  checks: BenUdpKeyFileChecks,
  replaced: LoadedRing | undefined,
): Promise<Loaded> {
  const key = replaced?.keyOf.get(path);
  const known = replaced?.files.get(path);
  if (key?.device === owner.device && key && known !== undefined && known === (await readSignature(path))) {
    return { key, file: { path, signature: known } };
  }
  const { bytes, signature } = await loadKeyFile(path, checks);
  return { key: { ...owner, key: bytes }, file: { path, signature } };
}

async function loadProvided(provider: BenUdpKeyProvider, checks: BenUdpKeyFileChecks): Promise<Loaded[]> {
  const loaded: Loaded[] = [];
  try {
    for await (const provided of readProvider(provider)) {
      await leaveTurn(loaded.length);
      checkProvided((provided as BenUdpDeviceKey | undefined) ?? {}, checks);
      const { device, key, protocol, shared } = provided;
      loaded.push({ key: { device, key: deriveKey(key), protocol, shared } });
    }
    if (loaded.length === 0) {
      throw new BenUdpError('BEN_KEY_PROVIDER', '"keyProvider" returned no key. Return at least one { device, key }');
    }
    return loaded;
  } catch (error) {
    wipe(loaded);
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
  const provided = await provider();
  if (!isIterable(provided)) {
    throw new TypeError(
      `it must return { device, key } for each board, in an array or another iterable, got ${typeof provided}`,
    );
  }
  yield* provided;
}

function isIterable(value: unknown): boolean {
  const { [Symbol.iterator]: iterator, [Symbol.asyncIterator]: asyncIterator } = Object(value) as {
    readonly [Symbol.iterator]?: unknown;
    readonly [Symbol.asyncIterator]?: unknown;
  };
  return typeof (iterator ?? asyncIterator) === 'function';
}

function checkProvided(
  { device, key, protocol, shared }: { readonly [Name in keyof BenUdpDeviceKey]?: unknown },
  checks: BenUdpKeyFileChecks,
): void {
  if (!isFilledString(device)) {
    throw new TypeError(`"keyProvider" must return { device, key } with a non-empty device name, got ${typeof device}`);
  }
  if (!(key instanceof Uint8Array)) {
    throw new TypeError(`"keyProvider" must return bytes as the key of "${device}", got ${typeof key}`);
  }
  if (protocol !== undefined && protocol !== 'any' && protocol !== 'v2') {
    throw new TypeError(
      `"keyProvider" must return "any" or "v2" as the protocol of "${device}", got ${typeof protocol}`,
    );
  }
  if (shared !== undefined && typeof shared !== 'boolean') {
    throw new TypeError(`"keyProvider" must return true or false as "shared" of "${device}", got ${typeof shared}`);
  }
  if (key.length < KEY_BYTES && checks === 'strict') {
    throw new RangeError(
      `"keyProvider" must return at least ${KEY_BYTES} bytes as the key of "${device}", got ${key.length}`,
    );
  }
}

function filesOf(loaded: readonly Loaded[]): Map<string, FileSignature | undefined> {
  const files = new Map<string, FileSignature | undefined>();
  loaded.forEach(({ file }) => file && files.set(file.path, file.signature));
  return files;
}

function wipe(loaded: readonly Loaded[]): void {
  for (const { key, place } of loaded) {
    if ('key' in key && !place) {
      key.key.fill(0);
    }
  }
}
