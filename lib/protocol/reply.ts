/**
 * The reply, which is the content of datagram 7: JSON, `{"data": <the result of the handler>}`.
 */
import { BenUdpError } from '../errors.js';
import { printJson } from './json-text.js';
import { parseJson } from './parse-json.js';
import { sealedLength } from './seal.js';

/**
 * The reply to a failed request.
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

/** Whether a text has the form of a reply: a JSON object. */
export function isReplyText(text: string): boolean {
  try {
    JSON.parse(text);
    return text.startsWith('{');
  } catch {
    return false;
  }
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
