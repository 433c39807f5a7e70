/**
 * The reply, what datagram 7 opens to: JSON, `{"data": <what the handler returned>}`.
 */
import { BenUdpError } from '../ben-udp.errors.js';
import { printJson } from './json-text.js';
import { sealedLength } from './seal.js';

/**
 * How an error is told to a device.
 * - `null`: `{"data": null, "error": …}`. The upstream client returns `None`.
 * - `text`: `{"error": …}`. Without `data` the upstream client returns the whole JSON text as a `str`.
 * - `none`: nothing. The upstream client raises `OSError` after its timeout, as with the upstream server.
 */
export type ErrorReply = 'null' | 'text' | 'none';

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
 * What a device makes of a reply: the value under `data`; the whole text where it is no JSON, or an object without `data`.
 * Ints beyond ±(2^53 - 1) become `bigint`, as in requests.
 */
export function parseReply(text: string): unknown {
  return dataOf(parseObject(text), text);
}

/** What a reply says: what the handler returned, or how it failed. */
export type Reply = { readonly data: unknown } | { readonly error: unknown };

/** As `parseReply`, but knows an error reply, in both of its forms. */
export function readReply(text: string): Reply {
  const reply = parseObject(text);
  const isError = reply && Object.hasOwn(reply, 'error') && (reply['data'] ?? null) === null;
  return isError ? { error: reply['error'] } : { data: dataOf(reply, text) };
}

function dataOf(reply: Record<string, unknown> | undefined, text: string): unknown {
  return reply && Object.hasOwn(reply, 'data') ? reply['data'] : text;
}

/** The object that a JSON text stands for; `undefined` where it stands for something else, or is no JSON. */
function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = parseJson(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** In valid JSON: a whole string, or a whole number with what makes it a float. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(\.\d+)?([eE][+-]?\d+)?/g;

/**
 * `JSON.parse` with `bigint`s for ints beyond ±(2^53 - 1).
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!/\d{16}/.test(text)) {
    return value;
  }
  let mark = 'int:';
  while (text.includes(mark)) {
    mark += ':';
  }
  const marked = text.replace(STRING_OR_NUMBER, (token, fraction?: string, exponent?: string) => {
    const isInt = !token.startsWith('"') && fraction === undefined && exponent === undefined;
    return isInt && !Number.isSafeInteger(Number(token)) ? `"${mark}${token}"` : token;
  });
  return JSON.parse(marked, (_key, item: unknown) =>
    typeof item === 'string' && item.startsWith(mark) ? BigInt(item.slice(mark.length)) : item,
  );
}

/** A device cuts off a longer datagram silently, and would then fail on half a JSON text. */
function checkSize(text: string, bufferSize: number): string {
  const bytes = sealedLength(Buffer.byteLength(text));
  if (bytes > bufferSize) {
    throw new BenUdpError(
      'BEN_REPLY_TOO_LARGE',
      `the reply takes ${bytes} bytes sealed; the device's buffer holds ${bufferSize}`,
    );
  }
  return text;
}
