/**
 * Texts for log lines. A device may have chosen part of them, so they are quoted, cut and escaped.
 */
import { inspect } from 'node:util';
import { excerptOf } from '../printable.js';

/** Patterns in one log line. */
const MAX_LISTED = 10;

/** Characters of a pattern in a log line. */
const MAX_PATTERN = 100;

/** Characters of an error in a log line. A key holder may have chosen part of its message. */
const MAX_ERROR = 2000;

/** A pattern in quotes, cut, and with everything but printable ASCII escaped. */
export function quotePattern(pattern: string): string {
  return JSON.stringify(pattern.slice(0, MAX_PATTERN)).replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The first ten names, and the number of the others. */
export function listSome(names: readonly string[]): string {
  const distinct = [...new Set(names)];
  const rest = distinct.length - MAX_LISTED;
  return distinct.slice(0, MAX_LISTED).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

/** The stack or message of an error. Its other properties may hold secrets. */
export function describeError(error: unknown): string {
  const { stack, message } = (error ?? {}) as { stack?: unknown; message?: unknown };
  const description = error instanceof Error ? (stack ?? message) : (message ?? error);
  const text = typeof description === 'string' ? description : inspect(description);
  return excerptOf(text, MAX_ERROR);
}
