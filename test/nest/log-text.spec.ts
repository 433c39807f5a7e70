import { describe, expect, it } from 'vitest';
import { describeError, describeSender, listSome, quotePattern } from '../../lib/nest/log-text.js';

describe('quotePattern', () => {
  it('escapes everything but printable ASCII, so a device can write no line of its own', () => {
    expect(quotePattern('a"b\n\u001b[31m\u20ac\u2028')).toBe(String.raw`"a\"b\n\u001b[31m\u20ac\u2028"`);
  });

  it('keeps 100 characters and cuts the rest', () => {
    expect(quotePattern('x'.repeat(100))).toBe(`"${'x'.repeat(100)}"`);
    expect(quotePattern('x'.repeat(101))).toBe(`"${'x'.repeat(100)}"`);
  });
});

describe('describeSender', () => {
  const remote = { address: '::1', port: 7 };

  it('lets the name of a device begin no line of its own, and cuts it', () => {
    expect(describeSender('hall\n[Nest] \u001b[31m\u202e', remote)).toBe(
      String.raw`hall\n[Nest] \u001b[31m\u202e at [::1]:7`,
    );
    expect(describeSender('x'.repeat(65), remote)).toBe(`${'x'.repeat(64)}… (65 characters) at [::1]:7`);
    expect(describeSender('küche', remote)).toBe('küche at [::1]:7');
  });
});

describe('listSome', () => {
  const names = Array.from({ length: 12 }, (_, index) => `p${index}`);

  it('names ten, and counts the others', () => {
    expect(listSome(names.slice(0, 10))).toBe(names.slice(0, 10).join(', '));
    expect(listSome(names)).toBe(`${names.slice(0, 10).join(', ')} and 2 more`);
  });

  it('names each once', () => {
    expect(listSome(['a', 'b', 'a'])).toBe('a, b');
  });
});

describe('describeError', () => {
  it('gives the stack of an error, and its message if it has no stack', () => {
    const error = new Error('broken');
    expect(describeError(error)).toContain('log-text.spec');
    expect(describeError(Object.assign(new Error('broken'), { stack: undefined }))).toBe('broken');
  });

  it.each([
    ['a text', 'thrown', 'thrown'],
    ['an object with a message', { message: 'no error' }, 'no error'],
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a number', 7, '7'],
  ])('describes %s', (_what, error, text) => {
    expect(describeError(error)).toBe(text);
  });

  it('shows no other property, because it may hold a secret', () => {
    expect(describeError(Object.assign(new Error('broken'), { key: 'hidden' }))).not.toContain('hidden');
  });

  it.each([
    ['an error', new Error('no sensor a\n[Nest] 1  LOG [Auth] authorised\tnow')],
    ['a text', 'no sensor a\n[Nest] 1  LOG [Auth] authorised\tnow'],
    ['an object', { message: 'no sensor a\n[Nest] 1  LOG [Auth] authorised\tnow' }],
    ['an error without stack', Object.assign(new Error('no sensor a\n[Nest] 1'), { stack: undefined })],
    ['an error with a stack of its own', Object.assign(new Error('b'), { stack: 'Error: a\n[Nest] 1' })],
    ['a large object', Array.from({ length: 40 }, (_, index) => ({ index, text: 'x\n[Nest] 1' }))],
  ])('lets the message of %s begin no line of its own', (_what, error) => {
    const [first, ...lines] = describeError(error).split('\n');
    expect(first).toContain(String.raw`\n[Nest] 1`);
    expect(lines.filter((line) => !line.startsWith('    at '))).toEqual([]);
  });

  it('keeps the lines of a stack', () => {
    expect(describeError(new Error('a\nb')).split('\n').length).toBeGreaterThan(3);
  });

  it('cuts a message that a key holder may have chosen', () => {
    expect(describeError('x'.repeat(10_000)).length).toBeLessThan(2100);
  });
});
