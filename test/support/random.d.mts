/** Random numbers that a seed repeats, the same on every machine. Not for keys. */
export class Random {
  /** @param seed any int; neighbouring seeds give unrelated numbers. */
  constructor(seed: number);
  /** 32 random bits, as a number from 0. */
  next(): number;
  /** From 0 up to, without, 1. */
  float(): number;
  /** A whole number from 0 up to, without, `end`. */
  below(end: number): number;
  /** A whole number, both ends included. */
  between(first: number, last: number): number;
  /** @param probability 0 to 1. */
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
  bytes(length: number): Buffer;
  /** A generator of its own: what draws from it moves nothing here. */
  fork(): Random;
}
