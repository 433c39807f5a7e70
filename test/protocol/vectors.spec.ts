/**
 * All recorded exchanges, byte for byte, in both directions: our code as the server with the recorded id, and as
 * the device with the recorded datagrams.
 */
import { describe, expect, it } from 'vitest';
import { openId, openReply, sealRequest } from '../../lib/exchange/index.js';
import {
  type EnvelopeKey,
  Sealer,
  decodeUtf8,
  digest,
  formatReply,
  formatRequest,
  isHello,
  parseEnvelope,
  parsePythonText,
  parseReply,
  parseRequest,
  unpad,
} from '../../lib/protocol/index.js';
import { deriveKey } from '../../lib/keys/index.js';
import { sealerWithFixedIv } from '../support/fixed-iv.js';
import {
  isPrintedAlike,
  type RecordedExchange,
  recordedExchanges,
  recordedKey,
  recordedKeyFile,
  sortKeys,
} from '../support/vectors.js';

const replying = recordedExchanges.filter(({ response }) => response !== null);

describe('recorded exchanges', () => {
  it('are 66, of which 62 have a reply', () => {
    expect(recordedExchanges).toHaveLength(66);
    expect(replying).toHaveLength(62);
  });

  it('use the SHA-256 of the key file as their key', () => {
    expect(deriveKey(recordedKeyFile)).toEqual(recordedKey);
  });

  describe.each(recordedExchanges)('$title', (exchange) => {
    it('begins with the hello', () => {
      expect(isHello(exchange.hello)).toBe(true);
    });

    it('as the server: seals the recorded id into datagrams 2 and 3', () => {
      const { pair, id } = exchange;
      expect(sealerWithFixedIv(recordedKey, pair.iv).seal(id.toString())).toEqual(pair);
    });

    it('as the server: verifies and opens datagram 4', () => {
      const { hash, data, iv } = readEnvelope(exchange);
      expect(digest(exchange.id, data, iv)).toEqual(hash);
      const plaintext = new Sealer(recordedKey).open(data, iv);
      const text = unpad(plaintext)!;
      expect(decodeUtf8(text)).toBe(exchange.request);
      expect(plaintext.length - text.length).toBe(exchange.requestPadding);
      expect(parseRequest(exchange.request).noreturn).toBe(exchange.response === null);
    });

    it('as the device: finds the recorded id in datagrams 2 and 3', () => {
      expect(openId(new Sealer(recordedKey), exchange.pair)).toEqual(exchange.id);
    });

    it('as the device: makes datagram 4', () => {
      const { iv } = readEnvelope(exchange);
      const sealer = sealerWithFixedIv(recordedKey, iv);
      expect(sealRequest(sealer, exchange.id, exchange.request, recordedKeyOrder(exchange))).toEqual(exchange.envelope);
    });
  });

  describe.each(replying)('reply of $title', ({ id, reply: [hash, iv, ciphertext], response, seenByDevice }) => {
    it('as the server: seals the recorded text into datagrams 5 to 7', () => {
      const sealed = sealerWithFixedIv(recordedKey, iv!).seal(response!);
      expect(sealed).toEqual({ ciphertext, iv });
      expect(digest(id, sealed.ciphertext, sealed.iv)).toEqual(hash);
    });

    it('as the device: opens datagrams 5 to 7 and returns the value of the device', () => {
      const text = openReply(new Sealer(recordedKey), id, hash!, {
        ciphertext: ciphertext!,
        iv: iv!,
      });
      expect(text).toBe(response);
      expect(parseReply(text!)).toEqual(parsePythonText(seenByDevice));
    });

    it('means the same when it is our JSON', () => {
      const data = parseReply(response!);
      expect(parseReply(formatReply(data, 4096))).toEqual(data);
    });
  });

  it.each(recordedExchanges.filter(isPrintedAlike))('prints $request as the device did', ({ request }) => {
    expect(sortKeys(formatRequest(parseRequest(request)))).toBe(sortKeys(request));
  });
});

function readEnvelope({ envelope }: RecordedExchange) {
  const parsed = parseEnvelope(envelope);
  if (typeof parsed === 'string') {
    throw new Error(parsed);
  }
  return parsed;
}

function recordedKeyOrder({ envelope }: RecordedExchange): EnvelopeKey[] {
  const text = envelope.toString('latin1');
  // The other keys can't occur inside a literal: a quote in front of them would be escaped, or end it.
  return (['hash', 'data', 'iv'] as const).toSorted((a, b) => text.indexOf(`'${a}': b`) - text.indexOf(`'${b}': b`));
}
