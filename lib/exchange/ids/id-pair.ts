/**
 * The id pair, datagrams 2 and 3, without any state kept for it.
 *
 * A device computes its id from whatever 32 bytes arrive: `strip(AES⁻¹(ciphertext) XOR iv)`. So the server need not
 * encrypt an id. It sends a keyed hash of who asked and when, computes the same bytes again when the request arrives,
 * and derives the id under whichever key it likes. Strangers get no known plaintext, a flood of hellos occupies no
 * memory, and the key that verifies is the device's identity.
 */
import { BLOCK_BYTES, type Hmac, type Sealed, type Sealer, stripWhiteSpace } from '../../protocol/index.js';

/** Length of a slot. An id is accepted in its slot and in the next, so it lives 10 to 20 s. */
export const SLOT_MS = 10_000;

/** Slots in which an id is accepted. */
export const LIVE_SLOTS = 2;

export function slotAt(now: number): number {
  return Math.floor(now / SLOT_MS);
}

/**
 * The 32 bytes of the pair for the id of an endpoint after `n` others in a slot, as Latin-1.
 *
 * @param secret under a key drawn at start; whoever knows that can predict pairs, and with a device's key ids.
 * @param endpoint address and port; the digits that follow are separated, so no two inputs read alike.
 */
export function derivePair(secret: Hmac, endpoint: string, slot: number, n: number): string {
  return secret.digest(`${endpoint}|${slot}|${n}`);
}

/** The two datagrams of a pair. */
export function toPair(derived: string): Sealed {
  const bytes = Buffer.from(derived, 'latin1');
  return { ciphertext: bytes.subarray(0, BLOCK_BYTES), iv: bytes.subarray(BLOCK_BYTES) };
}

/** The id that a device which holds the sealer's key computes from a pair: opaque bytes, never parsed. */
export function openId(sealer: Sealer, { ciphertext, iv }: Sealed): Buffer {
  return stripWhiteSpace(sealer.open(ciphertext, iv));
}
