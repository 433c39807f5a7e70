/**
 * Random numbers that a seed repeats, the same on every machine: Marsaglia's xorshift128 (Journal of Statistical Software
 * 8/14, 2003). Not for keys.
 */
export class Random {
  #x;
  #y;
  #z;
  #w;

  /** @param {number} seed any int; neighbouring seeds give unrelated numbers. */
  constructor(seed) {
    const mix = createMix(seed);
    [this.#x, this.#y, this.#z] = [mix(), mix(), mix()];
    // All four zero would stay so.
    this.#w = mix() | 1;
  }

  /** 32 random bits, as a number from 0. */
  next() {
    const t = this.#x ^ (this.#x << 11);
    [this.#x, this.#y, this.#z] = [this.#y, this.#z, this.#w];
    this.#w = this.#w ^ (this.#w >>> 19) ^ t ^ (t >>> 8);
    return this.#w >>> 0;
  }

  /** From 0 up to, without, 1. */
  float() {
    return this.next() / 0x1_0000_0000;
  }

  /** A whole number from 0 up to, without, `end`. */
  below(end) {
    return Math.floor(this.float() * end);
  }

  /** A whole number, both ends included. */
  between(first, last) {
    return first + this.below(last - first + 1);
  }

  /** @param {number} probability 0 to 1. */
  chance(probability) {
    return probability > 0 && this.float() < probability;
  }

  /**
   * @template T
   * @param {readonly T[]} items
   * @returns {T}
   */
  pick(items) {
    return items[this.below(items.length)];
  }

  bytes(length) {
    const bytes = Buffer.allocUnsafe(length);
    for (let index = 0; index < length; index++) {
      bytes[index] = this.next() >>> 24;
    }
    return bytes;
  }

  /** A generator of its own: what draws from it moves nothing here. */
  fork() {
    return new Random(this.next());
  }
}

/** Spreads a seed over as many numbers as are asked for: splitmix32. */
function createMix(seed) {
  // The high half counts too, where the seed is larger than 32 bits.
  let state = (seed ^ Math.floor(seed / 0x1_0000_0000)) | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return mixed ^ (mixed >>> 15);
  };
}
