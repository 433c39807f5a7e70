import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { BenUdpProtocolError, type BenUdpTextErrorCode } from '../../../lib/errors.js';
import {
  PYTHON_TEXT_LIMITS,
  type PythonTextLimits,
  type BenUdpValue,
  parsePythonText,
  printJson,
  printPythonText,
} from '../../../lib/protocol/index.js';
import { equalityKey } from '../../../lib/protocol/python-text/value.js';
import { pollutePrototype } from '../../support/polluted-prototype.js';
import { documentedRows, documentedTexts, inCode } from '../../support/python-text-page.js';
import { cpuMs, measureGrowth } from '../../support/growth.js';

/** Any UTF-16 unit, often half of a surrogate pair. */
const utf16Unit = fc
  .oneof(fc.nat(0xffff), fc.integer({ min: 0xd800, max: 0xdfff }))
  .map((unit) => String.fromCharCode(unit));

describe('parsePythonText', () => {
  describe('None and bool', () => {
    it.each<[string, BenUdpValue]>([
      ['None', null],
      ['True', true],
      ['False', false],
    ])('reads %s as %s', (text, value) => {
      expect(parsePythonText(text)).toBe(value);
    });
  });

  describe('int', () => {
    it.each<[string, number | bigint]>([
      ['0', 0],
      ['-0', 0],
      ['7', 7],
      ['-42', -42],
      ['2147483648', 2147483648],
      ['9007199254740991', 2 ** 53 - 1],
      ['-9007199254740991', -(2 ** 53 - 1)],
      ['9007199254740992', 2n ** 53n],
      ['-9007199254740992', -(2n ** 53n)],
      ['9007199254740993', 2n ** 53n + 1n],
      ['1180591620717411303424', 2n ** 70n],
      ['-1180591620717411303424', -(2n ** 70n)],
      ['1' + '0'.repeat(639), 10n ** 639n],
    ])('reads %s as %s', (text, value) => {
      expect(parsePythonText(text)).toBe(value);
    });
  });

  describe('float', () => {
    it.each<[string, number]>([
      ['21.5', 21.5],
      ['-3.25', -3.25],
      ['30.0', 30],
      ['0.0', 0],
      ['-0.0', -0],
      ['-0e0', -0],
      ['1e+22', 1e22],
      ['1.5e-07', 1.5e-7],
      ['1e16', 1e16],
      ['9007199254740992.0', 2 ** 53],
      ['0.30000000000000004', 0.1 + 0.2],
      ['1.7976931348623157e+308', Number.MAX_VALUE],
      ['2.2250738585072014e-308', 2 ** -1022],
      ['2.225073858507201e-308', 2 ** -1022 - 2 ** -1074],
      ['5e-324', 2 ** -1074],
      ['4.940656458412465e-324', 2 ** -1074],
      ['-5e-324', -(2 ** -1074)],
      ['1e-400', 0],
      ['1e400', Infinity],
      ['-1e400', -Infinity],
      ['nan', NaN],
      ['-nan', NaN],
      ['inf', Infinity],
      ['-inf', -Infinity],
    ])('reads %s as %s', (text, value) => {
      expect(parsePythonText(text)).toBe(value);
    });
  });

  describe('str', () => {
    it.each<[title: string, text: string, value: string]>([
      ['nothing', `''`, ''],
      ['nothing in double quotes', `""`, ''],
      ['single quotes', `'hello'`, 'hello'],
      ['double quotes', `"it's"`, "it's"],
      ['double quotes in single quotes', `'say "hi"'`, 'say "hi"'],
      [String.raw`\\`, String.raw`'\\'`, '\\'],
      [String.raw`\'`, String.raw`'\''`, "'"],
      [String.raw`\"`, String.raw`'\"'`, '"'],
      [String.raw`\n`, String.raw`'\n'`, '\n'],
      [String.raw`\r`, String.raw`'\r'`, '\r'],
      [String.raw`\t`, String.raw`'\t'`, '\t'],
      [String.raw`\x00`, String.raw`'\x00'`, '\0'],
      [String.raw`\x7f`, String.raw`'\x7f'`, '\x7f'],
      [String.raw`\xe9`, String.raw`'\xe9'`, 'é'],
      [String.raw`\xE9 in capitals`, String.raw`'\xE9'`, 'é'],
      [String.raw`\u20ac`, String.raw`'\u20ac'`, '€'],
      [String.raw`\U0001f600`, String.raw`'\U0001f600'`, '😀'],
      [String.raw`\U0010ffff, the last code point`, String.raw`'\U0010ffff'`, '\u{10ffff}'],
      ['digits behind an escape', String.raw`'\x411\u00411'`, 'A1A1'],
      ['an escaped backslash before a letter', String.raw`'\\n\\x41'`, '\\n\\x41'],
      ['a lone high surrogate', String.raw`'\ud800'`, '\ud800'],
      ['a lone low surrogate', String.raw`'\udfff'`, '\udfff'],
      ['both halves of a surrogate pair', String.raw`'\ud83d\ude00'`, '😀'],
      ['raw text, as MicroPython 1.29 prints it', `'h\u00e9 € 中文 😀'`, 'hé € 中文 😀'],
      [
        'raw control characters above 0x7f and line separators',
        `'\x80\x9f\xa0\u2028\ufeff'`,
        '\x80\x9f\xa0\u2028\ufeff',
      ],
      ['what looks like another literal', `'{"a": [1, None]} # no \u{20}comment'`, '{"a": [1, None]} # no  comment'],
    ])('reads %s', (_title, text, value) => {
      expect(parsePythonText(text)).toBe(value);
    });
  });

  describe('bytes', () => {
    it.each<[string, number[]]>([
      [`b''`, []],
      [`b"it's"`, [0x69, 0x74, 0x27, 0x73]],
      [String.raw`b'\x00\x01\'"\\\n\r\t\x7f\x80\xff'`, [0, 1, 0x27, 0x22, 0x5c, 0x0a, 0x0d, 0x09, 0x7f, 0x80, 0xff]],
      [`b' ~'`, [0x20, 0x7e]],
    ])('reads %s as a Buffer', (text, bytes) => {
      expect(parsePythonText(text)).toStrictEqual(Buffer.from(bytes));
    });
  });

  describe('bytearray', () => {
    it.each<[string, number[]]>([
      [String.raw`bytearray(b'(\xff\x8b')`, [0x28, 0xff, 0x8b]],
      [`bytearray(b"it's")`, [0x69, 0x74, 0x27, 0x73]],
      [`bytearray(b')')`, [0x29]],
    ])('reads %s as a Buffer', (text, bytes) => {
      expect(parsePythonText(`{'rom': [${text}]}`)).toStrictEqual({ rom: [Buffer.from(bytes)] });
    });

    it.each<[string, BenUdpTextErrorCode, number]>([
      ["{1, bytearray(b'')}", 'BEN_TEXT_UNHASHABLE', 4],
      ["{(bytearray(b'a'),): 1}", 'BEN_TEXT_UNHASHABLE', 2],
      ["bytearray(b'a'", 'BEN_TEXT_UNEXPECTED_END', 14],
      ["bytearray(b'a", 'BEN_TEXT_UNEXPECTED_END', 13],
      ['bytearray(', 'BEN_TEXT_UNEXPECTED_END', 10],
      ['bytearray', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ["bytearray (b'a')", 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ["bytearray( b'a')", 'BEN_TEXT_UNEXPECTED_CHARACTER', 10],
      ["bytearray(b'a' )", 'BEN_TEXT_UNEXPECTED_CHARACTER', 14],
      ["bytearray(b'a',)", 'BEN_TEXT_UNEXPECTED_CHARACTER', 14],
      ["-bytearray(b'a')", 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ["memoryview(b'a')", 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ["bytearray(b'a').hex()", 'BEN_TEXT_TRAILING', 15],
    ])('refuses %s with %s at %i', (text, code, position) => {
      expect(parsing(text)).toThrow(refusal(code, position));
    });

    it('is one value and no level, as bytes are: reads one inside 32 lists', () => {
      for (const bytes of ["b''", "bytearray(b'')"]) {
        expect(() => parsePythonText(`${'['.repeat(32)}${bytes}${']'.repeat(32)}`)).not.toThrow();
        expect(parsing(`[${bytes}]`, { ...PYTHON_TEXT_LIMITS, maxNodes: 1 })).toThrow(
          refusal('BEN_TEXT_TOO_MANY_NODES', 1),
        );
      }
    });
  });

  describe('list and tuple', () => {
    it.each<[string, BenUdpValue]>([
      ['[]', []],
      ['[1]', [1]],
      ["[1, 2.5, None, 'x']", [1, 2.5, null, 'x']],
      ['[[], [[]]]', [[], [[]]]],
      ['()', []],
      ['(1,)', [1]],
      ['(1, 2)', [1, 2]],
      ['((1, 2), ((),))', [[1, 2], [[]]]],
    ])('reads %s as an array', (text, value) => {
      expect(parsePythonText(text)).toStrictEqual(value);
    });

    it('reads (1) as 1: these parentheses only group', () => {
      expect(parsePythonText('(1)')).toBe(1);
      expect(parsePythonText('((((1,))))')).toStrictEqual([1]);
    });
  });

  describe('dict', () => {
    it.each([
      '{}',
      "{'a': 1}",
      "{'a': {'b': {}}}",
      "{'toString': 1, 'hasOwnProperty': 2}",
      "{'__proto__': {'polluted': True}, 'constructor': {'prototype': {'polluted': True}}}",
    ])('reads %s as an ordinary object', (text) => {
      const value = parsePythonText(text);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      expect(printPythonText(value)).toBe(text);
      expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    });

    it('leaves no copy in the memory that Node shares between small Buffers, of a key neither', () => {
      const pool = Buffer.allocUnsafe(1).buffer;
      parsePythonText("{b'marked as a key': b'marked as a value', (b'marked in a tuple',): 0}");
      expect(Buffer.from(pool).includes('marked ')).toBe(false);
    });

    it.each(["b''", "b'a'", "bytearray(b'abc')", "[b'a', b'bc']"])(
      'gives each Buffer of %s memory of its own, and each copy of it too',
      (text) => {
        for (const bytes of [parsePythonText(text)].flat() as Buffer[]) {
          expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, bytes.length]);
          // class-transformer makes such copies, in each ValidationPipe with `transform`.
          const copy = Buffer.from(bytes);
          expect(copy).toEqual(bytes);
          expect([copy.byteOffset, copy.buffer.byteLength]).toEqual([0, bytes.length]);
          expect(copy.buffer).not.toBe(bytes.buffer);
        }
      },
    );

    it("reads {'__proto__': 1, 'constructor': 2} as just these two keys", () => {
      const value = parsePythonText("{'__proto__': 1, 'constructor': 2}");
      expect(Reflect.ownKeys(value as object)).toStrictEqual(['__proto__', 'constructor']);
      expect(Object.getOwnPropertyDescriptor(value, '__proto__')?.value).toBe(1);
    });

    it.each([
      ['a template string', (value: object) => `${value}`, '[object Object]'],
      // oxlint-disable-next-line no-prototype-builtins -- users call it, and this test does the same
      ['hasOwnProperty', (value: object) => value.hasOwnProperty('a'), true],
      ['a list that is joined', (value: object) => [value].join(), '[object Object]'],
    ])('makes an object that %s can take', (_what, use, expected) => {
      expect(use(parsePythonText("{'a': 1}") as object)).toBe(expected);
    });

    it.each([
      ['{4: 21.5}', '4'],
      ['{-7: 0}', '-7'],
      ['{9007199254740993: 0}', '9007199254740993'],
      ['{(1): 0}', '1'],
      ['{21.5: 0}', '21.5'],
      ['{1.0: 0}', '1.0'],
      ['{1e+22: 0}', '1e+22'],
      ['{1.5e-07: 0}', '1.5e-07'],
      ['{0.0: 0}', '0.0'],
      ['{-0.0: 0}', '-0.0'],
      ['{9007199254740992.0: 0}', '9007199254740992.0'],
      ['{True: 0}', 'true'],
      ['{False: 0}', 'false'],
      ['{None: 0}', 'null'],
      ['{nan: 0}', 'NaN'],
      ['{-nan: 0}', 'NaN'],
      ['{inf: 0}', 'Infinity'],
      ['{-inf: 0}', '-Infinity'],
    ])("reads the key of %s as json.dumps of Python writes it: '%s'", (text, name) => {
      expect(Object.keys(parsePythonText(text) as object)).toStrictEqual([name]);
    });

    it.each([
      ["{1: 'a', '1': 'b'}", { 1: 'b' }],
      ["{'1': 'a', 1: 'b'}", { 1: 'b' }],
      ["{None: 'a', 'x': 0, 'null': 'b'}", { null: 'b', x: 0 }],
      ["{1: 'a', '1.0': 'b', '1': 'c'}", { 1: 'c', '1.0': 'b' }],
    ])('lets the last of the keys win that have one name: %s', (text, value) => {
      expect(parsePythonText(text)).toStrictEqual(value);
    });

    it('lets no key set the prototype, with other keys of any type', () => {
      const value = parsePythonText("{'__proto__': {'polluted': True}, 2: 3}") as { polluted?: boolean };
      expect(value.polluted).toBeUndefined();
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      expect(Object.keys(value)).toStrictEqual(['2', '__proto__']);
    });

    it('reads keys that Object.prototype has as a setter or a constant', () => {
      const called = vi.fn();
      pollutePrototype('setter', { set: called });
      pollutePrototype('constant', { value: 1, writable: false });
      const value = parsePythonText("{'setter': 1, 'constant': 2}");
      expect(Object.entries(value as object)).toStrictEqual([
        ['setter', 1],
        ['constant', 2],
      ]);
      expect(called).not.toHaveBeenCalled();
    });

    it('lists keys that look like an array index first', () => {
      expect(Object.keys(parsePythonText("{'b': 1, '10': 2, '9': 3}") as object)).toStrictEqual(['9', '10', 'b']);
    });

    it.each<[string, Array<[BenUdpValue, BenUdpValue]>]>([
      [
        "{None: 1, True: 2, 2.5: 3, b'k': 4, (1, 'x'): 5, 9007199254740993: 6, nan: 7, (): 8}",
        [
          [null, 1],
          [true, 2],
          [2.5, 3],
          [Buffer.from('k'), 4],
          [[1, 'x'], 5],
          [9007199254740993n, 6],
          [NaN, 7],
          [[], 8],
        ],
      ],
      [
        '{-0.0: 1, (): 2}',
        [
          [0, 1],
          [[], 2],
        ],
      ],
      ['{(-0.0,): 1}', [[[-0], 1]]],
      [
        "{'__proto__': 1, b'': {3: 4}}",
        [
          ['__proto__', 1],
          [Buffer.from(''), { 3: 4 }],
        ],
      ],
    ])('reads %s as a Map, in its order, because a key is a tuple or bytes', (text, entries) => {
      const value = parsePythonText(text);
      expect(value).toBeInstanceOf(Map);
      expect([...(value as Map<BenUdpValue, BenUdpValue>)]).toStrictEqual(entries);
    });
  });

  describe('set', () => {
    it.each<[string, BenUdpValue[]]>([
      ['set()', []],
      ['{1}', [1]],
      ["{'b', 'a', None}", ['b', 'a', null]],
      ['{(1,), ()}', [[1], []]],
      ["{b'a', 'a'}", [Buffer.from('a'), 'a']],
      ['{-0.0}', [0]],
    ])('reads %s as a Set, in its order', (text, elements) => {
      const value = parsePythonText(text);
      expect(value).toBeInstanceOf(Set);
      expect([...(value as Set<BenUdpValue>)]).toStrictEqual(elements);
    });

    it.each<[string, BenUdpValue[]]>([
      ['{1, 1}', [1]],
      ['{True, 1, 1.0}', [true]],
      ['{0, False, -0.0}', [0]],
      ['{1, True, 2}', [1, 2]],
      ["{b'a', b'a'}", [Buffer.from('a')]],
      ["{(1, (b'a',)), (True, (b'a',))}", [[1, [Buffer.from('a')]]]],
      ['{9007199254740992, 9007199254740992.0}', [9007199254740992n]],
      ['{9007199254740993, 9007199254740992.0}', [9007199254740993n, 9007199254740992]],
      ['{nan, nan}', [NaN]],
      ["{'1', 1, b'1', (1,), ('1',), ((1,),)}", ['1', 1, Buffer.from('1'), [1], ['1'], [[1]]]],
      ["{('a', 'b'), ('ab',), ('a', 'b', ''), ('', 'ab')}", [['a', 'b'], ['ab'], ['a', 'b', ''], ['', 'ab']]],
      ["{'', None, b'', (), 0}", ['', null, Buffer.from(''), [], 0]],
    ])('keeps the first of the elements of %s that are equal in Python', (text, elements) => {
      expect([...(parsePythonText(text) as Set<BenUdpValue>)]).toStrictEqual(elements);
    });
  });

  it('reads values of all types inside each other', () => {
    const text = String.raw`{'data': [(1, {2: {'x': {b'\x00'}}}), set(), -inf], "it's": {'é': (None,)}}`;
    expect(parsePythonText(text)).toStrictEqual({
      data: [[1, { 2: { x: new Set([Buffer.from([0])]) } }], new Set(), -Infinity],
      "it's": { é: [null] },
    });
  });

  describe('white space', () => {
    it.each(['[1,2]', ' [ 1 , 2 ] ', '\t[\t1\t,\t2\t]\t', '\n[\n1\n,\n2\n]\n', '\r\n[\r\n1,\f2]\f'])(
      'reads %j as [1, 2]',
      (text) => {
        expect(parsePythonText(text)).toStrictEqual([1, 2]);
      },
    );

    it("is not needed in {'a':1,'b':{2:3}}", () => {
      expect(printPythonText(parsePythonText("{'a':1,'b':{2:3}}"))).toBe("{'a': 1, 'b': {'2': 3}}");
    });

    it.each(['\v', '\xa0', '\ufeff', '\u2003', '\0', '\x1f'])('is not %j', (space) => {
      expect(parsing(`${space}1`)).toThrow(refusal('BEN_TEXT_UNEXPECTED_CHARACTER', 0));
      expect(parsing(`[1,${space}2]`)).toThrow(refusal('BEN_TEXT_UNEXPECTED_CHARACTER', 3));
      expect(parsing(`1${space}`)).toThrow(refusal('BEN_TEXT_TRAILING', 1));
    });
  });

  // The rule for every part of literal_eval's grammar that is refused stands in docs/python-text.md, which is tested below.
  describe('refusals that the page does not list', () => {
    it.each<[string, BenUdpTextErrorCode, number]>([
      ['', 'BEN_TEXT_UNEXPECTED_END', 0],
      [' \n', 'BEN_TEXT_UNEXPECTED_END', 2],
      ['(', 'BEN_TEXT_UNEXPECTED_END', 1],
      ['(1', 'BEN_TEXT_UNEXPECTED_END', 2],
      ['(1, ', 'BEN_TEXT_UNEXPECTED_END', 4],
      ['{', 'BEN_TEXT_UNEXPECTED_END', 1],
      ['{1', 'BEN_TEXT_UNEXPECTED_END', 2],
      ['{1: 2', 'BEN_TEXT_UNEXPECTED_END', 5],
      ['{1: 2, 3', 'BEN_TEXT_UNEXPECTED_END', 8],
      ["'", 'BEN_TEXT_UNEXPECTED_END', 1],
      ["'\\", 'BEN_TEXT_UNEXPECTED_END', 2],
      ["b'", 'BEN_TEXT_UNEXPECTED_END', 2],
      ["b'\\", 'BEN_TEXT_UNEXPECTED_END', 3],
      ["'a\\x4", 'BEN_TEXT_BAD_ESCAPE', 2],
      ["'\\xg0'", 'BEN_TEXT_BAD_ESCAPE', 1],
      ["'\\x 1'", 'BEN_TEXT_BAD_ESCAPE', 1],
      ["'\\x+1'", 'BEN_TEXT_BAD_ESCAPE', 1],
      ["b'ab\\0'", 'BEN_TEXT_BAD_ESCAPE', 4],
      ["b'\\N{DIGIT ONE}'", 'BEN_TEXT_BAD_ESCAPE', 2],
      ["'\\Uffffffff'", 'BEN_TEXT_BAD_ESCAPE', 1],
      ["'a\x1f'", 'BEN_TEXT_UNEXPECTED_CHARACTER', 2],
      ["'a\x7f'", 'BEN_TEXT_UNEXPECTED_CHARACTER', 2],
      ["'a\0'", 'BEN_TEXT_UNEXPECTED_CHARACTER', 2],
      ["'a\r'", 'BEN_TEXT_UNEXPECTED_CHARACTER', 2],
      ["b'a\x7f'", 'BEN_TEXT_UNEXPECTED_CHARACTER', 3],
      ["b'a\x80'", 'BEN_TEXT_UNEXPECTED_CHARACTER', 3],
      ["'''", 'BEN_TEXT_UNEXPECTED_CHARACTER', 2],
      ["['']''", 'BEN_TEXT_TRAILING', 4],
      ['-', 'BEN_TEXT_UNEXPECTED_CHARACTER', 0],
      ['.', 'BEN_TEXT_UNEXPECTED_CHARACTER', 0],
      ['-.', 'BEN_TEXT_UNEXPECTED_CHARACTER', 0],
      ['.e5', 'BEN_TEXT_UNEXPECTED_CHARACTER', 0],
      ['-x', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['1e+', 'BEN_TEXT_BAD_NUMBER', 0],
      ['1ee5', 'BEN_TEXT_BAD_NUMBER', 0],
      ['1e5.', 'BEN_TEXT_BAD_NUMBER', 0],
      ['1..', 'BEN_TEXT_BAD_NUMBER', 0],
      ['1__0', 'BEN_TEXT_BAD_NUMBER', 0],
      ['0b2', 'BEN_TEXT_BAD_NUMBER', 0],
      ['[1, -0x1]', 'BEN_TEXT_BAD_NUMBER', 4],
      ['１', 'BEN_TEXT_UNEXPECTED_CHARACTER', 0],
      ['1１', 'BEN_TEXT_TRAILING', 1],
      ['none', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['Non', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['NoneNone', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['None_', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['None1', 'BEN_TEXT_TRAILING', 4],
      ['INF', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['set', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['set()()', 'BEN_TEXT_TRAILING', 5],
      ['[set(]', 'BEN_TEXT_UNEXPECTED_NAME', 1],
      ['__import__("os")', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['é', 'BEN_TEXT_UNEXPECTED_CHARACTER', 0],
      ['lambda: 1', 'BEN_TEXT_UNEXPECTED_NAME', 0],
      ['1 if 1 else 2', 'BEN_TEXT_TRAILING', 2],
      ['[1 for x in y]', 'BEN_TEXT_UNEXPECTED_CHARACTER', 3],
      ['[1][0]', 'BEN_TEXT_TRAILING', 3],
      ['[1, 2)', 'BEN_TEXT_UNEXPECTED_CHARACTER', 5],
      [']', 'BEN_TEXT_UNEXPECTED_CHARACTER', 0],
      ['{1: 2: 3}', 'BEN_TEXT_UNEXPECTED_CHARACTER', 5],
      ['{1: }', 'BEN_TEXT_UNEXPECTED_CHARACTER', 4],
      ['{: 1}', 'BEN_TEXT_UNEXPECTED_CHARACTER', 1],
      ['{([]): 1}', 'BEN_TEXT_UNHASHABLE', 2],
      ['{((), ({1: 2},)): 1}', 'BEN_TEXT_UNHASHABLE', 7],
      ['{1, 2, set()}', 'BEN_TEXT_UNHASHABLE', 7],
      ['{1: 2, [3]: 4}', 'BEN_TEXT_UNHASHABLE', 7],
      ["{'a': 1, 'b': 2, '\\x61': 3}", 'BEN_TEXT_DUPLICATE_KEY', 17],
      ['{0: 1, -0.0: 2}', 'BEN_TEXT_DUPLICATE_KEY', 7],
      ['{0: 1, False: 2}', 'BEN_TEXT_DUPLICATE_KEY', 7],
      ['{9007199254740992: 1, 9007199254740992.0: 2}', 'BEN_TEXT_DUPLICATE_KEY', 22],
      ['{(1, (True,)): 1, (1.0, (1,)): 2}', 'BEN_TEXT_DUPLICATE_KEY', 18],
      ['[{1: {2: 3, 2: 4}}]', 'BEN_TEXT_DUPLICATE_KEY', 12],
    ])('refuses %j with %s at %i', (text, code, position) => {
      expect(parsing(text)).toThrow(refusal(code, position));
    });

    it('names the position in UTF-16 units, so 7 behind two characters that take two each', () => {
      expect(parsing("['😀😀\0']")).toThrow(refusal('BEN_TEXT_UNEXPECTED_CHARACTER', 6));
    });
  });

  describe('dict keys that are alike, but not equal in Python', () => {
    it.each([
      "{(): 0, 1: 0, '1': 0}",
      "{'a': 0, b'a': 0}",
      "{(): 0, None: 0, 'None': 0}",
      "{(1,): 0, 1: 0, ((1,),): 0, ('1',): 0}",
      "{'': 0, b'': 0, (): 0}",
      '{(): 0, 9007199254740993: 0, 9007199254740992.0: 0}',
      "{('a', 'b'): 0, ('a, b',): 0, ('a', 'b', None): 0}",
      // Spelled like the marks that `equalityKey` tells types apart by.
      "{('a', 'b'): 0, ('astr b',): 0}",
      String.raw`{b'\x80': 0, b'\xff': 0}`,
      "{(): 0, 'str a': 0, 'a': 0, 'int 1': 0, 1: 0}",
    ])('are all kept in %s', (text) => {
      const { size } = parsePythonText(text) as Map<BenUdpValue, BenUdpValue>;
      expect(size).toBe(text.split(': 0').length - 1);
    });
  });

  describe('maxDepth', () => {
    const nested = (open: string, inner: string, close: string, depth: number) =>
      open.repeat(depth) + inner + close.repeat(depth);

    it.each([
      ['lists', '[', '', ']'],
      ['tuples', '(', '1', ',)'],
      ['grouping parentheses', '(', '1', ')'],
      ['dicts', '{1: ', '1', '}'],
      ['dicts with string keys', "{'a': ", '1', '}'],
    ])('reads 32 %s inside each other and refuses 33', (_title, open, inner, close) => {
      expect(() => parsePythonText(nested(open, inner, close, 32))).not.toThrow();
      expect(parsing(nested(open, inner, close, 33))).toThrow(refusal('BEN_TEXT_TOO_DEEP', 32 * open.length));
    });

    it('counts the tuples of a key: reads 31 inside a set and refuses 32', () => {
      expect(() => parsePythonText(`{${nested('(', '1', ',)', 31)}}`)).not.toThrow();
      expect(parsing(`{${nested('(', '1', ',)', 32)}}`)).toThrow(refusal('BEN_TEXT_TOO_DEEP', 32));
    });

    it('counts set(): reads it inside 31 lists and refuses it inside 32', () => {
      expect(() => parsePythonText(nested('[', 'set()', ']', 31))).not.toThrow();
      expect(parsing(nested('[', 'set()', ']', 32))).toThrow(refusal('BEN_TEXT_TOO_DEEP', 32));
    });

    it('counts depth, not containers', () => {
      expect(parsePythonText(`[${'[], '.repeat(100)}]`)).toHaveLength(100);
    });

    it('of 0 reads 1 and refuses [] and set()', () => {
      const limits = { ...PYTHON_TEXT_LIMITS, maxDepth: 0 };
      expect(parsePythonText('1', limits)).toBe(1);
      expect(parsing('[]', limits)).toThrow(refusal('BEN_TEXT_TOO_DEEP', 0));
      expect(parsing('set()', limits)).toThrow(refusal('BEN_TEXT_TOO_DEEP', 0));
    });

    it('of 2 reads [[1]] and refuses [[[]]]', () => {
      const limits = { ...PYTHON_TEXT_LIMITS, maxDepth: 2 };
      expect(parsePythonText('[[1]]', limits)).toStrictEqual([[1]]);
      expect(parsing('[[[]]]', limits)).toThrow(refusal('BEN_TEXT_TOO_DEEP', 2));
    });
  });

  describe('maxNodes', () => {
    it('reads a list of 4095 and refuses a list of 4096, which is a value itself', () => {
      expect(parsePythonText(`[${'0,'.repeat(4095)}]`)).toHaveLength(4095);
      expect(parsing(`[${'0,'.repeat(4096)}]`)).toThrow(refusal('BEN_TEXT_TOO_MANY_NODES', 1 + 4095 * 2));
    });

    it('counts keys and values: reads 3 values with a limit of 3, refuses them with 2', () => {
      expect(parsePythonText("{'a': 1}", { ...PYTHON_TEXT_LIMITS, maxNodes: 3 })).toMatchObject({ a: 1 });
      expect(parsing("{'a': 1}", { ...PYTHON_TEXT_LIMITS, maxNodes: 2 })).toThrow(
        refusal('BEN_TEXT_TOO_MANY_NODES', 6),
      );
    });

    it('counts grouping parentheses and set()', () => {
      const limits = { ...PYTHON_TEXT_LIMITS, maxNodes: 2 };
      expect(parsePythonText('(set())', limits)).toStrictEqual(new Set());
      expect(parsing('((set()))', limits)).toThrow(refusal('BEN_TEXT_TOO_MANY_NODES', 2));
    });
  });

  describe('maxIntDigits', () => {
    it.each(['', '-'])('reads %s followed by 640 digits and refuses 641', (sign) => {
      expect(parsePythonText(`${sign}${'9'.repeat(640)}`)).toBe(BigInt(`${sign}${'9'.repeat(640)}`));
      expect(parsing(`${sign}${'9'.repeat(641)}`)).toThrow(refusal('BEN_TEXT_TOO_MANY_DIGITS', 0));
      expect(parsing(`[1, ${sign}${'9'.repeat(641)}]`)).toThrow(refusal('BEN_TEXT_TOO_MANY_DIGITS', 4));
    });

    it('holds for ints only: reads floats of 1000 digits', () => {
      expect(parsePythonText(`0.${'3'.repeat(1000)}`)).toBe(1 / 3);
      expect(parsePythonText(`${'9'.repeat(1000)}.0`)).toBe(Infinity);
      expect(parsePythonText(`1${'0'.repeat(1000)}e-1000`)).toBe(1);
    });

    it('of 2 reads -99 and refuses 100', () => {
      const limits = { ...PYTHON_TEXT_LIMITS, maxIntDigits: 2 };
      expect(parsePythonText('-99', limits)).toBe(-99);
      expect(parsing('100', limits)).toThrow(refusal('BEN_TEXT_TOO_MANY_DIGITS', 0));
    });
  });

  describe('maxLength', () => {
    it('reads 65536 characters and refuses 65537', () => {
      expect(parsePythonText(`'${'x'.repeat(65_534)}'`)).toHaveLength(65_534);
      expect(parsing(`'${'x'.repeat(65_535)}'`)).toThrow(refusal('BEN_TEXT_TOO_LONG', 0));
    });

    it('counts white space', () => {
      expect(parsePythonText(`1${' '.repeat(65_535)}`)).toBe(1);
      expect(parsing(`1${' '.repeat(65_536)}`)).toThrow(refusal('BEN_TEXT_TOO_LONG', 0));
    });

    it('counts UTF-16 units: of 4, it reads a string of one emoji and refuses one with a letter more', () => {
      const limits = { ...PYTHON_TEXT_LIMITS, maxLength: 4 };
      expect(parsePythonText("'😀'", limits)).toBe('😀');
      expect(parsing("'😀a'", limits)).toThrow(refusal('BEN_TEXT_TOO_LONG', 0));
    });
  });

  describe('any value', () => {
    it('comes back from its printed text, to the prototype and the sign of zero', () => {
      fc.assert(
        fc.property(values(), (value) => {
          expect(isDeepStrictEqual(parsePythonText(printPythonText(value)), value)).toBe(true);
        }),
        { numRuns: 2000 },
      );
    });
  });

  describe('any text', () => {
    const tokens = fc.constantFrom(
      ' ',
      '\n',
      '\0',
      '\x7f',
      '\ud800',
      ..."[ ] ( ) { } , : ' \" \\ b - + . e _ j # * 'a' \"b\" b'c' 'a': é 😀".split(' '),
      ...'None True nan inf -inf set() set 0 1 0x1 21.5 1e+22 99999999999999999999'.split(' '),
      ...String.raw`\x41 \u20ac \U0001f600 \n \q`.split(' '),
    );
    const mutants = fc
      .tuple(values(), fc.array(fc.tuple(fc.nat(), fc.nat(3), tokens), { minLength: 1, maxLength: 4 }))
      .map(([value, edits]) => edits.reduce(edit, printPythonText(value)));

    it.each([
      ['of any characters', fc.string({ unit: 'binary', maxLength: 50 })],
      ['of any UTF-16 units in quotes', fc.string({ unit: utf16Unit, maxLength: 50 }).map((text) => `'${text}'`)],
      ['of tokens', fc.array(tokens, { maxLength: 30 }).map((parts) => parts.join(''))],
      ['that was printed and then changed', mutants],
    ])('%s becomes a value, which prints and reads as itself, or a BenUdpProtocolError', (_title, texts) => {
      fc.assert(
        fc.property(texts, (text) => {
          const outcome = tryParse(text);
          if (outcome instanceof BenUdpProtocolError) {
            expectPlainError(outcome, text);
          } else {
            expect(isDeepStrictEqual(parsePythonText(printPythonText(outcome)), outcome)).toBe(true);
          }
        }),
        { numRuns: 3000 },
      );
    });

    it('is read in time proportional to its length, even if it was made to take long', async () => {
      const [short, long] = [adversarialTexts(7500), adversarialTexts(60_000)];
      for (const [index, text] of long.entries()) {
        // 8 times the text takes about 8 times as long. With quadratic growth it takes 64 times as long.
        const limit = 24;
        const growth = await measureGrowth(
          () => cpuMs(() => tryParse(short[index]!)),
          () => cpuMs(() => tryParse(text)),
          limit,
        );
        expect(growth, text.slice(0, 20)).toBeLessThanOrEqual(limit);
      }
    });
  });
});

describe('PYTHON_TEXT_LIMITS', () => {
  it('holds the limits of docs/python-text.md', () => {
    const rows = documentedRows('past it').map(({ limit, 'past it': code }) => [Number(limit), inCode(code!)[0]]);
    const { maxDepth, maxNodes, maxIntDigits, maxLength } = PYTHON_TEXT_LIMITS;
    expect(rows).toStrictEqual([
      [maxDepth, 'BEN_TEXT_TOO_DEEP'],
      [maxNodes, 'BEN_TEXT_TOO_MANY_NODES'],
      [maxIntDigits, 'BEN_TEXT_TOO_MANY_DIGITS'],
      [maxLength, 'BEN_TEXT_TOO_LONG'],
    ]);
  });
});

describe('docs/python-text.md', () => {
  const readRows = documentedTexts().map(({ text, result }): [string, string] => [text, result]);
  const printRows = documentedRows('printed').flatMap(({ value, printed, 'in a reply': reply }) =>
    inCode(value!).map((code): [string, string, string] => [code, inCode(printed!)[0]!, inCode(reply!)[0]!]),
  );

  it('has more than 100 texts and 25 values', () => {
    expect(readRows.length).toBeGreaterThan(100);
    expect(printRows.length).toBeGreaterThan(25);
  });

  it.each(readRows)('is right that %s is read as %s', (text, result) => {
    const [expected = ''] = inCode(result);
    if (expected.startsWith('BEN_')) {
      expect(parsing(text)).toThrow(refusal(expected as BenUdpTextErrorCode, Number(/ at (\d+)$/.exec(result)?.[1])));
    } else {
      expect(parsePythonText(text)).toStrictEqual(evaluate(expected));
    }
  });

  it.each(printRows)('is right that %s is printed as %s, and in a reply as %s', (value, printed, reply) => {
    const prints = [() => printPythonText(evaluate(value)), () => printJson(evaluate(value), 1000)];
    for (const [index, text] of [printed, reply].entries()) {
      if (text.startsWith('BEN_')) {
        expect(prints[index]).toThrow(expect.objectContaining({ code: text }));
      } else {
        expect(prints[index]!()).toBe(text);
      }
    }
  });
});

function parsing(text: string, limits?: PythonTextLimits): () => BenUdpValue {
  return () => parsePythonText(text, limits);
}

function refusal(code: BenUdpTextErrorCode, position: number): unknown {
  return expect.objectContaining({ name: 'BenUdpProtocolError', code, position });
}

describe('a word of JSON', () => {
  it.each([
    ['true', 'True'],
    ['false', 'False'],
    ['null', 'None'],
  ])('%s is refused with the word of Python', (word, python) => {
    expect(() => parsePythonText(`{'data': ${word}}`)).toThrow(
      `"${word}" (JSON? Python writes ${python}) at position 9`,
    );
  });

  it.each(['truex', 'True1', 'nul', 'TRUE'])('is not suspected in %s', (word) => {
    expect(String(tryParse(word))).not.toContain('JSON');
  });
});

/** Every message is one of these sentences, so it contains nothing of the text. */
const MESSAGE =
  /^(?:unexpected character|text after the literal|the text ends inside a literal|more than \d+ (?:levels|values|characters)|a word that is not a literal|"(?:true|false|null)" \(JSON\? Python writes (?:True|False|None)\)|a duplicate key|a key or set element that Python can't hash|an int of more than \d+ digits|a number in a form that repr never prints|an escape that repr never prints|\\[xuU] needs [248] hex digits) at position (\d+)$/;

function expectPlainError(error: BenUdpProtocolError, text: string): void {
  const { code, position, message, cause } = error;
  expect(code).toMatch(/^BEN_TEXT_[A-Z_]+$/);
  expect(MESSAGE.exec(message)?.[1]).toBe(String(position));
  expect(position).toBeLessThanOrEqual(text.length);
  expect(cause).toBeUndefined();
  expect(Object.keys(error).toSorted()).toStrictEqual(['code', 'name', 'position']);
}

/** The value, or the refusal; any other exception is thrown on. */
function tryParse(text: string): BenUdpValue | BenUdpProtocolError {
  try {
    return parsePythonText(text);
  } catch (error) {
    if (error instanceof BenUdpProtocolError) {
      return error;
    }
    throw error;
  }
}

/** Texts of about `length` characters that a careless reader needs quadratic time or a deep stack for. */
function adversarialTexts(length: number): string[] {
  const units = [
    '[',
    '(',
    '{',
    "'",
    '"',
    '\\',
    '-',
    '9',
    '.',
    '1.',
    '1e',
    '_',
    ' ',
    '\n',
    ',',
    'b',
    "b'",
    'é',
    "''",
    "'a'",
  ];
  const items = ['1,', "'',", '[],', '(),', 'set(),', 'nan,', '1e308,', "b'',", "'\\x41',", '\\U0001f600', '"', '\\\\'];
  return [
    ...[...units, '{1:', "{'a':", '({', 'None', 'set()'].map((unit) => fill(unit, length)),
    ...items.flatMap((item) => [`[${fill(item, length)}]`, `{${fill(item, length)}}`, `'${fill(item, length)}'`]),
    `b'${fill('\\x00', length)}'`,
    `'${fill('\\x41', length)}`,
    `'${fill('\\u12', length)}'`,
    `[${fill(`${'9'.repeat(640)},`, length)}]`,
    `0.${fill('1', length)}`,
    `1e${fill('9', length)}`,
    // Keys of many tuples inside each other, and many keys.
    `{${'('.repeat(31)}'${fill("\\'\\\\", length)}',${')'.repeat(31)}}`,
    `{${fill(`${'('.repeat(31)}1${',)'.repeat(31)},`, length)}}`,
    `{${Array.from({ length: 2000 }, (_, index) => `${index}e300: 0`).join(', ')}}`,
    `{${Array.from({ length: 2000 }, (_, index) => `'${'x'.repeat(16)}${index}': 0`).join(', ')}}`,
  ];
}

function fill(unit: string, length: number): string {
  return unit.repeat(Math.floor(length / unit.length));
}

/** Removes `count` characters at a position and puts `token` there. */
function edit(text: string, [at, count, token]: [at: number, count: number, token: string]): string {
  const position = at % (text.length + 1);
  return text.slice(0, position) + token + text.slice(position + count);
}

/** Values in exactly the form that the reader returns. */
function values(): fc.Arbitrary<BenUdpValue> {
  const numbers = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double(), fc.constantFrom(0, -0, 1, 2 ** 53));
  const bigints = fc
    .tuple(fc.bigInt({ min: 2n ** 53n, max: 10n ** 500n }), fc.constantFrom(1n, -1n))
    .map(([size, sign]) => sign * size);
  const strings = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: utf16Unit }),
    fc.constantFrom('__proto__', 'constructor', '0'),
  );
  const leaf = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    numbers,
    bigints,
    strings,
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  );
  const { key } = fc.letrec<{ key: BenUdpValue; tuple: BenUdpValue[] }>((tie) => ({
    key: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('tuple')),
    tuple: fc.array(tie('key'), { maxLength: 3 }),
  }));
  const distinct = { maxLength: 5, selector: equalityKey };
  const { value } = fc.letrec<{ value: BenUdpValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      fc.array(tie('value'), { maxLength: 5 }),
      fc.uniqueArray(fc.tuple(strings, tie('value')), { maxLength: 5, selector: ([name]) => name }).map(toDict),
      fc.uniqueArray(key, distinct).map((elements) => new Set(elements)),
      fc
        .uniqueArray(fc.tuple(key, tie('value')), { ...distinct, selector: ([name]) => equalityKey(name) })
        .filter((entries) => entries.some(([name]) => Array.isArray(name) || Buffer.isBuffer(name)))
        .map((entries) => new Map(entries)),
    ),
  }));
  return value;
}

function toDict(entries: Array<[string, BenUdpValue]>): BenUdpValue {
  // It makes `__proto__` an own property too.
  return Object.fromEntries(entries) as BenUdpValue;
}

function evaluate(expression: string): unknown {
  return new Function(`return (${expression});`)();
}
