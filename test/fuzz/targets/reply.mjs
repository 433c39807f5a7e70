/** Any result of a handler as the JSON of a reply: it fits and reads back, or it is refused with a code. */
import { strict as assert } from 'node:assert';
import { expectError } from '../expected.mjs';
import { ByteReader } from '../byte-reader.mjs';
import { isSame } from './python-text.mjs';

/** @type {readonly ('null' | 'text')[]} */
const ERROR_FORMS = ['null', 'text'];

const REFUSALS = ['BEN_UNSERIALIZABLE', 'BEN_REPLY_TOO_LARGE'];

/** Containers that are filled. Later values are small. */
const MAX_CONTAINERS = 200;

/** @type {import('./index.mjs').CreateTarget} */
export function createReplyTarget({ formatReply, formatErrorReply, parseReply, readReply, sealedLength, BenUdpError }) {
  const attempt = (/** @type {() => string} */ print) => {
    try {
      return print();
    } catch (error) {
      return expectError(error, BenUdpError, ({ code }) => REFUSALS.includes(code));
    }
  };
  return {
    name: 'reply',
    about: 'what handlers return, as JSON',
    dictionary: [],
    maxBytes: 128,
    seeds: Array.from(KINDS, (_, index) => Buffer.from([index % 3, index, 2, 1, 2, 3, 4, 5, 6, 7, 8])),
    run(input) {
      const reader = new ByteReader(input);
      const bufferSize = reader.pick([256, 4096, 65_507]);
      const builder = new Builder(reader);
      const value = builder.build();
      const text = attempt(() => formatReply(value, bufferSize));
      const form = reader.pick(ERROR_FORMS);
      const errorText = attempt(() => formatErrorReply(value, form, bufferSize));
      if (typeof errorText === 'string') {
        checkSize(errorText, bufferSize);
        assert.ok('error' in readReply(errorText), `not read as an error: ${errorText.slice(0, 200)}`);
      }
      if (typeof text !== 'string') {
        // Without its numbers: were each size something new, the largest values would be built upon, and no others.
        return `${text.code} ${text.message.replaceAll(/\d+/g, 'n').slice(0, 40)}`;
      }
      checkSize(text, bufferSize);
      assert.ok(Object.hasOwn(JSON.parse(text), 'data'));
      const read = parseReply(text);
      const again = formatReply(read, Infinity);
      assert.ok(isSame(parseReply(again), read), `reads back as something else: ${text.slice(0, 200)}`);
      return builder.kinds.slice(0, 3).join();
    },
  };

  /**
   * @param {string} text
   * @param {number} bufferSize
   */
  function checkSize(text, bufferSize) {
    assert.ok(sealedLength(Buffer.byteLength(text)) <= bufferSize, `${text.length} characters for ${bufferSize} bytes`);
  }
}

/** Makes a value of any kind out of bytes. */
class Builder {
  /** @type {number[]} */
  kinds = [];
  #reader;
  /**
   * Values to refer to again: a parent, so that a value contains itself, or another, so that it is contained twice.
   *
   * @type {object[]}
   */
  #containers = [];

  /** @param {ByteReader} reader */
  constructor(reader) {
    this.#reader = reader;
  }

  /** @returns {unknown} */
  build() {
    const reader = this.#reader;
    const index = reader.isAtEnd || this.#containers.length > MAX_CONTAINERS ? 0 : reader.byte() % KINDS.length;
    this.kinds.push(index);
    return KINDS[index](reader, this);
  }

  items() {
    return Array.from({ length: this.#reader.byte() % 8 }, () => this.build());
  }

  /**
   * @template {object} T
   * @param {T} container
   */
  keep(container) {
    this.#containers.push(container);
    return container;
  }

  earlier() {
    return this.#containers.length > 0 ? this.#reader.pick(this.#containers) : null;
  }
}

/**
 * Seldom large, because that takes a hundred times as long.
 *
 * @param {ByteReader} reader
 */
function sizeFrom(reader) {
  const byte = reader.byte();
  return byte < 4 ? 5000 : byte < 16 ? 100 : byte % 4;
}

/** @type {readonly ((reader: ByteReader, builder: Builder) => unknown)[]} */
const KINDS = [
  () => null,
  () => undefined,
  (reader) => reader.byte() > 127,
  (reader) => reader.byte() - 128,
  (reader) => Buffer.concat([reader.take(8), Buffer.alloc(8)]).readDoubleLE(),
  (reader) => reader.pick([NaN, -Infinity, -0, 2 ** 53, 1e21, 5e-324, 1.7976931348623157e308]),
  (reader) => BigInt(`0x0${reader.take(reader.byte() % 64).toString('hex')}`) * (reader.byte() > 127 ? -1n : 1n),
  (reader) => reader.take(reader.byte() % 32).toString('utf8'),
  (reader) => reader.take(reader.byte() % 32).toString('utf16le'),
  (reader) =>
    reader.pick(['"', '\\', '\0', '\u2028', '\ud83d', '\u{1f600}', 'int:9007199254740993']) +
    'x'.repeat(sizeFrom(reader)),
  (reader) => Buffer.from(reader.take(reader.byte())),
  (reader) => new Float32Array(reader.byte() % 8).fill(reader.byte() / 3),
  (reader) => new BigInt64Array(2).fill(BigInt(reader.byte())),
  () => new DataView(new ArrayBuffer(4)),
  (reader) => reader.pick([new ArrayBuffer(4), new SharedArrayBuffer(4), new Uint8ClampedArray(4)]),
  (reader) => Object(reader.pick([5, 'x', false, 2n ** 70n, Symbol('s')])),
  (reader) => reader.pick([() => Promise.resolve(1), function* () {}, async function* () {}])(),
  (reader) => reader.pick([new WeakMap(), new WeakSet(), /x/, new URLSearchParams('a=1'), new Error('x')]),
  (reader) => ({ [reader.pick(['then', 'subscribe', 'next'])]: () => 1 }),
  (reader) => new Date(reader.byte() > 127 ? NaN : reader.word()),
  () => () => 1,
  () => Symbol('s'),
  (reader) => Array.from({ length: sizeFrom(reader) }),
  // eslint-disable-next-line no-sparse-arrays
  () => [, 1, ,],
  () => Object.create(null),
  (_reader, builder) => builder.earlier(),
  (_reader, builder) => {
    /** @type {unknown[]} */
    const list = builder.keep([]);
    list.push(...builder.items());
    return list;
  },
  (_reader, builder) => {
    const set = builder.keep(new Set());
    builder.items().forEach((item) => set.add(item));
    return set;
  },
  (_reader, builder) => {
    const map = builder.keep(new Map());
    builder.items().forEach((item) => map.set(item, builder.build()));
    return map;
  },
  (reader, builder) => {
    const object = builder.keep({});
    for (const item of builder.items()) {
      const name = reader.pick(['a', '0', '', '__proto__', 'toJSON', 'data', 'error', 'é', '"']);
      Object.defineProperty(object, name, { value: item, enumerable: true, configurable: true, writable: true });
    }
    return object;
  },
  (_reader, builder) => {
    /** @type {{ toJSON: () => unknown, value?: unknown }} */
    const holder = builder.keep({ toJSON: () => holder.value });
    holder.value = builder.build();
    return holder;
  },
  (reader, builder) => {
    let value = builder.build();
    for (let level = reader.byte(); level > 0; level--) {
      value = [value];
    }
    return value;
  },
];
