/**
 * Takes an input for a program: each read takes the next bytes, and zeros after the end.
 */
export class ByteReader {
  #bytes;
  #at = 0;

  /** @param {Buffer} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
  }

  get isAtEnd() {
    return this.#at >= this.#bytes.length;
  }

  byte() {
    return this.#bytes[this.#at++] ?? 0;
  }

  /** A number from 0 to 65535. */
  word() {
    return this.byte() * 256 + this.byte();
  }

  /**
   * This number of bytes, or the rest.
   *
   * @param {number} length
   */
  take(length) {
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }

  /**
   * @template T
   * @param {readonly T[]} items
   * @returns {T}
   */
  pick(items) {
    return items[this.byte() % items.length];
  }
}
