/**
 * Keys: `SHA-256(contents of the key file)`, the AES-256 key of a device.
 */
import { createHash } from 'node:crypto';

/**
 * The AES-256 key that key file `contents` stand for; any length is hashed, as upstream does. Memory of its own, which the caller
 * overwrites after use.
 */
export function deriveKey(contents: Uint8Array): Buffer {
  const digest = createHash('sha256').update(contents).digest();
  const key = Buffer.alloc(digest.length);
  key.set(digest);
  digest.fill(0);
  return key;
}

/** A short name for a key that may be logged: 8 hex digits of the hash of its hash. */
export function fingerprint(key: Uint8Array): string {
  return createHash('sha256').update('nestjs-ben-udp fingerprint').update(key).digest('hex').slice(0, 8);
}
