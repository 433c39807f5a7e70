/**
 * The reply, which is the content of datagram 7: JSON, `{"data": <the result of the handler>}`.
 */
import { randomUUID } from 'node:crypto';
import { BenUdpError } from '../errors.js';
import { printJson } from './json-text.js';
import { setOwnProperty } from './own-property.js';
import { sealedLength } from './seal.js';

/**
 * How a device learns of an error.
 * - `null`: `{"data": null, "error": …}`. The upstream client returns `None`.
 * - `text`: `{"error": …}`. Without `data`, the upstream client returns the whole JSON text as a `str`.
 * - `none`: nothing is sent. The upstream client raises `OSError` after its timeout, as with the upstream server.
 */
export type BenUdpErrorReply = 'null' | 'text' | 'none';

/**
 * The text of a reply.
 *
 * @param bufferSize bytes that the device can receive in one datagram.
 * @throws BenUdpError `BEN_UNSERIALIZABLE`, `BEN_REPLY_TOO_LARGE`.
 */
export function formatReply(data: unknown, bufferSize: number): string {
  return checkSize(`{"data":${printJson(data, bufferSize)}}`, bufferSize);
}

/**
 * The text of an error reply.
 *
 * @throws BenUdpError as `formatReply`.
 */
export function formatErrorReply(error: unknown, form: 'null' | 'text', bufferSize: number): string {
  const json = printJson(error, bufferSize);
  return checkSize(form === 'null' ? `{"data":null,"error":${json}}` : `{"error":${json}}`, bufferSize);
}

/**
 * The value that a device gets from a reply: the value under `data`, or the whole text if it is not JSON or has no `data`. Ints beyond
 * ±(2^53 - 1) become `bigint`, as in requests.
 */
export function parseReply(text: string): unknown {
  return dataOf(parseObject(text), text);
}

/** The content of a reply: the result of the handler, or its error. */
export type Reply = { readonly data: unknown } | { readonly error: unknown };

/** As `parseReply`, but recognises an error reply in both of its forms. */
export function readReply(text: string): Reply {
  const reply = parseObject(text);
  const isError = reply && Object.hasOwn(reply, 'error') && (reply['data'] ?? null) === null;
  return isError ? { error: reply['error'] } : { data: dataOf(reply, text) };
}

function dataOf(reply: Record<string, unknown> | undefined, text: string): unknown {
  return reply && Object.hasOwn(reply, 'data') ? reply['data'] : text;
}

/** The object of a JSON text; `undefined` if the text is another value, or not JSON. */
function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = parseJson(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** In valid JSON, matches a whole string, or a whole number with its fraction and exponent. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(\.\d+)?([eE][+-]?\d+)?/g;

/** A number beyond ±(2^53 - 1) has at least this many digits. */
const MANY_DIGITS = /\d{16}/;

/** Begins the strings that stand for bigints while `JSON.parse` runs. A peer can't know it, so no text of a peer begins with it. */
const MARK = `int:${randomUUID()}:`;

/**
 * `JSON.parse` with `bigint`s for ints beyond ±(2^53 - 1). The time is proportional to the length of the text, because a peer chooses
 * the text: `JSON.parse` with a reviver takes seconds for 65 kB of nested lists.
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!MANY_DIGITS.test(text)) {
    return value;
  }
  let isMarked = false;
  const marked = text.replace(STRING_OR_NUMBER, (token, fraction?: string, exponent?: string) => {
    const isInt = !token.startsWith('"') && fraction === undefined && exponent === undefined;
    if (!isInt || Number.isSafeInteger(Number(token))) {
      return token;
    }
    isMarked = true;
    return `"${MARK}${token}"`;
  });
  return isMarked ? unmark(JSON.parse(marked)) : value;
}

/** Replaces the marked strings by bigints. Not recursive, because a peer's nesting could overflow the stack. */
function unmark(value: unknown): unknown {
  const root: Container = [value];
  const open: Container[] = [root];
  for (let container = open.pop(); container; container = open.pop()) {
    for (const key of Object.keys(container)) {
      const item = container[key as never] as unknown;
      if (typeof item === 'string' && item.startsWith(MARK)) {
        setOwnProperty(container as Record<string, unknown>, key, BigInt(item.slice(MARK.length)));
      } else if (typeof item === 'object' && item !== null) {
        open.push(item as Container);
      }
    }
  }
  return root[0];
}

type Container = unknown[] | Record<string, unknown>;

/** A device silently cuts off a longer datagram, and would then fail on half a JSON text. */
function checkSize(text: string, bufferSize: number): string {
  const bytes = sealedLength(Buffer.byteLength(text));
  if (bytes > bufferSize) {
    throw new BenUdpError(
      'BEN_REPLY_TOO_LARGE',
      `the reply takes ${bytes} bytes sealed, but the device's buffer holds ${bufferSize}. Return less, or raise bufferSize on both sides`,
    );
  }
  return text;
}
