/**
 * Random numbers that a seed repeats, the same on every machine: splitmix32. For faults and tests, never for keys.
 */
export class Random {
  private state: number;

  /** @param seed any integer. Neighbouring seeds give unrelated numbers. */
  constructor(seed: number) {
    // The high half of a seed beyond 32 bits counts too.
    this.state = (seed ^ Math.floor(seed / 0x1_0000_0000)) | 0;
  }

  /** 32 random bits, as a number from 0. */
  next(): number {
    this.state = (this.state + 0x9e3779b9) | 0;
    let mixed = this.state ^ (this.state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** From 0 up to, but not including, 1. */
  float(): number {
    return this.next() / 0x1_0000_0000;
  }

  /** An integer from 0 up to, but not including, `end`. */
  below(end: number): number {
    return Math.floor(this.float() * end);
  }

  /** An integer from `first` to `last`, both included. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** @param probability 0 to 1. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    this.fill(bytes);
    return bytes;
  }

  /** Fills `target` with random bytes, like the source of a `Platform`. */
  readonly fill = (target: Uint8Array): void => {
    for (let index = 0; index < target.length; index++) {
      target[index] = this.next() >>> 24;
    }
  };

  /** An independent generator: drawing from it does not change this one. */
  fork(): Random {
    return new Random(this.next());
  }
}
