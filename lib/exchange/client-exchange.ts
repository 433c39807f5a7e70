/**
 * The asking side of the exchange, as the device computes it: what to do with the server's datagrams, step by step.
 */
import { timingSafeEqual } from 'node:crypto';
import {
  type EnvelopeKey,
  type Sealed,
  type Sealer,
  decodeUtf8,
  digest,
  formatEnvelope,
  stripWhiteSpace,
} from '../protocol/index.js';

/** The id in datagrams 2 and 3: opaque bytes, never parsed. */
export function openId(sealer: Sealer, { ciphertext, iv }: Sealed): Buffer {
  return stripWhiteSpace(sealer.open(ciphertext, iv));
}

/** Datagram 4 for the text of a request. `order` as in `formatEnvelope`. */
export function sealRequest(sealer: Sealer, id: Uint8Array, text: string, order?: readonly EnvelopeKey[]): Buffer {
  const { ciphertext, iv } = sealer.seal(text);
  return formatEnvelope({ hash: digest(id, ciphertext, iv), data: ciphertext, iv }, order);
}

/** The text in datagrams 5 to 7; `undefined` where the hash does not fit, or what it seals is not UTF-8. */
export function openReply(sealer: Sealer, id: Uint8Array, hash: Uint8Array, sealed: Sealed): string | undefined {
  const expected = digest(id, sealed.ciphertext, sealed.iv);
  // timingSafeEqual throws on unequal lengths.
  if (hash.length !== expected.length || !timingSafeEqual(hash, expected)) {
    return undefined;
  }
  return decodeUtf8(stripWhiteSpace(sealer.open(sealed.ciphertext, sealed.iv)));
}
