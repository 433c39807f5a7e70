/**
 * Reads Python text: the literals that `repr` of CPython and MicroPython prints, and only a few of the others that `ast.literal_eval`
 * accepts. docs/python-text.md has the rule for each form.
 *
 *     value := 'None' | 'True' | 'False' | 'nan' | 'inf' | '-nan' | '-inf' | 'set()' | 'bytearray(' bytes ')'
 *            | number | str | bytes | '[' items ']' | '(' items ')' | '{' items '}' | '{' pairs '}'
 *     bytes := 'b' str
 */
import { setOwnProperty } from '../own-property.js';
import { Cursor } from './cursor.js';
import { nameOfKey } from './key-name.js';
import { readNumber, startsNumber } from './number.js';
import { isQuote, readBytes, readString } from './string.js';
import { markForTransformers } from './marked-map.js';
import { PYTHON_TEXT_LIMITS, type PythonTextLimits, type BenUdpValue, equalityKey } from './value.js';

const SET_CALL = 'set()';
const BYTEARRAY_CALL = 'bytearray(';
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_PAREN = 0x28;
const CLOSE_PAREN = 0x29;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const COLON = 0x3a;
const COMMA = 0x2c;
const LOWER_B = 0x62;
const MINUS = 0x2d;

/** Words that are values. MicroPython prints the float of a broken sensor as a bare `nan` or `inf`. */
const WORDS: ReadonlyMap<string, BenUdpValue> = new Map<string, BenUdpValue>([
  ['None', null],
  ['True', true],
  ['False', false],
  ['nan', NaN],
  ['inf', Infinity],
  ['-nan', NaN],
  ['-inf', -Infinity],
]);

/** The words of JSON for values of Python: a board sends them if its program uses `json.dumps` instead of `str`. */
const JSON_WORDS: ReadonlyMap<string, string> = new Map([
  ['true', 'True'],
  ['false', 'False'],
  ['null', 'None'],
]);

/**
 * The value of a Python text.
 *
 * @throws BenUdpProtocolError with a `BenUdpTextErrorCode` and the position.
 */
export function parsePythonText(text: string, limits: PythonTextLimits = PYTHON_TEXT_LIMITS): BenUdpValue {
  const cursor = new Cursor(text, limits);
  if (text.length > limits.maxLength) {
    return cursor.fail('BEN_TEXT_TOO_LONG', `more than ${limits.maxLength} characters`);
  }
  cursor.skipWhiteSpace();
  const value = readValue(cursor, 0, false);
  cursor.skipWhiteSpace();
  if (!cursor.isAtEnd) {
    return cursor.fail('BEN_TEXT_TRAILING', 'text after the literal');
  }
  return value;
}

/** @param mustHash whether the value is a dict key or a set element, or inside one. */
function readValue(cursor: Cursor, depth: number, mustHash: boolean): BenUdpValue {
  if (++cursor.nodes > cursor.limits.maxNodes) {
    return cursor.fail('BEN_TEXT_TOO_MANY_NODES', `more than ${cursor.limits.maxNodes} values`);
  }
  const { unit } = cursor;
  if (isQuote(unit)) {
    return readString(cursor);
  }
  if (unit === OPEN_BRACKET || unit === OPEN_PAREN || unit === OPEN_BRACE) {
    checkContainer(cursor, depth, mustHash && unit !== OPEN_PAREN);
    cursor.position++;
    switch (unit) {
      case OPEN_BRACKET:
        return readItems(cursor, CLOSE_BRACKET, depth + 1, false);
      case OPEN_PAREN:
        return readTuple(cursor, depth + 1, mustHash);
      default:
        return readDictOrSet(cursor, depth + 1);
    }
  }
  if (unit === LOWER_B && isQuote(cursor.text.charCodeAt(cursor.position + 1))) {
    cursor.position++;
    return readBytes(cursor);
  }
  if (startsNumber(unit) && !isSignedWord(cursor)) {
    return readNumber(cursor);
  }
  return readWord(cursor, depth, mustHash);
}

/** Refuses a container that is too deep, or that Python would have to hash and can't. */
function checkContainer(cursor: Cursor, depth: number, isUnhashable: boolean): void {
  checkHashable(cursor, isUnhashable);
  if (depth === cursor.limits.maxDepth) {
    cursor.fail('BEN_TEXT_TOO_DEEP', `more than ${cursor.limits.maxDepth} levels`);
  }
}

function checkHashable(cursor: Cursor, isUnhashable: boolean): void {
  if (isUnhashable) {
    cursor.fail('BEN_TEXT_UNHASHABLE', "a key or set element that Python can't hash");
  }
}

function isSignedWord(cursor: Cursor): boolean {
  return cursor.unit === MINUS && isLetter(cursor.text.charCodeAt(cursor.position + 1));
}

function readWord(cursor: Cursor, depth: number, mustHash: boolean): BenUdpValue {
  const { text, position } = cursor;
  let end = position;
  if (text.charCodeAt(end) === MINUS) {
    end++;
  }
  while (isLetter(text.charCodeAt(end))) {
    end++;
  }
  if (end === position) {
    return cursor.failHere();
  }
  const word = text.slice(position, end);
  const value = WORDS.get(word);
  if (value !== undefined) {
    cursor.position = end;
    return value;
  }
  if (text.startsWith(SET_CALL, position)) {
    checkContainer(cursor, depth, mustHash);
    cursor.position += SET_CALL.length;
    return new Set();
  }
  if (text.startsWith(BYTEARRAY_CALL, position)) {
    checkHashable(cursor, mustHash);
    cursor.position += BYTEARRAY_CALL.length;
    return readByteArray(cursor);
  }
  const python = JSON_WORDS.get(word);
  return cursor.fail(
    'BEN_TEXT_UNEXPECTED_NAME',
    python === undefined ? 'a word that is not a literal' : `"${word}" (JSON? Python writes ${python})`,
  );
}

/** MicroPython prints a `bytearray` in this form: the address of a DS18x20, for example. The cursor is after the parenthesis. */
function readByteArray(cursor: Cursor): BenUdpValue {
  if (!cursor.take(LOWER_B) || !isQuote(cursor.unit)) {
    return cursor.failHere();
  }
  const bytes = readBytes(cursor);
  return cursor.take(CLOSE_PAREN) ? bytes : cursor.failHere();
}

function isLetter(unit: number): boolean {
  return (unit >= 0x61 && unit <= 0x7a) || (unit >= 0x41 && unit <= 0x5a) || unit === 0x5f;
}

/** Values up to `close`, separated by commas, after those that were read before. One comma may stand before `close`. */
function readItems(
  cursor: Cursor,
  close: number,
  depth: number,
  mustHash: boolean,
  items: BenUdpValue[] = [],
): BenUdpValue[] {
  cursor.skipWhiteSpace();
  while (!cursor.take(close)) {
    items.push(readValue(cursor, depth, mustHash));
    readSeparator(cursor, close);
  }
  return items;
}

/** Steps over a comma, or stays on `close`. */
function readSeparator(cursor: Cursor, close: number): void {
  cursor.skipWhiteSpace();
  if (cursor.take(COMMA)) {
    cursor.skipWhiteSpace();
  } else if (cursor.unit !== close) {
    cursor.failHere();
  }
}

/** A tuple. Around one value without a comma, parentheses only group, as in Python. */
function readTuple(cursor: Cursor, depth: number, mustHash: boolean): BenUdpValue {
  cursor.skipWhiteSpace();
  if (cursor.take(CLOSE_PAREN)) {
    return [];
  }
  const first = readValue(cursor, depth, mustHash);
  cursor.skipWhiteSpace();
  if (cursor.take(CLOSE_PAREN)) {
    return first;
  }
  readSeparator(cursor, CLOSE_PAREN);
  return readItems(cursor, CLOSE_PAREN, depth, mustHash, [first]);
}

function readDictOrSet(cursor: Cursor, depth: number): BenUdpValue {
  cursor.skipWhiteSpace();
  if (cursor.take(CLOSE_BRACE)) {
    return {};
  }
  const start = cursor.position;
  const first = readValue(cursor, depth, true);
  cursor.skipWhiteSpace();
  if (cursor.unit === COLON) {
    return readDict(cursor, depth, first, start);
  }
  readSeparator(cursor, CLOSE_BRACE);
  return toSet(readItems(cursor, CLOSE_BRACE, depth, true, [first]));
}

/** The rest of a dict. The cursor is on the colon after its first key. */
function readDict(cursor: Cursor, depth: number, firstKey: BenUdpValue, firstStart: number): BenUdpValue {
  const entries = new Map<BenUdpValue, BenUdpValue>();
  /** Keys that are not strings. Two of them are equal if their texts are equal. */
  const others = new Set<string>();
  /** The keys as `json.dumps` writes them; `undefined` after a key that JSON can't have. */
  let names: string[] | undefined = [];
  let key = firstKey;
  let start = firstStart;
  for (;;) {
    const name = nameOfKey(key, cursor.isFloat);
    names = name === undefined ? undefined : names;
    names?.push(name!);
    if (!cursor.take(COLON)) {
      cursor.failHere();
    }
    cursor.skipWhiteSpace();
    if (isAmong(key, entries, others)) {
      cursor.fail('BEN_TEXT_DUPLICATE_KEY', 'a duplicate key', start);
    }
    entries.set(key, readValue(cursor, depth, false));
    readSeparator(cursor, CLOSE_BRACE);
    if (cursor.take(CLOSE_BRACE)) {
      return names ? toRecord(names, entries) : markForTransformers(entries);
    }
    start = cursor.position;
    key = readValue(cursor, depth, true);
    cursor.skipWhiteSpace();
  }
}

/** Whether a dict has a key already. A string only equals itself; other keys are compared in `others`. */
function isAmong(key: BenUdpValue, entries: ReadonlyMap<BenUdpValue, BenUdpValue>, others: Set<string>): boolean {
  if (typeof key === 'string') {
    return entries.has(key);
  }
  const identity = equalityKey(key);
  const isKnown = others.has(identity);
  others.add(identity);
  return isKnown;
}

/** The first of each group of equal elements, as in Python. */
function toSet(items: BenUdpValue[]): BenUdpValue {
  const elements = new Map<string, BenUdpValue>();
  for (const item of items) {
    const key = equalityKey(item);
    if (!elements.has(key)) {
      elements.set(key, item);
    }
  }
  return new Set(elements.values());
}

/** An ordinary object, as from `JSON.parse`. If two keys have one name, the last one wins, as there. */
function toRecord(names: readonly string[], entries: ReadonlyMap<BenUdpValue, BenUdpValue>): BenUdpValue {
  const record: { [key: string]: BenUdpValue } = {};
  let index = 0;
  for (const value of entries.values()) {
    setOwnProperty(record, names[index++]!, value);
  }
  return record;
}
