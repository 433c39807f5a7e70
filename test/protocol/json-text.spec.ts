import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { printJson } from '../../lib/protocol/json-text.js';

const print = (value: unknown, maxLength = 10_000) => printJson(value, maxLength);
const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);

describe('printJson', () => {
  it('prints what JSON.stringify prints, for any JSON value', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const value: unknown = JSON.parse(json, (_key, item: unknown) => (item === 0 ? 0 : item));
        expect(print(value)).toBe(JSON.stringify(value));
      }),
    );
  });

  it.each<[string, unknown, string]>([
    ['undefined', undefined, 'null'],
    ['NaN', NaN, 'null'],
    ['Infinity', -Infinity, 'null'],
    ['a bigint', 2n ** 70n, '1180591620717411303424'],
    ['-0', -0, '-0.0'],
    ['a Buffer', Buffer.from([0, 1, 255]), '"AAH/"'],
    ['a view into a larger buffer', new Uint8Array([9, 0, 1, 255, 9]).subarray(1, 4), '"AAH/"'],
    ['an ArrayBuffer', new Uint8Array([0, 1, 255]).buffer, '"AAH/"'],
    ['a DataView', new DataView(new Uint8Array([9, 0, 1, 255]).buffer, 1), '"AAH/"'],
    [
      'boxed values',
      [Object(5), Object('x'), Object(false), Object(2n ** 70n)],
      '[5,"x",false,1180591620717411303424]',
    ],
    ['a property called then', JSON.parse('{"if":1,"then":2}'), '{"if":1,"then":2}'],
    ['another typed array', new Float32Array([1.5, -2]), '[1.5,-2]'],
    ['a Set', new Set([1, 'two']), '[1,"two"]'],
    [
      'a Map',
      new Map<unknown, unknown>([
        ['a', 1],
        [2, 'b'],
        [3n, 4],
        [true, null],
        [null, 5],
      ]),
      '{"a":1,"2":"b","3":4,"true":null,"null":5}',
    ],
    ['a Date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ['an invalid Date', new Date(NaN), 'null'],
    ['an object with toJSON', { toJSON: () => ({ a: 1 }) }, '{"a":1}'],
    ['a null-prototype object', Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    [
      'a class instance',
      new (class {
        a = 1;
        b = () => 2;
      })(),
      '{"a":1}',
    ],
    ['properties JSON leaves out', { a: undefined, b: () => 1, c: Symbol('c'), d: 1 }, '{"d":1}'],
    ['holes in an array', [1, , undefined], '[1,null,null]'],
    ['text beyond ASCII, unescaped', 'é € 😀', '"é € 😀"'],
    ['a lone surrogate', '\ud83d', '"\\ud83d"'],
    ['empty containers', [[], {}, new Map(), new Set()], '[[],{},{},[]]'],
  ])('prints %s', (_title, value, json) => {
    expect(print(value)).toBe(json);
  });

  it.each<[string, unknown]>([
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a function in an array', [() => 1]],
    ['a promise', { later: Promise.resolve(1) }],
    ['an iterator', [1, 2].values()],
    ['a generator', (function* () {})()],
    ['an async generator', (async function* () {})()],
    ['a Map key that is an object', new Map([[{}, 1]])],
    ['a Map key that is undefined', new Map([[undefined, 1]])],
  ])('refuses %s', (_title, value) => {
    expect(() => print(value)).toThrow(expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }));
  });

  it('prints 64 levels and refuses 65', () => {
    expect(print(nested(64))).toBe('['.repeat(64) + '1' + ']'.repeat(64));
    expect(() => print(nested(65))).toThrow(expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }));
  });

  it('refuses a value that contains itself', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(() => print(circle)).toThrow(expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }));
  });

  it('prints a string of exactly maxLength characters and refuses one more', () => {
    expect(print('x'.repeat(98), 100)).toHaveLength(100);
    expect(() => print('x'.repeat(99), 100)).toThrow(expect.objectContaining({ code: 'BEN_REPLY_TOO_LARGE' }));
  });

  it('does not write a string that is too long', () => {
    const write = vi.spyOn(JSON, 'stringify');
    onTestFinished(() => write.mockRestore());
    expect(() => print('x'.repeat(101), 100)).toThrow(expect.objectContaining({ code: 'BEN_REPLY_TOO_LARGE' }));
    expect(write).not.toHaveBeenCalled();
  });

  it('gives up early on a value that would print without end', () => {
    let value: unknown[] = [];
    for (let level = 0; level < 60; level++) {
      value = [value, value];
    }
    expect(() => print(value)).toThrow(expect.objectContaining({ code: 'BEN_REPLY_TOO_LARGE' }));
  });
});
