/**
 * The options that name keys, shared by server and client.
 */
import { OptionReader, isFilledString } from '../option-reader.js';
import { KEY_BYTES } from '../protocol/index.js';
import { Secret } from '../secret.js';
import { deriveKey } from './derive-key.js';
import type { BenUdpKeyFileChecks } from './key-file.js';
import { KeyMemory, type KeyPlace } from './key-memory.js';
import type { BenUdpProtocolRule } from './ring-key.js';

/** The source of a key: the path of a key file, or the contents of one. */
export type BenUdpKeySource = string | Uint8Array;

/** The key of a device, and the protocols that the device may use. */
export interface BenUdpKeyEntry {
  /** Path of a key file, or several. Either this or `key`. */
  readonly keyFile?: string | readonly string[];
  /** The contents of a key file, at least 32 bytes, or several. */
  readonly key?: Uint8Array | readonly Uint8Array[];
  /**
   * `any` (default) or `v2`. With `v2` the server refuses requests of protocol v1 under this key, so a board that has moved to v2 can't
   * be imitated through v1.
   */
  readonly protocol?: BenUdpProtocolRule;
  /**
   * Whether several boards have this key. Default false: a key belongs to one board, and has at most 64 sessions of protocol v2. With
   * `true`, each address has its own share of sessions, handlers and remembered endpoints, as with a key without a name.
   */
  readonly shared?: boolean;
}

/** A board and the contents of its key file. */
export interface BenUdpDeviceKey {
  readonly device: string;
  /** At least 32 bytes. Read at once, so you may overwrite it afterwards. */
  readonly key: Uint8Array;
  /** As in `BenUdpKeyEntry`. Default `any`. */
  readonly protocol?: BenUdpProtocolRule;
  /** As in `BenUdpKeyEntry`. Default false. */
  readonly shared?: boolean;
}

/** Returns all keys, from a database or a vault. Called at the start and by each `reloadKeys()`. */
export type BenUdpKeyProvider = () =>
  | AsyncIterable<BenUdpDeviceKey>
  | Iterable<BenUdpDeviceKey>
  | Promise<AsyncIterable<BenUdpDeviceKey> | Iterable<BenUdpDeviceKey>>;

/** The accepted keys. Exactly one of `keyFile`, `key`, `keys`, `keyDirectory` and `keyProvider` names them. */
export interface BenUdpKeyOptions {
  /** Path of a key file, or several if more than one key is accepted. Default `key.sec`, as upstream, if no option names a key. */
  keyFile?: string | readonly string[];
  /** The contents of a key file, at least 32 bytes, or several. */
  key?: Uint8Array | readonly Uint8Array[];
  /**
   * Keys by device name, each a path or contents; several for one device while its key is being replaced. With
   * `{ keyFile, protocol: 'v2' }`, the device may use only protocol v2. With `{ keyFile, shared: true }`, several boards have the key.
   */
  keys?: Readonly<Record<string, BenUdpKeySource | readonly BenUdpKeySource[] | BenUdpKeyEntry>>;
  /**
   * Path of a folder in which `NAME.sec` is the key file of device NAME. With `watchKeyFiles`, added and removed boards need no
   * restart. A file that can't be used is skipped, and the error is logged. If its key was in use, it stays until the file is removed.
   * At least one file must be a key.
   */
  keyDirectory?: string;
  /**
   * Function that returns `{ device, key }` for each board, for example from a database. After a change, call `reloadKeys()`.
   * It must end, so give its query a timeout: the start and later reloads wait for it.
   */
  keyProvider?: BenUdpKeyProvider;
  /**
   * `strict` (default) refuses key files that are shorter than 32 bytes or accessible to other users of the machine. `upstream`
   * accepts any file of up to 64 KiB, as upstream does, even an empty one, whose key everybody knows.
   */
  keyFileChecks?: BenUdpKeyFileChecks;
}

/** The options that name keys. */
const SOURCE_NAMES = ['keyFile', 'key', 'keys', 'keyDirectory', 'keyProvider'] as const;

export const KEY_OPTION_NAMES = [...SOURCE_NAMES, 'keyFileChecks'] as const;

/** Upstream's default. */
export const DEFAULT_KEY_FILE = 'key.sec';

export interface NamedKeySource {
  readonly device: string | undefined;
  /** The path of a key file, or a key. Keys are derived at once, so the owner of the contents may overwrite them. */
  readonly source: string | KeyPlace;
  readonly protocol?: BenUdpProtocolRule | undefined;
  readonly shared?: boolean | undefined;
}

export interface ResolvedKeyOptions {
  readonly sources: readonly NamedKeySource[];
  /** A folder of key files, instead of `sources`. */
  readonly directory: string | undefined;
  /** A function that returns the keys, instead of `sources`. */
  readonly provider: BenUdpKeyProvider | undefined;
  readonly keyFileChecks: BenUdpKeyFileChecks;
}

/** @throws TypeError, RangeError naming the option. */
export function resolveKeyOptions<Options extends BenUdpKeyOptions>(
  options: Options,
  reader: OptionReader<Options>,
): ResolvedKeyOptions {
  const keyFileChecks = reader.oneOf('keyFileChecks', ['strict', 'upstream'], 'strict');
  const sources = readSources(options, reader, keyFileChecks);
  const { keyDirectory: directory, keyProvider: provider } = options;
  if (directory !== undefined && !isFilledString(directory)) {
    reader.fail('keyDirectory', 'the path of a folder', directory);
  }
  if (provider !== undefined && typeof provider !== 'function') {
    reader.fail('keyProvider', 'a function that gives { device, key } for each board', provider);
  }
  const named = SOURCE_NAMES.filter((name) => names(options[name]));
  if (named.length > 1) {
    throw new TypeError(
      `${reader.owner} takes its keys from one option, got ${named.map((name) => `"${name}"`).join(' and ')}. To accept a shared ` +
        'key in addition to named ones, give it a name in "keys", as { keyFile, shared: true }',
    );
  }
  if (named.length === 1) {
    return { sources, directory, provider, keyFileChecks };
  }
  const given = SOURCE_NAMES.find((name) => options[name] !== undefined);
  if (given) {
    // Not the default file: an operator who removes the last key wants to lock everybody out.
    reader.failRange(given, 'at least one key', 'none');
  }
  const sharedFile = { device: undefined, source: DEFAULT_KEY_FILE };
  return { sources: [sharedFile], directory: undefined, provider: undefined, keyFileChecks };
}

/** The keys that `keyFile`, `key` and `keys` name. */
function readSources<Options extends BenUdpKeyOptions>(
  options: Options,
  reader: OptionReader<Options>,
  keyFileChecks: BenUdpKeyFileChecks,
): NamedKeySource[] {
  const memory = new KeyMemory();
  const read = (name: string, source: unknown): string | KeyPlace => {
    if (source instanceof Secret) {
      return { block: source, at: 0 };
    }
    if (!(source instanceof Uint8Array)) {
      return isFilledString(source) ? source : reader.fail(name, 'the path of a key file or bytes', source);
    }
    if (source.length < KEY_BYTES && keyFileChecks === 'strict') {
      reader.failRange(name, `at least ${KEY_BYTES} bytes`, `${source.length} bytes`);
    }
    return withDerived(source, (key) => memory.add(key));
  };
  const shared = [
    ...toList(options.keyFile).map((path) =>
      isFilledString(path) ? path : reader.fail('keyFile', 'the path of a key file', path),
    ),
    ...toList(options.key).map((bytes) =>
      (bytes as unknown) instanceof Uint8Array || (bytes as unknown) instanceof Secret
        ? read('key', bytes)
        : reader.fail('key', 'bytes (for text, such as Buffer.from(text, "base64"))', bytes),
    ),
  ];
  const sources: NamedKeySource[] = shared.map((source) => ({ device: undefined, source }));
  if (options.keys !== undefined) {
    const { keys } = options;
    // A list or a Map would be misread, or read as empty.
    if (!isRecord(keys)) {
      reader.fail('keys', 'an object of device name to key', options.keys);
    }
    for (const [device, value] of Object.entries(options.keys)) {
      const { list, ...rule } = readEntry(reader, device, value);
      if (device === '' || list.length === 0) {
        reader.fail('keys', 'an object of device name to key, both non-empty', value);
      }
      sources.push(...list.map((source) => ({ device, source: read(`keys.${device}`, source), ...rule })));
    }
  }
  return sources;
}

/** The value of one device in `keys`: a key, several, or an object that says more. */
function readEntry<Options extends BenUdpKeyOptions>(
  reader: OptionReader<Options>,
  device: string,
  value: BenUdpKeySource | readonly BenUdpKeySource[] | BenUdpKeyEntry,
): Pick<NamedKeySource, 'protocol' | 'shared'> & { readonly list: readonly BenUdpKeySource[] } {
  if (!isEntry(value)) {
    return { list: toList(value) };
  }
  const owner = `${reader.owner} option "keys.${device}"`;
  const entry = new OptionReader<BenUdpKeyEntry>(owner, value, ['keyFile', 'key', 'protocol', 'shared']);
  const list = [...toList<BenUdpKeySource>(value.keyFile), ...toList<BenUdpKeySource>(value.key)];
  const protocol = entry.oneOf<BenUdpProtocolRule>('protocol', ['any', 'v2'], 'any');
  return { list, protocol, shared: entry.boolean('shared', false) };
}

/** Of any prototype: readers of YAML and TOML make objects without one. */
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
}

function isEntry(value: unknown): value is BenUdpKeyEntry {
  const isObject = typeof value === 'object' && value !== null;
  return isObject && !Array.isArray(value) && !(value instanceof Uint8Array) && !(value instanceof Secret);
}

/** Whether an option names a key. An empty list or object does not, so it may be combined with another option. */
function names(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    return value !== undefined;
  }
  return Array.isArray(value) ? value.length > 0 : value instanceof Secret || Object.keys(value).length > 0;
}

/** Checks key options without further options. */
export function readKeyOptions(owner: string, options: BenUdpKeyOptions): ResolvedKeyOptions {
  return resolveKeyOptions(options, new OptionReader(owner, options, KEY_OPTION_NAMES));
}

/**
 * The same options with derived keys instead of bytes, for code that keeps options: the owner of the bytes may then overwrite them.
 * Invalid options stay as they are, and `resolveKeyOptions` reports them.
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
        : isEntry(source) && source.key !== undefined
          ? { ...source, key: hide(source.key) }
          : source;
  const { key, keys } = options as { key?: unknown; keys?: unknown };
  const isByName = isRecord(keys);
  return {
    ...options,
    ...(key !== undefined && { key: hide(key) }),
    ...(isByName && { keys: Object.fromEntries(Object.entries(keys).map(([name, each]) => [name, hide(each)])) }),
  };
}

function deriveSecret(contents: Uint8Array): Secret {
  return withDerived(contents, (key) => new Secret(key));
}

/** @param copy must copy the key, which is overwritten afterwards. */
function withDerived<T>(contents: Uint8Array, copy: (key: Buffer) => T): T {
  const key = deriveKey(contents);
  const copied = copy(key);
  key.fill(0);
  return copied;
}

function toList<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) {
    return [];
  }
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
