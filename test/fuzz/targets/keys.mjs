/** Any options that name keys, and any files: a key is the hash of its file, or there is an error. */
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectError } from '../expected.mjs';
import { ByteReader } from '../byte-reader.mjs';

const OWNER = 'Fuzzer';
const MAX_KEYS = 24;

/** Opening files takes a thousand times as long as all the rest, so few inputs do. */
const FILES_ONE_IN = 16;

const CODES = [
  'BEN_KEY_FILE_MISSING',
  'BEN_KEY_FILE_IO',
  'BEN_KEY_FILE_NOT_A_FILE',
  'BEN_KEY_FILE_TOO_SHORT',
  'BEN_KEY_FILE_TOO_LARGE',
  'BEN_KEY_FILE_READABLE_BY_OTHERS',
  'BEN_KEY_DUPLICATE',
];

/**
 * @typedef {import('#lib/keys/index.js').NamedKeySource} NamedKeySource
 * @typedef {Uint8Array | Uint16Array} Bytes
 * @typedef {ReturnType<typeof createFiles>} Files
 */

/** @type {import('./index.mjs').CreateTarget} */
export function createKeysTarget({ readKeyOptions, loadKeys, KeyRing, BenUdpError }) {
  const folder = mkdtempSync(join(tmpdir(), 'ben-udp-fuzz-'));
  const files = createFiles(folder);
  return {
    name: 'keys',
    about: 'key options and key files',
    dictionary: [],
    maxBytes: 256,
    seeds: Array.from({ length: 24 }, (_, index) =>
      Buffer.from([index, index >> 2, 1, index, 3, index, 32, index, ...Buffer.alloc(index)]),
    ),
    async run(input) {
      const reader = new ByteReader(input);
      /** @type {Bytes[]} */
      const given = [];
      const options = buildOptions(reader, files, folder, given);
      let resolved;
      try {
        resolved = readKeyOptions(OWNER, options);
      } catch (error) {
        const refusal = expectError(
          error,
          Error,
          ({ name, message }) => ['TypeError', 'RangeError'].includes(name) && message.startsWith(OWNER),
        );
        return `option ${refusal.message.replaceAll(/\d+/g, 'n').slice(0, 80)}`;
      }
      const { sources, keyFileChecks } = resolved;
      if (sources.some(({ source }) => typeof source === 'string') && input.length % FILES_ONE_IN !== 0) {
        return 'files, not opened';
      }
      try {
        const { keys } = await loadKeys(resolved);
        checkKeys(keys, sources, keyFileChecks, given);
        const isDistinct = new Set(keys.map(({ key }) => Buffer.from(key).toString('hex'))).size === keys.length;
        const ring = new KeyRing(keys);
        assert.ok(isDistinct, 'two equal keys make a ring');
        return `${ring.keys.length} keys ${keyFileChecks}`;
      } catch (error) {
        const refusal = expectError(error, BenUdpError, ({ code }) => CODES.includes(code));
        for (const { source } of sources) {
          const secret = contentsOf(source, given);
          assert.ok(!secret || secret.length < 8 || !isShown(secret, refusal), 'an error shows a key');
        }
        return `${refusal.code} ${keyFileChecks}`;
      }
    },
    end: () => rmSync(folder, { recursive: true, force: true }),
  };

  /**
   * The contents of a key file, or the bytes that a key was derived from.
   *
   * @param {NamedKeySource['source']} source
   * @param {readonly Bytes[]} given
   */
  function contentsOf(source, given) {
    return typeof source === 'string'
      ? files.contents.get(source)
      : given.find((bytes) => createHash('sha256').update(bytes).digest().equals(bytesAt(source)));
  }

  /**
   * @param {readonly import('#lib/keys/index.js').NamedKey[]} keys
   * @param {readonly NamedKeySource[]} sources
   * @param {import('nestjs-ben-udp').BenUdpKeyFileChecks} keyFileChecks
   * @param {readonly Bytes[]} given
   */
  function checkKeys(keys, sources, keyFileChecks, given) {
    assert.equal(keys.length, sources.length);
    for (const [index, { device, key }] of keys.entries()) {
      const { source } = sources[index];
      const contents = contentsOf(source, given);
      assert.ok(contents, `a key came out of ${source}`);
      assert.equal(device, sources[index].device);
      assert.ok(createHash('sha256').update(contents).digest().equals(key), 'the key is not the hash of its file');
      assert.ok(keyFileChecks !== 'strict' || contents.length >= 32, `a key of ${contents.length} bytes was taken`);
    }
  }
}

/** @param {import('#lib/keys/key-memory.js').KeyPlace} place */
function bytesAt({ block, at }) {
  return block.expose().subarray(at, at + 32);
}

/**
 * @param {Bytes} secret
 * @param {Error} error
 */
function isShown(secret, error) {
  /** @type {BufferEncoding[]} */
  const encodings = ['latin1', 'hex', 'base64', 'utf8'];
  const forms = encodings.map((encoding) => Buffer.from(secret).toString(encoding).slice(0, 32));
  const cause = error.cause instanceof Error ? error.cause.message : error.cause;
  return forms.some((form) => form.trim().length >= 8 && `${error.message} ${cause}`.includes(form));
}

/**
 * Right and wrong ones.
 *
 * @param {ByteReader} reader
 * @param {Files} files
 * @param {string} folder
 * @param {Bytes[]} given takes the bytes that are keys
 */
function buildOptions(reader, files, folder, given) {
  /** @type {Record<string, unknown>} */
  const options = {};
  const give = (/** @type {Bytes} */ bytes) => {
    given.push(bytes);
    return bytes;
  };
  const source = () => {
    switch (reader.byte() % 32) {
      case 31:
        return reader.pick(files.paths);
      case 30:
        return files.write(reader.take(reader.byte() % 80));
      case 29:
        return reader.pick([null, 7, true, {}, '', '  ', 'a\0b', `${folder}/${'n'.repeat(300)}`, new Date(0)]);
      case 28:
        return `${folder}/${reader
          .take(reader.byte() % 16)
          .toString('latin1')
          .replaceAll('/', '_')}`;
      case 27:
        return give(new Uint16Array(reader.take(reader.byte() % 80)));
      default:
        return give(Buffer.from(reader.take(reader.byte() % 80)));
    }
  };
  const oneOrMore = () => {
    const count = reader.byte();
    return count < 200 ? source() : Array.from({ length: count % MAX_KEYS }, source);
  };
  // Without any, `key.sec` is looked for; seldom.
  const parts = reader.byte() || 1;
  if (parts & 1) {
    options.keyFile = oneOrMore();
  }
  if (parts & 2) {
    options.key = oneOrMore();
  }
  if (parts & 4) {
    const keys = {};
    for (let count = reader.byte() % 6; count > 0; count--) {
      const name = reader.pick(['', 'board', 'porch', '__proto__', 'constructor', '0', 'é'.repeat(40), ' ']);
      Object.defineProperty(keys, name, { value: oneOrMore(), enumerable: true, configurable: true });
    }
    options.keys = keys;
  }
  if (parts & 8) {
    options.keyFileChecks = reader.pick(['strict', 'upstream', 'upstream', '', null, 1]);
  }
  if (parts === 255) {
    options.keyfile = 'key.sec';
  }
  return options;
}

/**
 * Key files of every kind, and what each holds as far as it can be known.
 *
 * @param {string} folder
 */
function createFiles(folder) {
  /** @type {Map<string, Buffer>} */
  const contents = new Map();
  /**
   * @param {string} name
   * @param {Buffer} bytes
   */
  const create = (name, bytes, mode = 0o600) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    chmodSync(path, mode);
    contents.set(path, bytes);
    return path;
  };
  const written = create('written', Buffer.alloc(0));
  const goodKey = Buffer.from('0123456789abcdefghijklmnopqrstuv');
  const good = create('good', goodKey);
  const paths = [
    good,
    create('empty', Buffer.alloc(0)),
    create('short', Buffer.alloc(31, 1)),
    create('long', Buffer.alloc(4097, 2)),
    create('largest', Buffer.alloc(65_536, 3)),
    create('too-large', Buffer.alloc(65_537, 4)),
    create('open', Buffer.alloc(32, 5), 0o644),
    create('unreadable', Buffer.alloc(32, 6), 0o000),
    join(folder, 'missing'),
    join(folder, 'link'),
    join(folder, 'loop'),
    join(folder, 'folder'),
    '/dev/zero',
    '/dev/null',
  ];
  symlinkSync(good, join(folder, 'link'));
  symlinkSync(join(folder, 'loop'), join(folder, 'loop'));
  mkdirSync(join(folder, 'folder'));
  contents.set(join(folder, 'link'), goodKey);
  contents.set('/dev/null', Buffer.alloc(0));
  return {
    paths,
    contents,
    write: (/** @type {Uint8Array} */ bytes) => {
      writeFileSync(written, bytes);
      contents.set(written, Buffer.from(bytes));
      return written;
    },
  };
}
