import { describe, expect, it } from 'vitest';
import { nearest } from '../../lib/cli/nearest.js';

describe('nearest', () => {
  it.each([
    ['sned', 'send'],
    ['snd', 'send'],
    ['seend', 'send'],
    ['sent', 'send'],
    ['listne', 'listen'],
    ['lisssten', 'listen'],
    ['lissssten', undefined],
    ['x', undefined],
    ['', undefined],
  ])('of %s is %s', (word, expected) => {
    expect(nearest(word, ['keygen', 'send', 'listen'])).toBe(expected);
  });

  it('does not compare words of more than 40 letters', () => {
    const word = 'x'.repeat(40);
    expect(nearest(word, [word])).toBe(word);
    expect(nearest(`${word}x`, [`${word}x`])).toBeUndefined();
  });
});
