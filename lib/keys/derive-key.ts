/**
 * Keys: the AES-256 key of a device is `SHA-256(contents of its key file)`.
 */
import { createHash } from 'node:crypto';

/**
 * The AES-256 key for the `contents` of a key file. Any length is hashed, as upstream does. The key is in memory of its own, which the
 * caller overwrites after use.
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
