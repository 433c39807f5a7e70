/** A sealer whose first seal uses a given IV, so that recorded datagrams can be made again. */
import { createDecipheriv } from 'node:crypto';
import { Sealer } from '../../lib/protocol/index.js';

/**
 * The sealer's IV is the ciphertext of a random block. Its cipher starts from a zero IV, so the "random" block that comes
 * out as `iv` is the AES inverse of `iv`.
 */
export function sealerWithFixedIv(key: Buffer, iv: Buffer): Sealer {
  const block = createDecipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(iv);
  return new Sealer(key, (target, offset) => target.set(block, offset));
}
