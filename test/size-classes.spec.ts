import { describe, expect, it } from 'vitest';
import { SizeClasses } from '../lib/size-classes.js';

/** The items of each class, the largest class first. */
function listOf(classes: SizeClasses<string>): string[] {
  return classes.largestFirst().map((each) => [...each].join(''));
}

describe('SizeClasses', () => {
  it('puts sizes between two powers of two into one class', () => {
    const classes = new SizeClasses<string>();
    for (const [item, size] of Object.entries({ a: 2, b: 3, c: 4, d: 7, e: 8, f: 2 ** 31 - 1, g: 2 ** 30 })) {
      classes.move(item, 0, size);
    }
    expect(listOf(classes)).toEqual(['fg', 'e', 'cd', 'ab']);
  });

  it('moves an item that grows and shrinks, and leaves out one of size 1 or 0', () => {
    const classes = new SizeClasses<string>();
    classes.move('a', 0, 1);
    expect(listOf(classes)).toEqual([]);
    classes.move('a', 1, 2);
    classes.move('b', 0, 5);
    expect(listOf(classes)).toEqual(['b', 'a']);
    classes.move('b', 5, 3);
    expect(listOf(classes)).toEqual(['ab']);
    classes.move('a', 2, 1);
    classes.move('b', 3, 0);
    expect(listOf(classes)).toEqual([]);
  });
});
