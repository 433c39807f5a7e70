/**
 * What is printed: JSON documents for scripts, and text of others made safe for a terminal.
 */
import { inspect } from 'node:util';
import { escapeUnprintable, excerptOf, printable, printableLine } from '../printable.js';
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
  return printableLine(excerptOf(text, MAX_SHOWN));
}

/** Whether a value has a JSON form. A dict of a device can lack one, and a server can nest lists too deep. */
export function isDocument(value: unknown): boolean {
  try {
    printDocument(value);
    return true;
  } catch {
    return false;
  }
}

/** The report of an error that no command expects. Its message can quote the text of a peer. */
export function describeBug(error: unknown): string {
  return printable(`nestjs-ben-udp: this is a bug, please report it: ${inspect(error)}`);
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
