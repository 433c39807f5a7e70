import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_DATAGRAM_BYTES, parseJson } from '../../lib/protocol/index.js';
import { cpuMs, measureGrowth } from '../support/growth.js';

const LONG = '9007199254740993';

describe('parseJson', () => {
  it.each<[string, unknown]>([
    ['9007199254740991', 2 ** 53 - 1],
    ['9007199254740992', 2n ** 53n],
    ['-9007199254740991', -(2 ** 53 - 1)],
    ['-9007199254740992', -(2n ** 53n)],
    ['0000000000000000'.replace(/^0+/, '1000000000000000'), 1e15],
    ['1234567890123456.5', 1234567890123456.5],
    ['1234567890123456789e1', 12345678901234567890],
    ['1234567890123456789E+1', 12345678901234567890],
    [`[-0, ${LONG}]`, [-0, 9007199254740993n]],
    [`[0.10000000000000000, 1e400, ${LONG}]`, [0.1, Infinity, 9007199254740993n]],
    [` { "a" :\t[ true , false ,\r\n null , ${LONG} ] } `, { a: [true, false, null, 9007199254740993n] }],
    [`{"a": {}, "b": [], "c": [[], {}], "d": ${LONG}}`, { a: {}, b: [], c: [[], {}], d: 9007199254740993n }],
    [`{"a": 1, "b": 2, "a": ${LONG}}`, { a: 9007199254740993n, b: 2 }],
    [`{"": ${LONG}}`, { '': 9007199254740993n }],
    [`{"${LONG}": "${LONG}"}`, { [LONG]: LONG }],
    [
      `["\\"", "\\\\", "\\u0022", "\\ud83d\\ude00", "]", "}", ":", "{\\"a\\":1", ${LONG}]`,
      ['"', '\\', '"', '😀', ']', '}', ':', '{"a":1', 9007199254740993n],
    ],
    [`["\\u0069nt:1", ${LONG}]`, ['int:1', 9007199254740993n]],
    [`["int\\u003a1", ${LONG}]`, ['int:1', 9007199254740993n]],
    [
      `["int:1", "int:", "int::x", "\\u0069nt:1", "\\u0069nt:x", ${LONG}]`,
      ['int:1', 'int:', 'int::x', 'int:1', 'int:x', 9007199254740993n],
    ],
  ])('reads %s', (text, value) => {
    expect(parseJson(text)).toStrictEqual(value);
  });

  it('reads __proto__ as a key like any other, as JSON.parse does', () => {
    const value = parseJson(`{"__proto__": {"admin": true}, "constructor": ${LONG}, "toString": 1}`) as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.entries(value)).toStrictEqual([
      ['__proto__', { admin: true }],
      ['constructor', 9007199254740993n],
      ['toString', 1],
    ]);
  });

  it('reads any JSON beside a large int as JSON.parse reads it', () => {
    const texts = fc.oneof(
      fc.json({ stringUnit: 'binary' }),
      fc
        .tuple(fc.jsonValue({ stringUnit: 'binary' }), fc.nat(4))
        .map(([value, spaces]) => JSON.stringify(value, undefined, spaces)),
    );
    fc.assert(
      fc.property(texts, (json) => {
        const [value, long] = parseJson(`[${json},${LONG}]`) as unknown[];
        expect(value).toStrictEqual(JSON.parse(json, reviveLongInts));
        expect(long).toBe(9007199254740993n);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    '',
    '[',
    `[${LONG}`,
    `[${LONG}]]`,
    `{"a": ${LONG},}`,
    `[0${LONG}]`,
    `"${LONG}`,
    `["\\x", ${LONG}]`,
    `nul ${LONG}`,
  ])('throws a SyntaxError for %j', (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });
});

/** For JSON that JSON.stringify has printed, so that an int is printed by its digits up to 1e21. */
function reviveLongInts(_key: string, item: unknown): unknown {
  const isLongInt = Number.isInteger(item) && !Number.isSafeInteger(item) && Math.abs(item as number) < 1e21;
  return isLongInt ? BigInt(String(item)) : item;
}

/** Texts of JSON of about a length, that a careless reader needs quadratic time or a deep stack for. */
const SHAPES: Array<[title: string, make: (length: number) => string]> = [
  ['lists inside each other', (length) => nest('[', ']', length)],
  ['dicts inside each other', (length) => nest('{"a":', '}', length)],
  ['lists in dicts inside each other', (length) => nest('{"a":[', ']}', length)],
  ['many texts that begin with int:', (length) => `[${fill('"int:",', length)}${LONG}]`],
  ['a long row of colons behind int', (length) => `["int${fill(':', length)}",${LONG}]`],
  ['rows of colons, each longer than the one before', (length) => `[${risingColons(length)}${LONG}]`],
  ['many large ints', (length) => `[${fill(`${LONG},`, length)}1]`],
  ['many ints of 640 digits', (length) => `[${fill(`${'9'.repeat(640)},`, length)}1]`],
  ['many small ints', (length) => `[${fill('0,', length)}${LONG}]`],
  ['many floats of many digits', (length) => `[${fill('0.30000000000000004,', length)}${LONG}]`],
  [
    'many keys',
    (length) => `{${Array.from({ length: length / 12 }, (_, index) => `"k${index}":1,`).join('')}"x":${LONG}}`,
  ],
  ['one key many times', (length) => `{${fill('"k":1,', length)}"x":${LONG}}`],
  ['a long text', (length) => `["${fill('x', length)}",${LONG}]`],
  ['many backslashes', (length) => `["${fill('\\\\', length)}",${LONG}]`],
  ['many escapes', (length) => `["${fill('\\u0041', length)}",${LONG}]`],
  ['white space', (length) => `[${fill(' ', length)}${LONG}]`],
  ['lists that are not closed', (length) => `${fill('[', length)}${LONG}`],
  ['a text that is not closed', (length) => `["${fill('\\"', length)}${LONG}`],
];

describe('parseJson of a text as long as a datagram', () => {
  it.each(SHAPES)('takes time in proportion to the length of %s', async (_title, make) => {
    const [short, long] = [make(MAX_DATAGRAM_BYTES / 8 - 40), make(MAX_DATAGRAM_BYTES - 40)];
    expect(long.length).toBeGreaterThan(MAX_DATAGRAM_BYTES * 0.7);
    expect(long.length).toBeLessThanOrEqual(MAX_DATAGRAM_BYTES);
    // 8 times the text takes about 8 times as long. With quadratic growth it takes 64 times as long.
    const limit = 24;
    expect(
      await measureGrowth(
        () => cpuMs(() => tryParse(short)),
        () => cpuMs(() => tryParse(long)),
        limit,
      ),
    ).toBeLessThanOrEqual(limit);
  });

  it('reads lists that are nested as deep as it can hold', () => {
    let value = parseJson(nest('[', ']', MAX_DATAGRAM_BYTES - 40));
    let depth = 0;
    while (Array.isArray(value)) {
      value = value[0] as unknown;
      depth++;
    }
    expect(value).toBe(9007199254740993n);
    expect(depth).toBeGreaterThan(30_000);
  });
});

function tryParse(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    return error;
  }
}

function nest(open: string, close: string, length: number): string {
  const levels = Math.floor((length - LONG.length) / (open.length + close.length));
  return open.repeat(levels) + LONG + close.repeat(levels);
}

function fill(unit: string, length: number): string {
  return unit.repeat(Math.floor((length - LONG.length) / unit.length));
}

function risingColons(length: number): string {
  let text = '';
  for (let colons = 1; text.length + colons + 8 < length - LONG.length; colons++) {
    text += `"int${':'.repeat(colons)}",`;
  }
  return text;
}
