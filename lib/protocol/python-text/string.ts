/**
 * str and bytes literals, read and printed as Python does. Both have the same quotes and escapes, but a unit is a character in one and
 * a byte in the other.
 */
import type { Cursor } from './cursor.js';

const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const DELETE = 0x7f;

/** The one-letter escapes that `repr` prints: the letter after the backslash, and its unit. The envelope has the same ones. */
export const SIMPLE_ESCAPES: ReadonlyMap<number, number> = new Map([
  [BACKSLASH, BACKSLASH],
  [QUOTE, QUOTE],
  [DOUBLE_QUOTE, DOUBLE_QUOTE],
  [0x6e, 0x0a], // \n
  [0x72, 0x0d], // \r
  [0x74, 0x09], // \t
]);

/** The control characters among them, as they are printed. */
const CONTROL_ESCAPES: ReadonlyMap<number, string> = new Map(
  [...SIMPLE_ESCAPES]
    .filter(([, unit]) => unit < SPACE)
    .map(([letter, unit]) => [unit, `\\${String.fromCharCode(letter)}`]),
);

/** The hexadecimal escapes that `repr` prints: letter to number of digits. Only a str has \u and \U. */
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
  // A variable instead of the cursor, because this loop takes most of the time of a text.
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
      // repr escapes every control character, so a raw one does not come from a device.
      cursor.position = at;
      cursor.failHere();
    }
  }
}

/** Reads a bytes literal. The cursor is on its quote, after the `b`. */
export function readBytes(cursor: Cursor): Buffer {
  const quote = openQuote(cursor);
  // Each byte takes at least one character, so the rest of the text bounds the length.
  const bytes: number[] = [];
  for (;;) {
    const { unit } = cursor;
    if (unit === quote) {
      cursor.position++;
      return toOwnBuffer(bytes);
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

/** A method that printers, loops and comparisons do not see. */
const COPIED_BY_VALUE = {
  value(this: Buffer): ArrayBufferLike {
    return this.buffer.slice(this.byteOffset, this.byteOffset + this.byteLength);
  },
};

/**
 * A separate allocation: a handler that returns its `buffer` must not send the rest of Node's shared pool. `Buffer.from(bytes)` would copy
 * them into that pool, and class-transformer does that in each `ValidationPipe`. But Node copies the result of `valueOf` instead, if it
 * is another object, and makes no copy of an ArrayBuffer. So such a copy is a separate allocation too; a copy of that copy is not.
 */
function toOwnBuffer(bytes: readonly number[]): Buffer {
  const own = Buffer.alloc(bytes.length);
  own.set(bytes);
  return Object.defineProperty(own, 'valueOf', COPIED_BY_VALUE);
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

/** Prints a str as MicroPython up to 1.27 does, which is CPython's `ascii()`: everything but printable ASCII is escaped. */
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

/** Single quotes, unless only they would need escapes. */
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
  const letter = CONTROL_ESCAPES.get(code);
  if (letter !== undefined) {
    return letter;
  }
  if (code <= 0xff) {
    return `\\x${hex(code, 2)}`;
  }
  return code <= 0xffff ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
