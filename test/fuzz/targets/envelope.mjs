/**
 * Compares the reader of envelopes with the reader of Python text: both accept the same dicts of hash, data and iv, if they are spelt as
 * `str()` spells them.
 */
import { strict as assert } from 'node:assert';
import { recordings } from '../recordings.mjs';

const FAULTS = ['bad-envelope', 'bad-sizes'];

/** @type {import('./index.mjs').CreateTarget} */
export function createEnvelopeTarget({ parseEnvelope, formatEnvelope, parsePythonText, printPythonText }) {
  /**
   * The dict, with its keys in their order, if the bytes are the text of one.
   *
   * @param {Buffer} input
   */
  const readDict = (input) => {
    const text = input.toString('latin1');
    try {
      const dict = parsePythonText(text);
      return printPythonText(dict) === text ? dict : undefined;
    } catch {
      return undefined;
    }
  };
  return {
    name: 'envelope',
    about: 'the dict around a request, of strangers',
    dictionary: [
      "{'hash': b'",
      "', 'data': b'",
      "', 'iv': b'",
      "'}",
      '"',
      String.raw`\x00`,
      String.raw`\xfF`,
      '\\',
      "b'",
    ],
    maxBytes: 5000,
    seeds: recordings.envelopes,
    run(input) {
      const envelope = parseEnvelope(input);
      if (typeof envelope === 'string') {
        assert.ok(FAULTS.includes(envelope), envelope);
        const dict = mayBeDict(input) ? readDict(input) : undefined;
        assert.ok(!isEnvelope(dict), 'refused, though it is what str() prints of an envelope');
        return `${envelope} ${dict ? describeDict(dict) : ''}`;
      }
      const { hash, data, iv } = envelope;
      assert.ok(hash.length === 32 && iv.length === 16 && data.length > 0 && data.length % 16 === 0);
      const dict = parsePythonText(input.toString('latin1'));
      assert.ok(isPlainDict(dict));
      const order = Object.keys(dict).filter(isEnvelopeKey);
      assert.ok(order.length === 3 && Object.keys(dict).length === 3);
      for (const key of order) {
        const value = dict[key];
        assert.ok(value instanceof Uint8Array && envelope[key].equals(value));
      }
      assert.deepEqual(parseEnvelope(formatEnvelope(envelope, order)), envelope);
      return `${order} ${data.length / 16}`;
    },
  };
}

/**
 * A cheap check, so that the slow reader gets no datagram that can't be an envelope.
 *
 * @param {Buffer} input
 */
function mayBeDict(input) {
  return input[0] === 0x7b && input.at(-1) === 0x7d && input.length > 120 && input.length < 1000;
}

/**
 * @param {string} name
 * @returns {name is import('#lib/protocol/index.js').EnvelopeKey}
 */
function isEnvelopeKey(name) {
  return name === 'hash' || name === 'data' || name === 'iv';
}

/** @param {unknown} dict */
function isEnvelope(dict) {
  if (!isPlainDict(dict)) {
    return false;
  }
  const { hash, data, iv, ...rest } = dict;
  return (
    hash instanceof Uint8Array &&
    data instanceof Uint8Array &&
    iv instanceof Uint8Array &&
    Object.keys(rest).length === 0 &&
    hash.length === 32 &&
    iv.length === 16 &&
    data.length > 0 &&
    data.length % 16 === 0
  );
}

/** @param {unknown} dict */
function describeDict(dict) {
  return isPlainDict(dict) ? Object.keys(dict).length : typeof dict;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isPlainDict(value) {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
