/**
 * Ints and floats, read and printed as Python does.
 */
import type { Cursor } from './cursor.js';

/** A sign, then digits, an optional fraction and an optional exponent; sticky, so it reads in place. */
const NUMBER = /-?(?:(\d+)(\.\d*)?|\.\d+)([eE][+-]?\d+)?/y;

/**
 * Characters that must not follow a number: letters and underscores (`0x1f`, `1_000`, `2j`, `1e`), a second point, and signs, which would
 * make it a complex number or a sum.
 */
const STUCK_TO_NUMBER = /[\w.+-]/y;

export function startsNumber(unit: number): boolean {
  return (unit >= 0x30 && unit <= 0x39) || unit === 0x2d || unit === 0x2e;
}

export function readNumber(cursor: Cursor): number | bigint {
  const { text, position } = cursor;
  NUMBER.lastIndex = position;
  const match = NUMBER.exec(text);
  if (!match) {
    return cursor.failHere();
  }
  const [literal, digits, fraction, exponent] = match;
  const isInt = digits !== undefined && fraction === undefined && exponent === undefined;
  cursor.position += literal.length;
  STUCK_TO_NUMBER.lastIndex = cursor.position;
  if (STUCK_TO_NUMBER.test(text) || (isInt && digits.length > 1 && digits.startsWith('0'))) {
    return cursor.fail('BEN_TEXT_BAD_NUMBER', 'a number in a form that repr never prints', position);
  }
  cursor.isFloat = !isInt;
  if (!isInt) {
    return Number(literal);
  }
  if (digits.length > cursor.limits.maxIntDigits) {
    return cursor.fail(
      'BEN_TEXT_TOO_MANY_DIGITS',
      `an int of more than ${cursor.limits.maxIntDigits} digits`,
      position,
    );
  }
  const int = Number(literal);
  // Python's int has no negative zero.
  return Number.isSafeInteger(int) ? int + 0 : BigInt(literal);
}

/** Prints as `repr` does: integers in the safe range as ints, every other number as a float. */
export function printNumber(value: number): string {
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : printFloat(value);
}

/** Prints a float with the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on. */
export function printFloat(value: number): string {
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  }
  if (value === 0) {
    return Object.is(value, -0) ? '-0.0' : '0.0';
  }
  const [mantissa = '', exponentText = ''] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent >= -4 && exponent < 16) {
    // JavaScript prints a part of this range without an exponent too, from 1e-6 to 1e21.
    const plain = String(value);
    return plain.includes('.') ? plain : `${plain}.0`;
  }
  const sign = exponent < 0 ? '-' : '+';
  return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
}
