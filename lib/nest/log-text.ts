/**
 * Texts for log lines. A device may have chosen part of them, so they are quoted, cut and escaped.
 */
import { inspect } from 'node:util';
import { isError } from '../errors.js';
import type { BenUdpRemote } from '../exchange/index.js';
import { formatEndpoint } from '../format-endpoint.js';
import { excerptOf, printableLine, printableName, toEscape } from '../printable.js';

/** Patterns in one log line. */
const MAX_LISTED = 10;

/** Characters of a pattern in a log line. */
const MAX_PATTERN = 100;

/** Characters of an error in a log line. A key holder may have chosen part of its message. */
const MAX_ERROR = 2000;

/** A pattern in quotes, cut, and with everything but printable ASCII escaped. */
export function quotePattern(pattern: string): string {
  return JSON.stringify(pattern.slice(0, MAX_PATTERN)).replaceAll(/[^\x20-\x7e]/g, (unit) =>
    toEscape(unit.charCodeAt(0)),
  );
}

/** The sender of a datagram: its device, if the key has a name, and its address. */
export function describeSender(
  device: string | undefined,
  { address, port }: Pick<BenUdpRemote, 'address' | 'port'>,
): string {
  const endpoint = formatEndpoint(address, port);
  return device === undefined ? endpoint : `${printableName(device)} at ${endpoint}`;
}

/** The first ten names, and the number of further ones. */
export function listSome(names: readonly string[]): string {
  const distinct = [...new Set(names)];
  const rest = distinct.length - MAX_LISTED;
  return distinct.slice(0, MAX_LISTED).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

/**
 * The stack or message of an error. Its other properties may hold secrets. A key holder may have chosen the message, so it stays on one
 * line: further lines could imitate lines of the log.
 */
export function describeError(error: unknown): string {
  const { stack, message } = (error ?? {}) as { stack?: unknown; message?: unknown };
  if (isError(error) && typeof stack === 'string') {
    const lines = stack.split('\n');
    const framesAt = lines.findLastIndex((line) => !line.startsWith('    at ')) + 1;
    const head = printableLine(lines.slice(0, framesAt).join('\n'));
    return excerptOf([head, ...lines.slice(framesAt)].join('\n'), MAX_ERROR);
  }
  const description = message ?? error;
  const text = typeof description === 'string' ? description : inspect(description, { breakLength: Infinity });
  return excerptOf(printableLine(text), MAX_ERROR);
}
