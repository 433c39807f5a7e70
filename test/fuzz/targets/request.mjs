/** The plaintext of a request, from its padding on: anything that a key holder may put there. */
import { strict as assert } from 'node:assert';
import { expectError } from '../expected.mjs';
import { recordings } from '../recordings.mjs';
import { PYTHON_TOKENS, isSame, kindOf } from './python-text.mjs';

/** @type {import('./index.mjs').CreateTarget} */
export function createRequestTarget({
  unpad,
  decodeUtf8,
  parseRequest,
  formatRequest,
  BenUdpProtocolError,
  BenUdpError,
}) {
  return {
    name: 'request',
    about: "a request's plaintext: padding, UTF-8, Python text, dict",
    dictionary: [...PYTHON_TOKENS, "'action': ", "'data': ", "'noreturn': True", "'meta': {}", '                '],
    maxBytes: 4096,
    seeds: recordings.requests.map((text) => Buffer.from(`${text}    `)),
    run(input) {
      const bytes = unpad(input);
      if (!bytes) {
        return 'bad-padding';
      }
      const padding = input.length - bytes.length;
      assert.ok(padding >= 1 && padding <= 16 && bytes.at(-1) !== 0x20);
      const text = decodeUtf8(bytes);
      if (text === undefined) {
        return 'bad-utf8';
      }
      assert.ok(Buffer.from(text).equals(bytes), 'decoded to something else');
      let request;
      try {
        request = parseRequest(text);
      } catch (error) {
        return expectError(error, BenUdpProtocolError, ({ code }) => /^BEN_(?:TEXT_|BAD_REQUEST)/.test(code)).code;
      }
      const { action, data, noreturn, metadata } = request;
      assert.equal(typeof noreturn, 'boolean');
      return `${kindOf(action)} ${kindOf(data)} ${noreturn} ${kindOf(metadata)} ${formatAgain(request)}`;
    },
  };

  /** @param {import('#lib/protocol/index.js').Request} request */
  function formatAgain(request) {
    let text;
    try {
      text = formatRequest(request);
    } catch (error) {
      expectError(error, BenUdpError, ({ code }) => code === 'BEN_UNSERIALIZABLE');
      return 'not printed';
    }
    const again = parseRequest(text);
    for (const part of /** @type {const} */ (['action', 'data', 'noreturn', 'metadata'])) {
      assert.ok(isSame(request[part], again[part]), `${part} is another after ${text.slice(0, 200)}`);
    }
    return 'printed';
  }
}
