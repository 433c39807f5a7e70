import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BenUdpProtocolError, BenUdpError } from '../../../lib/errors.js';
import { PYTHON_TEXT_LIMITS, parsePythonText, printPythonText } from '../../../lib/protocol/index.js';

const { maxDepth, maxNodes, maxIntDigits, maxLength } = PYTHON_TEXT_LIMITS;
const unserializable: unknown = expect.objectContaining({ name: 'BenUdpError', code: 'BEN_UNSERIALIZABLE' });

describe('printPythonText', () => {
  describe('None and bool', () => {
    it.each([
      [null, 'None'],
      [undefined, 'None'],
      [true, 'True'],
      [false, 'False'],
    ])('prints %s as %s', (value, text) => {
      expect(printPythonText(value)).toBe(text);
    });
  });

  describe('number', () => {
    it.each<[number, string]>([
      [0, '0'],
      [-42, '-42'],
      [30.0, '30'],
      [2 ** 53 - 1, '9007199254740991'],
      [-(2 ** 53 - 1), '-9007199254740991'],
    ])('prints %d, a whole number in the safe range, as the int %s', (value, text) => {
      expect(printPythonText(value)).toBe(text);
    });

    it.each<[number, string]>([
      [2 ** 53, '9007199254740992.0'],
      [-(2 ** 53), '-9007199254740992.0'],
      [9999999999999998, '9999999999999998.0'],
      [1e16, '1e+16'],
      [123456789012345680000, '1.2345678901234568e+20'],
      [1e21, '1e+21'],
      [1e22, '1e+22'],
      [-1e100, '-1e+100'],
      [Number.MAX_VALUE, '1.7976931348623157e+308'],
    ])('prints %d, a whole number beyond, as the float %s', (value, text) => {
      expect(printPythonText(value)).toBe(text);
    });

    it.each<[number, string]>([
      [-0, '-0.0'],
      [21.5, '21.5'],
      [-3.25, '-3.25'],
      [0.1 + 0.2, '0.30000000000000004'],
      [123456789012345.67, '123456789012345.67'],
      [0.0001, '0.0001'],
      [0.00012345, '0.00012345'],
      [0.00001, '1e-05'],
      [0.000012345, '1.2345e-05'],
      [1.5e-7, '1.5e-07'],
      [-1e-10, '-1e-10'],
      [2 ** -1022, '2.2250738585072014e-308'],
      [2 ** -1074, '5e-324'],
      [NaN, 'nan'],
      [Infinity, 'inf'],
      [-Infinity, '-inf'],
    ])('prints %d as the float %s', (value, text) => {
      expect(printPythonText(value)).toBe(text);
    });
  });

  describe('bigint', () => {
    it.each([
      [0n, '0'],
      [-5n, '-5'],
      [2n ** 53n, '9007199254740992'],
      [-(2n ** 70n), '-1180591620717411303424'],
    ])('prints %s as the int %s', (value, text) => {
      expect(printPythonText(value)).toBe(text);
    });

    it.each([1n, -1n])('prints 640 digits and refuses 641, with the sign of %s', (sign) => {
      expect(printPythonText(sign * (10n ** BigInt(maxIntDigits) - 1n))).toMatch(/^-?9{640}$/);
      expect(() => printPythonText(sign * 10n ** BigInt(maxIntDigits))).toThrow(unserializable);
    });
  });

  describe('string', () => {
    it.each<[title: string, value: string, text: string]>([
      ['nothing', '', `''`],
      ['plain text in single quotes', 'hello', `'hello'`],
      ['a single quote in double quotes', "it's", `"it's"`],
      ['double quotes in single quotes', 'say "hi"', `'say "hi"'`],
      ['both quotes in single quotes, of which only these are escaped', `it's "it"`, String.raw`'it\'s "it"'`],
      ['a backslash twice', 'a\\b', String.raw`'a\\b'`],
      ['line feed, carriage return and tab as letters', '\n\r\t', String.raw`'\n\r\t'`],
      ['other control characters as hex', '\0\x07\b\v\f\x1b\x1f\x7f', String.raw`'\x00\x07\x08\x0b\x0c\x1b\x1f\x7f'`],
      ['the printable ASCII range as it is', ' ~', `' ~'`],
      ['Latin-1 in two hex digits', '\x80\xa0éÿ', String.raw`'\x80\xa0\xe9\xff'`],
      ['the rest of the first plane in four', 'Ā€\u2028\uffff', String.raw`'\u0100\u20ac\u2028\uffff'`],
      ['further planes in eight', '😀\u{10ffff}', String.raw`'\U0001f600\U0010ffff'`],
      ['lone surrogates in four', '\ud83d \ude00', String.raw`'\ud83d \ude00'`],
    ])('prints %s', (_title, value, text) => {
      expect(printPythonText(value)).toBe(text);
    });

    it('prints 65536 characters in all and refuses 65537', () => {
      expect(printPythonText('x'.repeat(maxLength - 2))).toHaveLength(65_536);
      expect(() => printPythonText('x'.repeat(maxLength - 1))).toThrow(unserializable);
      expect(() => printPythonText('\0'.repeat(maxLength / 4))).toThrow(unserializable);
    });
  });

  describe('bytes', () => {
    it.each<[title: string, value: Uint8Array, text: string]>([
      ['nothing', Buffer.alloc(0), `b''`],
      ['a single quote in double quotes', Buffer.from("it's"), `b"it's"`],
      ['both quotes in single quotes', Buffer.from(`'"`), String.raw`b'\'"'`],
      [
        'everything but printable ASCII as hex',
        Buffer.from([0, 9, 10, 13, 0x1f, 0x5c, 0x7f, 0x80, 0xff]),
        String.raw`b'\x00\t\n\r\x1f\\\x7f\x80\xff'`,
      ],
      ['a Uint8Array', new Uint8Array([1, 0x61]), String.raw`b'\x01a'`],
      ['the part of a view into a larger buffer', Buffer.from('abcdef').subarray(2, 4), `b'cd'`],
    ])('prints %s', (_title, value, text) => {
      expect(printPythonText(value)).toBe(text);
    });
  });

  describe('array', () => {
    it.each<[unknown[], string]>([
      [[], '[]'],
      [[1, 'two', [null]], "[1, 'two', [None]]"],
      [[undefined], '[None]'],
    ])('prints %j as the list %s', (value, text) => {
      expect(printPythonText(value)).toBe(text);
    });

    it('prints holes as None', () => {
      expect(printPythonText([1, , 3])).toBe('[1, None, 3]');
    });
  });

  describe('Set', () => {
    it.each<[unknown[], string]>([
      [[], 'set()'],
      [[1, 'a', null], "{1, 'a', None}"],
      [[[], [1], [1, [2]]], '{(), (1,), (1, (2,))}'],
      [[new Date(0)], "{'1970-01-01T00:00:00.000Z'}"],
    ])('of %j is printed as %s: an array in it must have been a tuple', (elements, text) => {
      expect(printPythonText(new Set(elements))).toBe(text);
    });
  });

  describe('Map', () => {
    it('is printed as a dict in its order, with arrays as tuples in the keys and as lists in the values', () => {
      const map = new Map<unknown, unknown>([
        ['b', 1],
        [2, [3]],
        [[4, [5]], null],
        [Buffer.from('k'), new Map()],
      ]);
      expect(printPythonText(map)).toBe("{'b': 1, 2: [3], (4, (5,)): None, b'k': {}}");
    });
  });

  describe('object', () => {
    it.each<[title: string, value: object, text: string]>([
      ['an empty one', {}, '{}'],
      ['one without a prototype', Object.assign(Object.create(null), { a: 1 }), "{'a': 1}"],
      ['one with the key __proto__', JSON.parse('{"__proto__": 1}'), "{'__proto__': 1}"],
      ['its keys as strings', { 1: 2, "it's": 3 }, `{'1': 2, "it's": 3}`],
      ['no properties that are undefined or functions', { a: undefined, b: () => 1, c: null }, "{'c': None}"],
      ['no symbol keys', { [Symbol('s')]: 1 }, '{}'],
      [
        'the own fields of a class instance',
        new (class {
          a = 1;
          b() {}
        })(),
        "{'a': 1}",
      ],
    ])('is printed as a dict: %s', (_title, value, text) => {
      expect(printPythonText(value)).toBe(text);
    });
  });

  describe('object with toJSON', () => {
    it.each<[title: string, value: unknown, text: string]>([
      ['a Date', new Date(0), "'1970-01-01T00:00:00.000Z'"],
      ['an invalid Date', new Date(NaN), 'None'],
      ['one that returns an object', { a: 1, toJSON: () => ({ b: 2 }) }, "{'b': 2}"],
      ['one that returns a Map', { toJSON: () => new Map([[1, 2]]) }, '{1: 2}'],
      ['one that returns nothing', { toJSON: () => undefined }, 'None'],
    ])('is printed as the result of toJSON: %s', (_title, value, text) => {
      expect(printPythonText(value)).toBe(text);
    });

    it('is asked once, so that returning itself is no endless loop', () => {
      const value = {
        a: 1,
        toJSON() {
          return this;
        },
      };
      expect(printPythonText(value)).toBe("{'a': 1}");
    });

    it('counts as one value and no level: prints 4095 dates in a list, and one inside 32 lists', () => {
      expect(parsePythonText(printPythonText(Array.from({ length: maxNodes / 4 }, () => new Date(0))))).toHaveLength(
        1024,
      );
      expect(printPythonText(Array.from({ length: maxNodes - 1 }, () => ({ toJSON: () => 1 })))).toMatch(
        /^\[1(, 1){4094}]$/,
      );
      expect(printPythonText(nested(maxDepth, new Date(NaN)))).toBe(`${'['.repeat(32)}None${']'.repeat(32)}`);
    });
  });

  describe("what Python text can't hold", () => {
    it.each<[title: string, value: unknown]>([
      ['a function', () => 1],
      ['a symbol', Symbol('s')],
      ['a function in an array', [() => 1]],
      ['a symbol in an array', [Symbol('s')]],
      ['a function as a key', new Map([[() => 1, 1]])],
      ['an object as a key', new Map([[{}, 1]])],
      ['a Map as a key', new Map([[new Map(), 1]])],
      ['a Set in a Set', new Set([new Set()])],
      ['an object in a Set', new Set([{ a: 1 }])],
      ['an object in an array that is a key', new Map([[[1, {}], 1]])],
    ])('refuses %s', (_title, value) => {
      expect(() => printPythonText(value)).toThrow(unserializable);
    });

    it('leaves out properties that are undefined, functions or symbols, and prints a typed array as a list', () => {
      expect(printPythonText({ a: undefined, b: () => 1, c: Symbol('c'), d: new Float32Array([1.5, 2]) })).toBe(
        "{'d': [1.5, 2]}",
      );
    });

    it('names types, never values', () => {
      expect(() => printPythonText({ secret: [Symbol('secret')] })).toThrow(
        /^a symbol has no Python text\. Send data instead$/,
      );
    });
  });

  describe('limits', () => {
    it('prints 32 levels and refuses 33', () => {
      expect(printPythonText(nested(32, 1))).toBe(`${'['.repeat(32)}1${']'.repeat(32)}`);
      expect(() => printPythonText(nested(33, 1))).toThrow(unserializable);
      expect(() => printPythonText(nested(32, new Set()))).toThrow(unserializable);
      expect(() => printPythonText(new Set([nested(31, 1)]))).not.toThrow();
      expect(() => printPythonText(new Set([nested(32, 1)]))).toThrow(unserializable);
    });

    it('prints 4096 values and refuses 4097, a list being one itself', () => {
      const zeros = (length: number) => Array.from({ length }, () => 0);
      expect(parsePythonText(printPythonText(zeros(4095)))).toHaveLength(4095);
      expect(() => printPythonText(zeros(4096))).toThrow(unserializable);
    });

    it('counts keys: prints an object of 2047 properties and refuses 2048', () => {
      const object = (length: number) => Object.fromEntries(Array.from({ length }, (_, index) => [`k${index}`, 0]));
      expect(Object.keys(parsePythonText(printPythonText(object(2047))) as object)).toHaveLength(2047);
      expect(() => printPythonText(object(2048))).toThrow(unserializable);
      expect(printPythonText(new Map(Object.entries(object(2047))))).toBe(printPythonText(object(2047)));
      expect(() => printPythonText(new Map(Object.entries(object(2048))))).toThrow(unserializable);
    });

    it('counts tuples: prints a set of 2047 of them and refuses 2048', () => {
      const tuples = (length: number) => new Set(Array.from({ length }, (_, index) => [index]));
      expect(parsePythonText(printPythonText(tuples(2047)))).toHaveProperty('size', 2047);
      expect(() => printPythonText(tuples(2048))).toThrow(unserializable);
    });

    it('refuses a value that contains itself', () => {
      const circle: unknown[] = [];
      circle.push(circle);
      expect(() => printPythonText(circle)).toThrow(unserializable);
      const map = new Map<string, unknown>();
      map.set('self', map);
      expect(() => printPythonText(map)).toThrow(unserializable);
    });

    it('gives up early on a value that would print without end', () => {
      let value: unknown = 0;
      for (let level = 0; level < 30; level++) {
        value = [value, value];
      }
      expect(() => printPythonText(value)).toThrow(unserializable);
    });
  });

  describe('any value', () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withNullPrototype: true,
      withSparseArray: true,
      withBoxedValues: true,
      stringUnit: 'binary',
    });

    it('is refused, or printed as ASCII text that is read again and printed the same', () => {
      fc.assert(
        fc.property(anything, (value) => {
          const text = tryPrint(value);
          if (text !== undefined && !hasEqualKeys(text)) {
            expect(text).toMatch(/^[\x20-\x7e]*$/);
            // Reading orders the keys of objects, and drops the elements of sets that are equal in Python.
            const settled = printPythonText(parsePythonText(text));
            expect(printPythonText(parsePythonText(settled))).toBe(settled);
          }
        }),
        { numRuns: 3000 },
      );
    });
  });
});

function nested(depth: number, inner: unknown): unknown {
  return depth === 0 ? inner : [nested(depth - 1, inner)];
}

/** The text, or undefined if the value is refused. Any other exception is thrown on. */
function tryPrint(value: unknown): string | undefined {
  try {
    return printPythonText(value);
  } catch (error) {
    if (error instanceof BenUdpError && error.code === 'BEN_UNSERIALIZABLE') {
      return undefined;
    }
    throw error;
  }
}

/** Whether a dict has two keys that a Map can tell apart and Python can't, as 1 and true. */
function hasEqualKeys(text: string): boolean {
  try {
    parsePythonText(text);
    return false;
  } catch (error) {
    if (error instanceof BenUdpProtocolError && error.code === 'BEN_TEXT_DUPLICATE_KEY') {
      return true;
    }
    throw error;
  }
}
