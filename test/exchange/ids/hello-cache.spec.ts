import { describe, expect, it } from 'vitest';
import { HelloCache } from '../../../lib/exchange/ids/hello-cache.js';
import { Random } from '../../../lib/testing/random.js';

const createCache = (size: number, seed = 1) => new HelloCache(size, new Random(seed).fill);
const slotsOf = (cache: HelloCache, endpoint: string) => cache.get(endpoint)?.sent.map(({ slot }) => slot);

describe('HelloCache', () => {
  it('knows no endpoint that said no hello', () => {
    const cache = createCache(16);
    cache.record('10.0.0.1|1', 5, 50_000);
    expect(cache.get('10.0.0.1|2')).toBeUndefined();
  });

  it('remembers the four latest slots of an endpoint, the latest first, and the time of the latest', () => {
    const cache = createCache(16);
    for (let slot = 1; slot <= 5; slot++) {
      cache.record('10.0.0.1|1', slot, slot * 10_000);
    }
    expect(slotsOf(cache, '10.0.0.1|1')).toEqual([5, 4, 3, 2]);
    expect(cache.get('10.0.0.1|1')).toMatchObject({ sentAt: 50_000, latest: { slot: 5, n: 0, isSingle: false } });
  });

  it('forgets an endpoint whose entry another one takes, and mixes up nothing of the two', () => {
    const cache = createCache(1);
    cache.record('10.0.0.1|1', 5, 1);
    cache.record('10.0.0.1|1', 6, 2);
    cache.record('10.0.0.2|1', 7, 3);
    expect(slotsOf(cache, '10.0.0.1|1')).toBeUndefined();
    expect(slotsOf(cache, '10.0.0.2|1')).toEqual([7]);
  });

  it('chooses entries by a secret, so an attacker cannot aim at the entry of a device', () => {
    const victim = '10.0.0.1|1';
    const overwriters = (seed: number) =>
      Array.from({ length: 2000 }, (_, port) => `10.0.0.2|${port}`).filter((endpoint) => {
        const cache = createCache(64, seed);
        cache.record(victim, 1, 1);
        cache.record(endpoint, 2, 2);
        return cache.get(victim) === undefined;
      });
    const [first, second] = [overwriters(1), overwriters(2)];
    expect(first.length).toBeGreaterThan(10);
    expect(first.length).toBeLessThan(70);
    expect(first.filter((endpoint) => second.includes(endpoint)).length).toBeLessThan(first.length / 4);
  });
});
