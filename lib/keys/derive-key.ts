/**
 * Keys: the AES-256 key of a device is `SHA-256(contents of its key file)`.
 */
import { hash } from 'node:crypto';
import { KEY_BYTES } from '../protocol/index.js';

const FINGERPRINT_LABEL = Buffer.from('nestjs-ben-udp fingerprint');

/** The label, and room for a key. */
const labelled = Buffer.alloc(FINGERPRINT_LABEL.length + KEY_BYTES);
labelled.set(FINGERPRINT_LABEL);

/**
 * The AES-256 key for the `contents` of a key file. Any length is hashed, as upstream does. The key is a separate allocation, which the
 * caller overwrites after use.
 */
export function deriveKey(contents: Uint8Array): Buffer {
  return hash('sha256', contents, 'buffer');
}

/**
 * A short name for a key of 32 bytes that may be logged: 8 hex digits of a hash of it. Of a key file of 32 random bytes it reveals nothing.
 * Guesses of a weak one can be tested with it.
 */
export function fingerprint(key: Uint8Array): string {
  labelled.set(key, FINGERPRINT_LABEL.length);
  const name = hash('sha256', labelled, 'hex').slice(0, 8);
  labelled.fill(0, FINGERPRINT_LABEL.length);
  return name;
}
