/**
 * The options that name keys, shared by server and client, and the loading of what they name.
 */
import { type FileSignature, type BenUdpKeyFileChecks, deriveKey, loadKeyFile } from './index.js';
import { KEY_BYTES } from '../protocol/index.js';
import { Secret } from '../secret.js';
import { KeyRing, type NamedKey } from './index.js';
import { OptionReader, isFilledString } from '../option-reader.js';

/** Where a key comes from: the path of a key file, or the bytes that such a file would hold. */
export type BenUdpKeySource = string | Uint8Array;

/** Which keys are accepted. All that are named count, by whichever option. */
export interface BenUdpKeyOptions {
  /** Path of a key file, or several where more than one key is accepted. Default `key.sec`, as upstream, where no key is named. */
  keyFile?: string | readonly string[];
  /** What a key file would hold, at least 32 bytes, or several. */
  key?: Uint8Array | readonly Uint8Array[];
  /** Keys by device name, each a path or bytes; several for one device while its key is being replaced. */
  keys?: Readonly<Record<string, BenUdpKeySource | readonly BenUdpKeySource[]>>;
  /**
   * `strict` (default) refuses key files shorter than 32 bytes or accessible to other users of the machine. `upstream` takes
   * any file of up to 64 KiB, as upstream does: also an empty one, whose key everybody knows.
   */
  keyFileChecks?: BenUdpKeyFileChecks;
}

export const KEY_OPTION_NAMES = ['keyFile', 'key', 'keys', 'keyFileChecks'] as const;

/** Upstream's default. */
export const DEFAULT_KEY_FILE = 'key.sec';

export interface NamedKeySource {
  readonly device: string | undefined;
  /** The path of a key file; or a key, derived at once from the bytes that were given, which their owner may overwrite then. */
  readonly source: string | Secret;
}

export interface ResolvedKeyOptions {
  readonly sources: readonly NamedKeySource[];
  readonly keyFileChecks: BenUdpKeyFileChecks;
}

/** @throws TypeError, RangeError naming the option. */
export function resolveKeyOptions<Options extends BenUdpKeyOptions>(
  options: Options,
  reader: OptionReader<Options>,
): ResolvedKeyOptions {
  const keyFileChecks = reader.oneOf('keyFileChecks', ['strict', 'upstream'], 'strict');
  const read = (name: string, source: unknown): string | Secret => {
    if (source instanceof Secret) {
      return source;
    }
    if (!(source instanceof Uint8Array)) {
      return isFilledString(source) ? source : reader.fail(name, 'the path of a key file or bytes', source);
    }
    if (source.length < KEY_BYTES && keyFileChecks === 'strict') {
      reader.failRange(name, `at least ${KEY_BYTES} bytes`, `${source.length} bytes`);
    }
    return deriveSecret(source);
  };
  const shared = [
    ...toList(options.keyFile).map((path) =>
      isFilledString(path) ? path : reader.fail('keyFile', 'the path of a key file', path),
    ),
    ...toList(options.key).map((bytes) =>
      (bytes as unknown) instanceof Uint8Array || (bytes as unknown) instanceof Secret
        ? read('key', bytes)
        : reader.fail('key', 'bytes (for text, say Buffer.from(text, "base64"))', bytes),
    ),
  ];
  const sources: NamedKeySource[] = shared.map((source) => ({ device: undefined, source }));
  if (options.keys !== undefined) {
    const { keys } = options;
    // The entries of a list or Map would be taken for something else, or overlooked.
    if (typeof keys !== 'object' || keys === null || Array.isArray(keys) || keys instanceof Map) {
      reader.fail('keys', 'an object of device name to key', options.keys);
    }
    for (const [device, value] of Object.entries(options.keys)) {
      const list = toList(value);
      if (device === '' || list.length === 0) {
        reader.fail('keys', 'an object of device name to key, both non-empty', value);
      }
      sources.push(...list.map((source) => ({ device, source: read(`keys.${device}`, source) })));
    }
  }
  if (sources.length > 0) {
    return { sources, keyFileChecks };
  }
  const given = (['keys', 'keyFile', 'key'] as const).find((name) => options[name] !== undefined);
  if (given) {
    // Never the default file in its place: whoever takes the last key away wants nobody to be let in.
    reader.failRange(given, 'at least one key', 'none');
  }
  return { sources: [{ device: undefined, source: DEFAULT_KEY_FILE }], keyFileChecks };
}

/** Checks key options that stand alone. */
export function readKeyOptions(owner: string, options: BenUdpKeyOptions): ResolvedKeyOptions {
  return resolveKeyOptions(options, new OptionReader(owner, options, KEY_OPTION_NAMES));
}

/**
 * The same options with derived keys in place of the bytes, for whoever keeps options for later: their owner may overwrite the
 * bytes then. Anything wrong stays as it is, for `resolveKeyOptions` to name.
 */
export function withoutKeyBytes<Options extends BenUdpKeyOptions>(options: Options): Options {
  if (typeof options !== 'object' || options === null) {
    return options;
  }
  const hide = (source: unknown): unknown =>
    Array.isArray(source)
      ? source.map(hide)
      : source instanceof Uint8Array && (source.length >= KEY_BYTES || options.keyFileChecks === 'upstream')
        ? deriveSecret(source)
        : source;
  const { key, keys } = options as { key?: unknown; keys?: unknown };
  const isByName = typeof keys === 'object' && keys !== null && Object.getPrototypeOf(keys) === Object.prototype;
  return {
    ...options,
    ...(key !== undefined && { key: hide(key) }),
    ...(isByName && { keys: Object.fromEntries(Object.entries(keys).map(([name, each]) => [name, hide(each)])) }),
  };
}

function deriveSecret(contents: Uint8Array): Secret {
  const key = deriveKey(contents);
  const secret = new Secret(key);
  key.fill(0);
  return secret;
}

/** Keys as they were loaded, and the state of each file then. */
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
  // One after the other: a fleet of a thousand has more files than a process may have open.
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
 * @param previous as of `KeyRing`.
 * @throws BenUdpError as `loadKeyFile` and `KeyRing`.
 */
export async function loadKeyRing(options: ResolvedKeyOptions, previous?: () => KeyRing): Promise<LoadedKeys<KeyRing>> {
  const { keys, files } = await loadKeys(options);
  try {
    return { keys: new KeyRing(keys, previous?.()), files };
  } finally {
    keys.forEach(({ key }) => key.fill(0));
  }
}

function toList<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) {
    return [];
  }
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
