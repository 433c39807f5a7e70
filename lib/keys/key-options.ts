/**
 * The options that name keys, shared by server and client.
 */
import { OptionReader, isFilledString } from '../option-reader.js';
import { KEY_BYTES } from '../protocol/index.js';
import { Secret } from '../secret.js';
import { deriveKey } from './derive-key.js';
import type { BenUdpKeyFileChecks } from './key-file.js';

/** The source of a key: the path of a key file, or the contents of one. */
export type BenUdpKeySource = string | Uint8Array;

/** The accepted keys. All named keys count, whichever option names them. */
export interface BenUdpKeyOptions {
  /** Path of a key file, or several if more than one key is accepted. Default `key.sec`, as upstream, if no option names a key. */
  keyFile?: string | readonly string[];
  /** The contents of a key file, at least 32 bytes, or several. */
  key?: Uint8Array | readonly Uint8Array[];
  /** Keys by device name, each a path or contents; several for one device while its key is being replaced. */
  keys?: Readonly<Record<string, BenUdpKeySource | readonly BenUdpKeySource[]>>;
  /**
   * `strict` (default) refuses key files that are shorter than 32 bytes or accessible to other users of the machine. `upstream`
   * accepts any file of up to 64 KiB, as upstream does, even an empty one, whose key everybody knows.
   */
  keyFileChecks?: BenUdpKeyFileChecks;
}

export const KEY_OPTION_NAMES = ['keyFile', 'key', 'keys', 'keyFileChecks'] as const;

/** Upstream's default. */
export const DEFAULT_KEY_FILE = 'key.sec';

export interface NamedKeySource {
  readonly device: string | undefined;
  /** The path of a key file, or a key. Keys are derived at once, so the owner of the contents may overwrite them. */
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
    // A list or a Map would be read as something else, or as empty.
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
    // Never the default file instead: an operator who removes the last key wants to lock everybody out.
    reader.failRange(given, 'at least one key', 'none');
  }
  return { sources: [{ device: undefined, source: DEFAULT_KEY_FILE }], keyFileChecks };
}

/** Checks key options that stand alone. */
export function readKeyOptions(owner: string, options: BenUdpKeyOptions): ResolvedKeyOptions {
  return resolveKeyOptions(options, new OptionReader(owner, options, KEY_OPTION_NAMES));
}

/**
 * The same options with derived keys in place of bytes, for code that keeps options: the owner of the bytes may then overwrite them.
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

function toList<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) {
    return [];
  }
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
