import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WildcardPatterns, hasWildcard } from '../../lib/nest/wildcard-patterns.js';

function find(patterns: string[], action: string): string | undefined {
  const all = new WildcardPatterns();
  patterns.forEach((pattern) => all.add(pattern));
  return all.find(action);
}

describe('hasWildcard', () => {
  it.each(['*', '#', 'a.*', '#.b', 'a.*.b'])('finds one in %s', (pattern) => {
    expect(hasWildcard(pattern)).toBe(true);
  });

  it.each(['', 'a', 'a*', '#1.b', 'a.b*.c'])('finds none in %j: it must be a whole word', (pattern) => {
    expect(hasWildcard(pattern)).toBe(false);
  });
});

describe('WildcardPatterns', () => {
  it.each([
    ['sensors.*', 'sensors.dht', true],
    ['sensors.*', 'sensors', false],
    ['sensors.*', 'sensors.dht.raw', false],
    ['sensors.*', 'sensors.', true],
    ['sensors.#', 'sensors', true],
    ['sensors.#', 'sensors.dht.raw', true],
    ['#', '', true],
    ['#.raw', 'sensors.dht.raw', true],
    ['#.raw', 'raw', true],
    ['#.raw', 'sensors.dht', false],
    ['a.#.b.*', 'a.b.b', true],
    ['a.#.b.*', 'a.x.y.b.c', true],
    ['a.#.b.*', 'a.b', false],
    ['*.*', 'a', false],
  ])('%s fits %j: %s', (pattern, action, isFitting) => {
    expect(find([pattern], action)).toBe(isFitting ? pattern : undefined);
  });

  it('prefers the most literal words, then the fewest #, then the first added', () => {
    expect(find(['#', '*.*', 'sensors.*', '*.dht'], 'sensors.dht')).toBe('sensors.*');
    expect(find(['*.dht', 'sensors.*'], 'sensors.dht')).toBe('*.dht');
    expect(find(['sensors.#', 'sensors.*'], 'sensors.dht')).toBe('sensors.*');
    expect(find(['#', '*'], 'a')).toBe('*');
  });

  it('agrees with a regular expression, for any pattern and action', () => {
    const word = fc.constantFrom('a', 'b', '');
    const action = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join('.'));
    const pattern = fc
      .array(fc.oneof(word, fc.constantFrom('*', '#')), { minLength: 1, maxLength: 6 })
      .map((words) => words.join('.'));
    fc.assert(
      fc.property(pattern, action, (text, asked) => {
        const source = text
          .split('.')
          .map((each) => (each === '*' ? '\\.[^.]*' : each === '#' ? '(\\.[^.]*)*' : `\\.${each}`));
        expect(find([text], asked) === text).toBe(new RegExp(`^${source.join('')}$`).test(`.${asked}`));
      }),
      { numRuns: 2000 },
    );
  });

  it('takes at most as many steps as the product of the lengths, for an action that was made to be slow', () => {
    const pattern = '#.a.#.a.#.a.#.a.#.b';
    const length = 700;
    let steps = 0;
    const words = new Proxy(Array<string>(length).fill('a'), {
      get(target, key) {
        // A step looks at the length and at one word.
        if (++steps > 2 * pattern.split('.').length * length) {
          throw new Error('too many steps');
        }
        return Reflect.get(target, key) as unknown;
      },
    });
    const all = new WildcardPatterns();
    all.add(pattern);
    expect(all.find({ split: () => words } as unknown as string)).toBeUndefined();
    expect(steps).toBeGreaterThan(length);
  });
});
