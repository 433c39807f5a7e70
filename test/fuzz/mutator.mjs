/**
 * Makes inputs out of inputs: flips, inserts, deletes, repeats, splices and cuts bytes, and puts in tokens of a dictionary.
 */

/** Bytes and counts at which programs change their mind. */
const EDGES = [0, 1, 0x0a, 0x20, 0x22, 0x27, 0x2c, 0x5c, 0x7b, 0x7d, 0x7e, 0x7f, 0x80, 0xc0, 0xe2, 0xed, 0xf0, 0xff];

export class Mutator {
  #random;
  #dictionary;
  #maxBytes;

  /**
   * @param {import('#lib/testing/random.js').Random} random
   * @param {readonly (string | Uint8Array)[]} dictionary
   * @param {number} maxBytes of an input.
   */
  constructor(random, dictionary, maxBytes) {
    this.#random = random;
    this.#dictionary = dictionary.map((token) => Buffer.from(token));
    this.#maxBytes = maxBytes;
  }

  /**
   * @param {Buffer} input
   * @param {Buffer} other one to splice with.
   */
  mutate(input, other) {
    let bytes = input;
    // Mostly one change: more would lose the interesting part of the input.
    let changes = 1;
    while (changes < 16 && this.#random.chance(0.4)) {
      changes++;
    }
    for (; changes > 0; changes--) {
      bytes = this.#change(bytes, other);
    }
    return bytes.subarray(0, this.#maxBytes);
  }

  /**
   * @param {Buffer} bytes
   * @param {Buffer} other
   * @returns {Buffer}
   */
  #change(bytes, other) {
    const random = this.#random;
    const at = random.below(bytes.length + 1);
    const length = random.below(Math.min(bytes.length - at, random.pick([2, 4, 16, 1024])) + 1);
    switch (random.below(10)) {
      case 0:
        return this.#overwrite(bytes, at, (byte) => byte ^ (1 << random.below(8)));
      case 1:
        return this.#overwrite(bytes, at, () => random.below(256));
      case 2:
        return this.#overwrite(bytes, at, () => random.pick(EDGES));
      case 3:
        return splice(bytes, at, 0, random.bytes(random.between(1, 8)));
      case 4:
        return splice(bytes, at, length, EMPTY);
      case 5:
        return splice(bytes, at, 0, bytes.subarray(at, at + length));
      case 6: {
        const token = this.#dictionary.length > 0 ? random.pick(this.#dictionary) : random.bytes(2);
        return splice(bytes, at, random.chance(0.5) ? token.length : 0, token);
      }
      case 7: {
        const start = random.below(other.length + 1);
        return splice(bytes, at, length, other.subarray(start, start + random.below(64)));
      }
      case 8:
        return bytes.subarray(0, at);
      default: {
        const piece = bytes.subarray(at, at + Math.min(length, 8));
        // Seldom past every limit: large inputs take their time.
        const times = random.chance(0.02) ? 4100 : random.pick([2, 3, 10, 40]);
        return splice(bytes, at, 0, Buffer.alloc(Math.min(times * piece.length, this.#maxBytes), piece));
      }
    }
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   * @param {(byte: number) => number} change
   */
  #overwrite(bytes, at, change) {
    if (at >= bytes.length) {
      return bytes;
    }
    const changed = Buffer.from(bytes);
    changed[at] = change(bytes[at]);
    return changed;
  }
}

const EMPTY = Buffer.alloc(0);

/**
 * @param {Buffer} bytes
 * @param {number} at
 * @param {number} deleted
 * @param {Buffer} inserted
 */
function splice(bytes, at, deleted, inserted) {
  return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + deleted)]);
}
