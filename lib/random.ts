/** Random bytes. A simulator passes a seeded source instead of the system's. */
import { randomFillSync } from 'node:crypto';

/** Fills `target` with random bytes. */
export type RandomFill = (target: Uint8Array) => void;

/** The CSPRNG of the operating system. */
export const systemRandom: RandomFill = (target) => void randomFillSync(target);

/** Random bytes in a separate allocation, which the caller may overwrite after use. */
export function randomBytes(fill: RandomFill, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  fill(bytes);
  return bytes;
}

/** A random integer from 0 to 2^32 - 1. */
export function randomUint32(fill: RandomFill): number {
  return randomBytes(fill, 4).readUInt32LE();
}
