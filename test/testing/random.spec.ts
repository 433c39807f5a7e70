import { describe, expect, it } from 'vitest';
import { Random } from '../../lib/testing/random.js';

const draw = (random: Random, count = 5) => Array.from({ length: count }, () => random.next());

describe('Random', () => {
  it('repeats its numbers by the seed, on every machine', () => {
    expect(draw(new Random(1), 3)).toEqual([1580013426, 350525680, 3524174333]);
  });

  it('gives unrelated numbers for neighbouring seeds, and for seeds that differ beyond 32 bits', () => {
    const seeds = [0, 1, 2, 2 ** 32 + 2, 5 * 2 ** 32];
    const firsts = seeds.map((seed) => new Random(seed).next());
    expect(new Set(firsts).size).toBe(seeds.length);
  });

  it('keeps to the ends of a range, and reaches both', () => {
    const random = new Random(7);
    const between = new Set(Array.from({ length: 200 }, () => random.between(3, 5)));
    const below = new Set(Array.from({ length: 200 }, () => random.below(3)));
    expect([[...between].toSorted(), [...below].toSorted()]).toEqual([
      [3, 4, 5],
      [0, 1, 2],
    ]);
  });

  it('is even: each byte, and each chance', () => {
    const random = new Random(3);
    const bytes = random.bytes(256 * 400);
    const counts = new Uint32Array(256);
    bytes.forEach((byte) => counts[byte]!++);
    expect(Math.min(...counts)).toBeGreaterThan(300);
    expect(Math.max(...counts)).toBeLessThan(500);
    const hits = Array.from({ length: 10_000 }, () => random.chance(0.3)).filter(Boolean).length;
    expect(Math.abs(hits - 3000)).toBeLessThan(200);
  });

  it('never hits a chance of 0, and always one of 1', () => {
    const random = new Random(5);
    const hits = (chance: number) => Array.from({ length: 1000 }, () => random.chance(chance)).filter(Boolean).length;
    expect([hits(0), hits(1)]).toEqual([0, 1000]);
  });

  it('forks a generator whose draws do not change its own', () => {
    const [plain, forked] = [new Random(9), new Random(9)];
    draw(plain.fork(), 1);
    draw(forked.fork(), 100);
    expect(draw(plain)).toEqual(draw(forked));
  });
});
