/**
 * SHA-256 length extension: from the hash of a secret message and its length, the hash of that message, its padding, and
 * anything behind. FIPS 180-4; written out because no library offers to start from a given state.
 */

const ROUND_CONSTANTS = firstPrimes(64).map((prime) => fractionalBits(Math.cbrt(prime)));

/** The padding SHA-256 puts behind a message of `length` bytes. */
export function sha256Padding(length: number): Buffer {
  const zeros = (119 - (length % 64)) % 64;
  const padding = Buffer.alloc(1 + zeros + 8);
  padding[0] = 0x80;
  padding.writeUInt32BE(Math.floor((length * 8) / 2 ** 32), 1 + zeros);
  padding.writeUInt32BE((length * 8) >>> 0, 5 + zeros);
  return padding;
}

/** The hash of a message whose first `length` bytes, padding included, hash to `state`, and which goes on with `more`. */
export function extendSha256(state: Buffer, length: number, more: Buffer): Buffer {
  const words = Array.from({ length: 8 }, (_, index) => state.readUInt32BE(index * 4));
  const rest = Buffer.concat([more, sha256Padding(length + more.length)]);
  for (let at = 0; at < rest.length; at += 64) {
    compress(words, rest.subarray(at, at + 64));
  }
  const hash = Buffer.alloc(32);
  words.forEach((word, index) => hash.writeUInt32BE(word, index * 4));
  return hash;
}

function compress(state: number[], block: Buffer): void {
  const schedule = Array.from({ length: 16 }, (_, index) => block.readUInt32BE(index * 4));
  for (let index = 16; index < 64; index++) {
    const [a, b] = [schedule[index - 15]!, schedule[index - 2]!];
    const small0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const small1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    schedule.push((schedule[index - 16]! + small0 + schedule[index - 7]! + small1) >>> 0);
  }
  let [a, b, c, d, e, f, g, h] = state as [number, number, number, number, number, number, number, number];
  for (let index = 0; index < 64; index++) {
    const big1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const choice = (e & f) ^ (~e & g);
    const first = (h + big1 + choice + ROUND_CONSTANTS[index]! + schedule[index]!) >>> 0;
    const big0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const second = (big0 + ((a & b) ^ (a & c) ^ (b & c))) >>> 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) >>> 0, c, b, a, (first + second) >>> 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, index) => {
    state[index] = (state[index]! + word) >>> 0;
  });
}

function rotate(word: number, bits: number): number {
  return ((word >>> bits) | (word << (32 - bits))) >>> 0;
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < count; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) {
      primes.push(candidate);
    }
  }
  return primes;
}

function fractionalBits(value: number): number {
  return Math.floor((value - Math.floor(value)) * 2 ** 32) >>> 0;
}
