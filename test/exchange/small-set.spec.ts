import { describe, expect, it } from 'vitest';
import { type SmallSet, membersOf, sizeOf, withLast, without } from '../../lib/exchange/small-set.js';

function setOf(...members: string[]): SmallSet<string> {
  return members.reduce<SmallSet<string>>(withLast, undefined);
}

describe('a small set', () => {
  it('keeps the order in which its members were added last', () => {
    for (const [added, expected] of [
      [[], []],
      [['a'], ['a']],
      [['a', 'a'], ['a']],
      [
        ['a', 'b', 'c', 'a'],
        ['b', 'c', 'a'],
      ],
    ] as const) {
      const set = setOf(...added);
      expect([[...membersOf(set)], sizeOf(set)]).toEqual([expected, expected.length]);
    }
  });

  it('removes a member, and ignores others', () => {
    expect([...membersOf(without(setOf('a', 'b', 'c'), 'b'))]).toEqual(['a', 'c']);
    expect([...membersOf(without(setOf('a', 'b'), 'z'))]).toEqual(['a', 'b']);
    expect(without(setOf('a'), 'z')).toBe('a');
  });

  it('takes no memory for one member or none', () => {
    expect(setOf('a')).toBe('a');
    expect(without(setOf('a'), 'a')).toBeUndefined();
    expect(without(without(setOf('a', 'b'), 'a'), 'b')).toBeUndefined();
  });
});
