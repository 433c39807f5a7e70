/**
 * Random numbers that a seed repeats, the same on every machine: splitmix32. For faults in tests, never for keys.
 */
export class Random {
  private state: number;

  /** @param seed any int; neighbouring seeds give unrelated numbers. */
  constructor(seed: number) {
    this.state = seed | 0;
  }

  /** From 0 up to, without, 1. */
  float(): number {
    return this.next() / 0x1_0000_0000;
  }

  /** @param probability 0 to 1. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** A generator of its own: what draws from it moves nothing here. */
  fork(): Random {
    return new Random(this.next());
  }

  /** 32 random bits, as a number from 0. */
  private next(): number {
    this.state = (this.state + 0x9e3779b9) | 0;
    let mixed = this.state ^ (this.state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }
}
