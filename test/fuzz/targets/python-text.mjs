/** Python text: an accepted text can be printed and read again as the same value. Others are refused with a code and a position. */
import { strict as assert } from 'node:assert';
import { expectError } from '../expected.mjs';
import { recordings } from '../recordings.mjs';

export const PYTHON_TOKENS = [
  ': ',
  ', ',
  ...'None True False nan -inf set() b ( ) ,) [ ] { } __proto__ # \u20ac'.split(' '),
  ...String.raw`' " b' ''' \x \u20ac \U0001f600 \ud83d \' \\`.split(' '),
  ...'0 -0 -0.0 1e400 1e-400 9007199254740993 0x 1_0 2j .5 5.'.split(' '),
];

/** @type {import('./index.mjs').CreateTarget} */
export function createPythonTextTarget({ parsePythonText, printPythonText, BenUdpProtocolError, BenUdpError }) {
  return {
    name: 'python-text',
    about: 'the literals that repr prints: parse, print, parse',
    dictionary: PYTHON_TOKENS,
    maxBytes: 70_000,
    seeds: [...recordings.requests.map((text) => Buffer.from(text)), ...recordings.envelopes],
    run(input) {
      const text = input.toString('utf8');
      let value;
      try {
        value = parsePythonText(text);
      } catch (error) {
        const refusal = expectError(error, BenUdpProtocolError, ({ code }) => code.startsWith('BEN_TEXT_'));
        const { position = -1 } = refusal;
        assert.ok(position >= 0 && position <= text.length, `position ${position}`);
        return `${refusal.code} ${Math.min(position, 32)}`;
      }
      let printed;
      try {
        printed = printPythonText(value);
      } catch (error) {
        // Escapes lengthen a text; nothing else that was read may be refused.
        expectError(error, BenUdpError, ({ code }) => code === 'BEN_UNSERIALIZABLE' && text.length > 6500);
        return 'too long to print';
      }
      checkMemory(value);
      const again = parsePythonText(printed);
      assert.ok(isSame(value, again), `prints as ${printed.slice(0, 200)}, which is something else`);
      assert.equal(printPythonText(again), printed);
      return describe(value, 3);
    },
  };
}

/**
 * Bytes own their memory, and objects have no other prototype than those of literals.
 *
 * @param {unknown} value
 */
function checkMemory(value) {
  if (value instanceof Uint8Array) {
    assert.ok(value.byteOffset === 0 && value.buffer.byteLength === value.length, 'bytes that share memory');
  } else if (typeof value === 'object' && value !== null) {
    assert.ok(kindOf(value) !== 'dict' || Object.getPrototypeOf(value) === Object.prototype, 'a prototype');
    itemsOf(value).flat().forEach(checkMemory);
  }
}

/**
 * Equal, and in the same order.
 *
 * @param {unknown} a
 * @param {unknown} b
 * @returns {boolean}
 */
export function isSame(a, b) {
  if (typeof a !== 'object' || a === null) {
    return Object.is(a, b);
  }
  if (typeof b !== 'object' || b === null || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) {
    return false;
  }
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return Buffer.compare(a, b) === 0;
  }
  const [ours, theirs] = [a, b].map(itemsOf);
  return ours.length === theirs.length && ours.every((item, index) => isSame(item, theirs[index]));
}

/**
 * @param {object} value
 * @returns {unknown[]}
 */
function itemsOf(value) {
  return Array.isArray(value)
    ? value
    : value instanceof Map || value instanceof Set
      ? [...value]
      : Object.entries(value);
}

/**
 * The type of a value. A dict may have a key `constructor`, so that is not asked.
 *
 * @param {unknown} value
 */
export function kindOf(value) {
  if (typeof value !== 'object' || value === null) {
    return value === null ? 'null' : typeof value;
  }
  return KINDS.find(([, kind]) => value instanceof kind)?.[0] ?? 'dict';
}

const KINDS = Object.entries({ bytes: Uint8Array, list: Array, set: Set, map: Map });

/**
 * The shape of a value, in few words.
 *
 * @param {unknown} value
 * @param {number} depth
 * @returns {string}
 */
function describe(value, depth) {
  const name = kindOf(value);
  if (typeof value !== 'object' || value === null || name === 'bytes') {
    return typeof value === 'number' && !Number.isSafeInteger(value) ? 'float' : name;
  }
  const items = itemsOf(value).slice(0, 2);
  return depth === 0 ? name : `${name}(${items.map((item) => describe(item, depth - 1)).join()})`;
}
