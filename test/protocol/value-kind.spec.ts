import { describe, expect, it } from 'vitest';
import { from, of, Subject } from 'rxjs';
import { printJson, printPythonText } from '../../lib/protocol/index.js';

class Point {
  constructor(
    readonly x: number,
    readonly y: number,
  ) {}
  subscribe() {}
}

async function* generateLater() {
  yield 1;
}

const bytes = new Uint8Array([1, 2]);

describe('a value is printed by one rule in both directions', () => {
  it.each<[what: string, value: unknown, json: string, python: string]>([
    ['Uint8Array', bytes, '"AQI="', "b'\\x01\\x02'"],
    ['a part of a longer buffer', new Uint8Array([0, 1, 2, 3]).subarray(1, 3), '"AQI="', "b'\\x01\\x02'"],
    ['Buffer', Buffer.from(bytes), '"AQI="', "b'\\x01\\x02'"],
    ['DataView', new DataView(bytes.buffer), '"AQI="', "b'\\x01\\x02'"],
    ['ArrayBuffer', bytes.buffer, '"AQI="', "b'\\x01\\x02'"],
    ['SharedArrayBuffer', new SharedArrayBuffer(1), '"AA=="', "b'\\x00'"],
    ['another typed array', new Float32Array([1.5, 2]), '[1.5,2]', '[1.5, 2]'],
    ['array', [1, [undefined]], '[1,[null]]', '[1, [None]]'],
    ['Set', new Set([1]), '[1]', '{1}'],
    ['Map', new Map([[1, 2]]), '{"1":2}', '{1: 2}'],
    ['Date', new Date(0), '"1970-01-01T00:00:00.000Z"', "'1970-01-01T00:00:00.000Z'"],
    ['toJSON', { toJSON: () => ({ a: 1 }) }, '{"a":1}', "{'a': 1}"],
    [
      'toJSON that returns itself',
      {
        a: 1,
        toJSON() {
          return this;
        },
      },
      '{"a":1}',
      "{'a': 1}",
    ],
    ['a promise with toJSON', Object.assign(Promise.resolve(1), { toJSON: () => 2 }), '2', '2'],
    ['boxed number', new Number(1), '1', '1'],
    ['boxed string', new String('a'), '"a"', "'a'"],
    ['boxed boolean', new Boolean(false), 'false', 'False'],
    ['boxed bigint', Object(2n ** 64n), '18446744073709551616', '18446744073709551616'],
    ['class instance', new Point(1, 2), '{"x":1,"y":2}', "{'x': 1, 'y': 2}"],
    [
      'Error: its enumerable properties, as JSON has it',
      Object.assign(new Error('a'), { code: 1 }),
      '{"code":1}',
      "{'code': 1}",
    ],
    ['RegExp', /a/, '{}', '{}'],
  ])('%s', (_what, value, json, python) => {
    expect(printJson(value, 1000)).toBe(json);
    expect(printPythonText(value)).toBe(python);
  });

  it.each<[what: string, value: unknown]>([
    ['promise', Promise.resolve(1)],
    ['thenable', new Proxy({}, { has: (_target, name) => name === 'then', get: () => () => undefined })],
    ['generator', [1].values()],
    ['async generator', generateLater()],
    ['iterator of a Map', new Map().entries()],
    ['any other iterable', new URLSearchParams('a=1')],
    ['Observable', of(1)],
    ['Subject', new Subject()],
    ['an Observable inside', { data: [from([1])] }],
    ['function', () => 1],
    ['symbol', Symbol('a')],
  ])('refuses %s', (_what, value) => {
    const refused = expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }) as Error;
    expect(() => printJson(value, 1000)).toThrow(refused);
    expect(() => printPythonText(value)).toThrow(refused);
  });
});
