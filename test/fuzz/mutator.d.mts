import type { Random } from '../support/random.mjs';

export class Mutator {
  constructor(random: Random, dictionary: readonly string[], maxLength: number);
  mutate(input: Buffer, other: Buffer): Buffer;
}
