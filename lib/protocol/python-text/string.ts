/**
 * str and bytes literals, read and printed as Python does. Both share quotes and escapes; they differ in what a unit
 * may be: any character, or a byte.
 */
import type { Cursor } from './cursor.js';

const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DELETE = 0x7f;

/** The one-letter escapes that `repr` prints, by the letter behind the backslash. */
const SIMPLE_ESCAPES: ReadonlyMap<number, number> = new Map([
  [BACKSLASH, BACKSLASH],
  [QUOTE, QUOTE],
  [DOUBLE_QUOTE, DOUBLE_QUOTE],
  [0x6e, 0x0a], // \n
  [0x72, 0x0d], // \r
  [0x74, 0x09], // \t
]);

/** The hexadecimal escapes that `repr` prints: letter to number of digits. \u and \U are for str alone. */
const HEX_ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x78, 2], // \x
  [0x75, 4], // \u
  [0x55, 8], // \U
]);
const BYTE_HEX_DIGITS = 2;
const LAST_CODE_POINT = 0x10ffff;

export function isQuote(unit: number): boolean {
  return unit === QUOTE || unit === DOUBLE_QUOTE;
}

/** Reads a str literal; the cursor is on its quote. */
export function readString(cursor: Cursor): string {
  const { text } = cursor;
  const quote = openQuote(cursor);
  let value = '';
  let runStart = cursor.position;
  // A variable, not the cursor, for a text is mostly this loop.
  let at = runStart;
  for (;;) {
    const unit = text.charCodeAt(at);
    if (unit === quote || unit === BACKSLASH) {
      value += text.slice(runStart, at);
      cursor.position = at + 1;
      if (unit === quote) {
        return value;
      }
      value += String.fromCodePoint(readEscape(cursor, false));
      runStart = cursor.position;
      at = runStart;
    } else if (unit >= 0x20 && unit !== DELETE) {
      at++;
    } else {
      // repr escapes every control character, so a raw one is not from a device.
      cursor.position = at;
      cursor.failHere();
    }
  }
}

/** Reads a bytes literal; the cursor is on its quote, behind the `b`. */
export function readBytes(cursor: Cursor): Buffer {
  const quote = openQuote(cursor);
  // Every byte takes at least one character, so the rest of the text bounds the length.
  const bytes: number[] = [];
  for (;;) {
    const { unit } = cursor;
    if (unit === quote) {
      cursor.position++;
      // Memory of its own: a handler that returns its `buffer` must not send the rest of Node's shared pool.
      const own = Buffer.alloc(bytes.length);
      own.set(bytes);
      return own;
    }
    if (unit === BACKSLASH) {
      cursor.position++;
      bytes.push(readEscape(cursor, true));
    } else if (unit >= 0x20 && unit < DELETE) {
      cursor.position++;
      bytes.push(unit);
    } else {
      cursor.failHere();
    }
  }
}

/** Steps over the opening quote; refuses a triple quote, which repr never prints. */
function openQuote(cursor: Cursor): number {
  const quote = cursor.unit;
  const { text, position } = cursor;
  if (text.charCodeAt(position + 1) === quote && text.charCodeAt(position + 2) === quote) {
    cursor.position += 2;
    cursor.failHere();
  }
  cursor.position++;
  return quote;
}

/** The code point or byte of the escape whose backslash was just read. */
function readEscape(cursor: Cursor, isBytes: boolean): number {
  const { unit } = cursor;
  const start = cursor.position - 1;
  if (cursor.isAtEnd) {
    cursor.failHere();
  }
  const simple = SIMPLE_ESCAPES.get(unit);
  if (simple !== undefined) {
    cursor.position++;
    return simple;
  }
  const digits = HEX_ESCAPES.get(unit);
  if (digits === undefined || (isBytes && digits !== BYTE_HEX_DIGITS)) {
    return cursor.fail('BEN_TEXT_BAD_ESCAPE', 'an escape that repr never prints', start);
  }
  const digitText = cursor.text.slice(cursor.position + 1, cursor.position + 1 + digits);
  const code = /^[0-9a-fA-F]*$/.test(digitText) ? Number.parseInt(digitText, 16) : NaN;
  if (digitText.length < digits || !(code <= LAST_CODE_POINT)) {
    return cursor.fail('BEN_TEXT_BAD_ESCAPE', `\\${String.fromCharCode(unit)} needs ${digits} hex digits`, start);
  }
  cursor.position += 1 + digits;
  return code;
}

/** Prints a str as MicroPython does up to 1.27, which is CPython's `ascii()`: all that is not printable ASCII escaped. */
export function printString(value: string): string {
  const quote = chooseQuote(value.includes("'"), value.includes('"'));
  let text = '';
  for (const character of value) {
    text += printUnit(character.codePointAt(0)!, quote);
  }
  return quote + text + quote;
}

export function printBytes(value: Uint8Array): string {
  const quote = chooseQuote(value.includes(QUOTE), value.includes(DOUBLE_QUOTE));
  let text = '';
  for (const byte of value) {
    text += printUnit(byte, quote);
  }
  return `b${quote}${text}${quote}`;
}

/** Single quotes, unless that would need escapes which double quotes do not. */
function chooseQuote(hasQuote: boolean, hasDoubleQuote: boolean): string {
  return hasQuote && !hasDoubleQuote ? '"' : "'";
}

function printUnit(code: number, quote: string): string {
  if (code === BACKSLASH || code === quote.charCodeAt(0)) {
    return `\\${String.fromCharCode(code)}`;
  }
  if (code >= 0x20 && code < DELETE) {
    return String.fromCharCode(code);
  }
  switch (code) {
    case 0x0a:
      return '\\n';
    case 0x0d:
      return '\\r';
    case 0x09:
      return '\\t';
  }
  if (code <= 0xff) {
    return `\\x${hex(code, 2)}`;
  }
  return code <= 0xffff ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
