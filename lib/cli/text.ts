/**
 * What is printed: JSON documents for scripts, and text of others made safe for a terminal.
 */
import { printJson } from '../protocol/index.js';

/** Characters of one text of a peer that go into a line. */
const MAX_SHOWN = 120;

/** What would move the cursor, change colours, or turn the direction of what follows. */
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;

/**
 * One JSON document on one line. A bigint is printed as its digits, which is JSON, and which a reader without big integers may
 * round; bytes are base64, NaN and infinities null; what is undefined is left out.
 */
export function printDocument(document: unknown): string {
  return printJson(document, Infinity);
}

/** Text of a peer as it may be shown to a person: control characters but line ends and tabs become escapes. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (unit) =>
    unit === '\n' || unit === '\t' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The same on one line, cut where it is long. */
export function excerpt(text: string): string {
  const line = printable(text.slice(0, MAX_SHOWN)).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
  return text.length > MAX_SHOWN ? `${line}… (${text.length} characters)` : line;
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
