/**
 * What is printed: JSON documents for scripts, and text of others made safe for a terminal.
 */
import { escapeUnprintable, printable } from '../printable.js';
import { printJson } from '../protocol/index.js';

/** Characters of one text of a peer that go into a line. */
const MAX_SHOWN = 120;

/**
 * One JSON document on one line. A bigint is printed as its digits, which is JSON, and which a reader without big integers may
 * round; bytes are base64, NaN and infinities null; what is undefined is left out.
 */
export function printDocument(document: unknown): string {
  // JSON leaves most of these as they are, and a terminal acts on them.
  return escapeUnprintable(printJson(document, Infinity));
}

/** Text of a peer on one line, cut if it is long. */
export function excerpt(text: string): string {
  const line = printable(text.slice(0, MAX_SHOWN)).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
  return text.length > MAX_SHOWN ? `${line}… (${text.length} characters)` : line;
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
