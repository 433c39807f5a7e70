/**
 * The id pair, datagrams 2 and 3: a stateless cookie, as in QUIC Retry and DTLS HelloVerifyRequest.
 *
 * A device computes its id from any 32 bytes that it receives: `strip(AES⁻¹(ciphertext) XOR iv)`. So the server does not need to
 * encrypt an id. It sends a keyed hash of the endpoint and the time, and keeps nothing. When the request arrives, it computes the
 * same bytes again, and derives the id under each key that it wants to try. Three properties follow: strangers get no known
 * plaintext, a flood of hellos uses no memory, and the key that verifies is the identity of the device.
 */
import { BLOCK_BYTES, type Hmac, type Sealed, type Sealer, stripWhiteSpace } from '../../protocol/index.js';

/** Length of a slot. An id is accepted in its slot and in the next one, so it lives for 10 to 20 s. */
export const SLOT_MS = 10_000;

/** Slots in which an id is accepted. */
export const LIVE_SLOTS = 2;

export function slotAt(now: number): number {
  return Math.floor(now / SLOT_MS);
}

/**
 * The 32 bytes of a pair, as Latin-1.
 *
 * @param secret keyed at start. An attacker who knows it can predict pairs and, with the key of a device, ids.
 * @param endpoint address and port, separated from the numbers that follow, so two inputs never read alike.
 * @param n the pairs that this endpoint got before in this slot.
 */
export function derivePair(secret: Hmac, endpoint: string, slot: number, n: number): string {
  return secret.digest(`${endpoint}|${slot}|${n}`);
}

/** The two datagrams of a pair. */
export function toPair(derived: string): Sealed {
  const bytes = Buffer.from(derived, 'latin1');
  return { ciphertext: bytes.subarray(0, BLOCK_BYTES), iv: bytes.subarray(BLOCK_BYTES) };
}

/** The id that a device with the key of this sealer computes from a pair: opaque bytes, never parsed. */
export function openId(sealer: Sealer, { ciphertext, iv }: Sealed): Buffer {
  return stripWhiteSpace(sealer.open(ciphertext, iv));
}
