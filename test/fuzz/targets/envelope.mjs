/**
 * Compares the reader of envelopes with the reader of Python text: both accept the same dicts of hash, data and iv, if they are spelt as
 * `str()` spells them.
 */
import { strict as assert } from 'node:assert';
import { recordings } from '../recordings.mjs';

const FAULTS = ['bad-envelope', 'bad-sizes'];

/** @param lib */
export function createEnvelopeTarget({ parseEnvelope, formatEnvelope, parsePythonText, printPythonText }) {
  /** The dict, with its keys in their order, if the bytes are the text of one. */
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
      const order = Object.keys(dict);
      assert.ok(order.every((key) => envelope[key].equals(dict[key])) && order.length === 3);
      assert.deepEqual(parseEnvelope(formatEnvelope(envelope, order)), envelope);
      return `${order} ${data.length / 16}`;
    },
  };
}

/** A cheap check, so that the slow reader gets no datagram that can't be an envelope. */
function mayBeDict(input) {
  return input[0] === 0x7b && input.at(-1) === 0x7d && input.length > 120 && input.length < 1000;
}

function isEnvelope(dict) {
  const { hash, data, iv, ...rest } = isPlainDict(dict) ? dict : {};
  return (
    [hash, data, iv].every((value) => value instanceof Uint8Array) &&
    Object.keys(rest).length === 0 &&
    hash.length === 32 &&
    iv.length === 16 &&
    data.length > 0 &&
    data.length % 16 === 0
  );
}

function describeDict(dict) {
  return isPlainDict(dict) ? Object.keys(dict).length : typeof dict;
}

function isPlainDict(value) {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
