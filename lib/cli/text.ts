/**
 * Printed text: JSON documents for scripts, and texts of peers that are safe for a terminal.
 */
import { inspect } from 'node:util';
import { escapeUnprintable, excerptOf, printable, printableLine } from '../printable.js';
import { printJson } from '../protocol/index.js';

/** The program as an installed package runs it, for hints that can be copied. */
export const PROGRAM = 'npx nestjs-ben-udp';

/** Longest excerpt of a peer's text in a line. */
const MAX_SHOWN = 120;

/**
 * One JSON document on one line. A bigint is printed as its digits: that is JSON, but a reader without big integers rounds it. Bytes
 * are base64. NaN and infinities are null. Undefined members are left out.
 */
export function printDocument(document: unknown): string {
  // JSON leaves most of these characters as they are, and a terminal acts on them.
  return escapeUnprintable(printJson(document, Infinity));
}

/** The text of a peer on one line, cut if it is long. */
export function excerpt(text: string): string {
  return printableLine(excerptOf(text, MAX_SHOWN));
}

/** Whether a value has a JSON form. A dict of a device may have none, and a server may nest lists too deeply. */
export function isDocument(value: unknown): boolean {
  try {
    printDocument(value);
    return true;
  } catch {
    return false;
  }
}

/** The report of an unexpected error. Its message can quote the text of a peer. */
export function describeBug(error: unknown): string {
  return printable(`nestjs-ben-udp: this is a bug, please report it: ${inspect(error)}`);
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** The value that a share of the sorted numbers does not exceed; NaN without numbers. */
export function percentile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? NaN;
}
