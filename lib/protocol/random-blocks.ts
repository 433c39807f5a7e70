/** Random 16-byte blocks, generated in bulk: one call of the CSPRNG costs as much for 4 KiB as for 16 bytes. */
import { type RandomFill, systemRandom } from '../random.js';
import { BLOCK_BYTES } from './wire.js';

const POOL_BYTES = 4096;

/** Writes 16 random bytes into `target` at `offset`. */
export type RandomBlockSource = (target: Uint8Array, offset: number) => void;

export function createRandomBlockSource(fill: RandomFill = systemRandom): RandomBlockSource {
  const pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  let used = POOL_BYTES;
  return (target, offset) => {
    if (used === POOL_BYTES) {
      fill(pool);
      used = 0;
    }
    pool.copy(target, offset, used, used + BLOCK_BYTES);
    // Each block is used once, so it is not kept here.
    pool.fill(0, used, used + BLOCK_BYTES);
    used += BLOCK_BYTES;
  };
}
