/** One table for all printers: each kind of value in a request as Python text, in a reply as JSON, and as JSON for a broker. */
import { createSecretKey } from 'node:crypto';
import { Readable } from 'node:stream';
import { runInNewContext } from 'node:vm';
import { BehaviorSubject, of } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { printJson, printPythonText, toJsonValue } from '../../lib/protocol/index.js';

const bytes = new Uint8Array([9, 0x61, 0xff, 9]);
const shared = new SharedArrayBuffer(2);
new Uint8Array(shared).set([0x61, 0xff]);

class Reading {
  readonly celsius = 21.5;
  readonly unset = undefined;
  readonly convert = () => 0;
  #secret = 1;

  get fahrenheit() {
    return this.celsius * 1.8 + 32 + this.#secret;
  }
}

class Answer<T> {
  constructor(private readonly value: T) {}

  toJSON(): T {
    return this.value;
  }
}

class LoudString extends String {
  override valueOf(): string {
    throw new Error('the string itself is printed');
  }
}

/** From JSON, because the linter takes a `then` in a literal for a mistake. */
function withThen(value: unknown): Record<string, unknown> {
  return JSON.parse('{"then":0}', (key, item: unknown) => (key === '' ? item : value)) as Record<string, unknown>;
}

/** Printed, in both directions. */
const PRINTED: Array<[title: string, value: unknown, python: string, json: string]> = [
  ['null', null, 'None', 'null'],
  ['undefined', undefined, 'None', 'null'],
  ['a boolean', true, 'True', 'true'],
  ['a number', 21.5, '21.5', '21.5'],
  ['NaN', NaN, 'nan', 'null'],
  ['a bigint', 2n ** 70n, '1180591620717411303424', '1180591620717411303424'],
  ['a string', 'text', "'text'", '"text"'],

  ['a Uint8Array', bytes.subarray(1, 3), String.raw`b'a\xff'`, '"Yf8="'],
  ['a Buffer', Buffer.from([0x61, 0xff]), String.raw`b'a\xff'`, '"Yf8="'],
  ['a DataView', new DataView(bytes.buffer, 1, 2), String.raw`b'a\xff'`, '"Yf8="'],
  ['an ArrayBuffer', bytes.buffer.slice(1, 3), String.raw`b'a\xff'`, '"Yf8="'],
  ['a SharedArrayBuffer', shared, String.raw`b'a\xff'`, '"Yf8="'],
  ['no bytes', new ArrayBuffer(0), "b''", '""'],

  ['an array', [1, undefined], '[1, None]', '[1,null]'],
  ['an array with holes', [1, , 3], '[1, None, 3]', '[1,null,3]'],
  ['an array with a toJSON of its own', Object.assign([1], { toJSON: () => 'x' }), '[1]', '[1]'],
  ['a Float32Array', new Float32Array([1.5, 2]), '[1.5, 2]', '[1.5,2]'],
  ['a Uint8ClampedArray', new Uint8ClampedArray([1, 300]), '[1, 255]', '[1,255]'],
  ['a BigInt64Array', new BigInt64Array([2n ** 60n]), '[1152921504606846976]', '[1152921504606846976]'],
  ['a Set', new Set([1, 'two']), "{1, 'two'}", '[1,"two"]'],
  ['an empty Set', new Set(), 'set()', '[]'],
  ['a Map', new Map([['a', 1]]), "{'a': 1}", '{"a":1}'],
  [
    'a Map with keys that have a name in JSON',
    new Map<unknown, unknown>([
      [1, 'a'],
      [2.5, 'b'],
      [true, 'c'],
      [null, 'd'],
      [3n, 'e'],
    ]),
    "{1: 'a', 2.5: 'b', True: 'c', None: 'd', 3: 'e'}",
    '{"1":"a","2.5":"b","true":"c","null":"d","3":"e"}',
  ],
  [
    'a Map with keys that json.dumps writes otherwise than JavaScript',
    new Map([
      [1e16, 0],
      [1.5e-7, 0],
      [NaN, 0],
      [-Infinity, 0],
    ]),
    '{1e+16: 0, 1.5e-07: 0, nan: 0, -inf: 0}',
    '{"1e+16":0,"1.5e-07":0,"NaN":0,"-Infinity":0}',
  ],
  [
    'a Map whose key is a Date',
    new Map([[new Date(0), 1]]),
    "{'1970-01-01T00:00:00.000Z': 1}",
    '{"1970-01-01T00:00:00.000Z":1}',
  ],
  ['a Map whose key is a boxed primitive', new Map([[Object('k'), 1]]), "{'k': 1}", '{"k":1}'],

  ['an object', { a: 1, b: { c: [] } }, "{'a': 1, 'b': {'c': []}}", '{"a":1,"b":{"c":[]}}'],
  ['an object without a prototype', Object.assign(Object.create(null), { a: 1 }), "{'a': 1}", '{"a":1}'],
  ['an object with the key __proto__', JSON.parse('{"__proto__":1}'), "{'__proto__': 1}", '{"__proto__":1}'],
  ['an object with the key toJSON', JSON.parse('{"toJSON":1}'), "{'toJSON': 1}", '{"toJSON":1}'],
  [
    'an object with the keys then and subscribe',
    { ...withThen(1), subscribe: 'x' },
    "{'then': 1, 'subscribe': 'x'}",
    '{"then":1,"subscribe":"x"}',
  ],
  [
    'properties that JSON leaves out',
    { a: undefined, b: () => 1, c: Symbol('c'), [Symbol('d')]: 1, e: 1 },
    "{'e': 1}",
    '{"e":1}',
  ],
  ['a class instance', new Reading(), "{'celsius': 21.5}", '{"celsius":21.5}'],
  ['an inherited property', Object.create({ a: 1 }), '{}', '{}'],
  [
    'an object with a method subscribe, which is no Observable',
    { a: 1, subscribe: () => undefined },
    "{'a': 1}",
    '{"a":1}',
  ],

  ['a Date', new Date(0), "'1970-01-01T00:00:00.000Z'", '"1970-01-01T00:00:00.000Z"'],
  ['an invalid Date', new Date(NaN), 'None', 'null'],
  ['a URL', new URL('http://board/a'), "'http://board/a'", '"http://board/a"'],
  ['toJSON that returns an object', new Answer({ a: 1 }), "{'a': 1}", '{"a":1}'],
  ['toJSON that returns bytes', new Answer(bytes.subarray(1, 2)), "b'a'", '"YQ=="'],
  ['toJSON that returns a Map', new Answer(new Map([['a', 1]])), "{'a': 1}", '{"a":1}'],
  ['toJSON that returns a boxed primitive', new Answer(Object(5)), '5', '5'],
  ['toJSON that returns undefined', new Answer(undefined), 'None', 'null'],
  ['toJSON of a thenable', { ...withThen(() => 1), toJSON: () => 1 }, '1', '1'],
  ['toJSON of an iterable', { *[Symbol.iterator]() {}, toJSON: () => 1 }, '1', '1'],
  [
    'toJSON that returns itself',
    {
      a: 1,
      toJSON() {
        return this;
      },
    },
    "{'a': 1}",
    '{"a":1}',
  ],
  [
    'toJSON that returns another one, which is not asked',
    new Answer({ a: new Answer(1), toJSON: () => 2 }),
    "{'a': 1}",
    '{"a":1}',
  ],

  ['a boxed number', Object(5), '5', '5'],
  ['a boxed string', Object('x'), "'x'", '"x"'],
  ['a boxed boolean', Object(false), 'False', 'false'],
  ['a boxed bigint', Object(2n ** 70n), '1180591620717411303424', '1180591620717411303424'],
  ['a boxed string that has another valueOf', new LoudString('x'), "'x'", '"x"'],

  ...(runInNewContext(`[
    ['an array of another realm', [1], '[1]', '[1]'],
    ['an object of another realm', { a: 1 }, "{'a': 1}", '{"a":1}'],
    ['a Map of another realm', new Map([['a', 1]]), "{'a': 1}", '{"a":1}'],
    ['a Set of another realm', new Set([1]), '{1}', '[1]'],
    ['a Uint8Array of another realm', new Uint8Array([0x61]), "b'a'", '"YQ=="'],
    ['a boxed number of another realm', Object(5), '5', '5'],
  ]`) as typeof PRINTED),
];

/** Refused, in both directions: the printed properties would not be the value. */
const REFUSED: Array<[title: string, value: unknown]> = [
  ['a function', () => 1],
  ['a class', Reading],
  ['a symbol', Symbol('s')],
  ['a boxed symbol', Object(Symbol('s'))],
  ['toJSON that returns a function', new Answer(() => 1)],
  ['toJSON that returns a promise', new Answer(Promise.resolve(1))],

  ['a promise', Promise.resolve(1)],
  ['a thenable', withThen(() => undefined)],
  ['a promise of another realm', runInNewContext('Promise.resolve(1)')],
  ['an Observable', of(1)],
  ['a Subject', new BehaviorSubject(1)],

  ['an iterator of an array', [1, 2].values()],
  ['an iterator of a Map', new Map([[1, 2]]).entries()],
  ['a generator', (function* () {})()],
  ['an async generator', (async function* () {})()],
  ['an iterable', { *[Symbol.iterator]() {} }],
  ['a stream', Readable.from([1])],
  ['URLSearchParams', new URLSearchParams('a=1')],
  ['an object that only inherits from Map', Object.create(Map.prototype)],

  ['an Error', new Error('broken')],
  ['an Error with properties', Object.assign(new TypeError('broken'), { code: 'E' })],
  ['an Error of another realm', runInNewContext('new Error("broken")')],
  ['a DOMException', new DOMException('broken')],
  ['a RegExp', /x/],
  ['a WeakMap', new WeakMap()],
  ['a WeakSet', new WeakSet()],
  ['a WeakRef', new WeakRef({})],
  ['a Blob', new Blob(['x'])],
  ['a KeyObject', createSecretKey(Buffer.alloc(32))],
  ['an AbortSignal', new AbortController().signal],
  ['a formatter of Intl', new Intl.NumberFormat()],
  ['a Response', new Response('x')],

  ["the memory of a Buffer in Node's pool", Buffer.from('a').buffer],
];

type Row = (typeof PRINTED)[number];

const pythonOf: (row: Row) => string = ([, , python]) => python;
const jsonOf: (row: Row) => string = ([, , , json]) => json;

/**
 * An int beyond 2^53 crosses a broker as text, because `JSON.parse` on the other side would round it. The keys are in the order of an
 * object of JavaScript.
 */
const brokerJsonOf = (row: Row) => JSON.stringify(JSON.parse(jsonOf(row).replaceAll(/\d{17,}/g, '"$&"')));
const printForBroker = (value: unknown) => JSON.stringify(toJsonValue(value)) ?? 'null';

const PRINTERS: Array<
  [name: string, print: (value: unknown) => string, expected: (row: Row) => string, dictKey: string, maxDepth: number]
> = [
  ['Python text', printPythonText, pythonOf, "'a': ", 32],
  ['JSON', (value) => printJson(value, 10_000), jsonOf, '"a":', 64],
  ['JSON for a broker', printForBroker, brokerJsonOf, '"a":', 64],
];

describe.each(PRINTERS)('%s', (_format, print, expected, dictKey, maxDepth) => {
  it.each(PRINTED)('holds %s', (...row) => {
    expect(print(row[1])).toBe(expected(row));
  });

  it.each(PRINTED)('holds %s inside a list and a dict', (...row) => {
    expect(print([row[1]])).toBe(`[${expected(row)}]`);
    if (row[1] !== undefined) {
      expect(print({ a: row[1] })).toBe(`{${dictKey}${expected(row)}}`);
    }
  });

  it.each(REFUSED)('refuses %s, alone, in a list and in a Map', (title, value) => {
    const refusal = expect.objectContaining({ name: 'BenUdpError', code: 'BEN_UNSERIALIZABLE' });
    expect(() => print(value), title).toThrow(refusal);
    expect(() => print({ list: [value] }), title).toThrow(refusal);
    expect(() => print(new Map([['a', value]])), title).toThrow(refusal);
    expect(() => print(new Map([[value, 'a']])), title).toThrow(refusal);
  });

  it.each([
    ['an object', {}],
    ['a Map', new Map()],
    ['a Set', new Set()],
    ['undefined', undefined],
  ])('refuses %s as the key of a Map', (_title, key) => {
    expect(() => print(new Map([[key, 1]]))).toThrow(expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }));
  });

  it('asks toJSON once, with the object as this', () => {
    const toJSON = vi.fn(function (this: { readonly a: number }) {
      return this.a;
    });
    expect(print({ a: 1, toJSON })).toBe('1');
    expect(toJSON).toHaveBeenCalledTimes(1);
  });

  it('counts toJSON and boxes as no level', () => {
    const nested = (value: unknown, levels: number): unknown => (levels === 0 ? value : [nested(value, levels - 1)]);
    const deepest = (text: string) => '['.repeat(maxDepth) + text + ']'.repeat(maxDepth);
    expect(print(nested(new Answer(Object(1)), maxDepth))).toBe(deepest('1'));
    expect(() => print(nested(new Answer([1]), maxDepth))).toThrow(
      expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }),
    );
  });

  it('refuses toJSON that makes something new inside itself without end', () => {
    class Endless {
      toJSON() {
        return { next: new Endless() };
      }
    }
    expect(() => print(new Endless())).toThrow(expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }));
  });

  it('passes on what toJSON throws', () => {
    const value = {
      toJSON() {
        throw new RangeError('a fault of its owner');
      },
    };
    expect(() => print(value)).toThrow(new RangeError('a fault of its owner'));
  });
});

describe('toJsonValue', () => {
  it.each<[title: string, value: unknown, expected: unknown]>([
    ['undefined', undefined, undefined],
    ['NaN', NaN, null],
    ['an infinity', -Infinity, null],
    ['-0', -0, 0],
    ['the largest safe integer', 2 ** 53 - 1, 2 ** 53 - 1],
    ['a small bigint', 5n, '5'],
  ])('turns %s into what arrives on the other side', (_title, value, expected) => {
    const text = JSON.stringify(toJsonValue(value)) as string | undefined;
    expect(text === undefined ? undefined : JSON.parse(text)).toBe(expected);
  });

  it('keeps __proto__ an own property', () => {
    const value = toJsonValue(JSON.parse('{"__proto__":{"isAdmin":true}}')) as object;
    expect(Object.keys(value)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });
});
