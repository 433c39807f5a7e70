/**
 * All errors that this package throws on purpose, with their codes.
 * Messages name the expected value. They never hold the bytes of a key, an id or a payload.
 */

import { types } from 'node:util';
import { brand } from './brand.js';

/** The closed list of error codes. Match on `error.code`, not on the message. */
export type BenUdpErrorCode =
  /** A key file does not exist. */
  | 'BEN_KEY_FILE_MISSING'
  /** A key file could not be read or written; `cause` holds the error of the system. */
  | 'BEN_KEY_FILE_IO'
  /** The key directory can't be read, or holds no key file. */
  | 'BEN_KEY_DIRECTORY'
  /** `keyProvider` failed, or returned no key; `cause` holds its error. */
  | 'BEN_KEY_PROVIDER'
  /** The path of a key file names a folder, a pipe or a device. */
  | 'BEN_KEY_FILE_NOT_A_FILE'
  /** A key file holds fewer than 32 bytes. */
  | 'BEN_KEY_FILE_TOO_SHORT'
  /** A key file holds more than 64 KiB. */
  | 'BEN_KEY_FILE_TOO_LARGE'
  /** Other users of the machine can read a key file. */
  | 'BEN_KEY_FILE_READABLE_BY_OTHERS'
  /** A new key would have overwritten an existing file. */
  | 'BEN_KEY_FILE_EXISTS'
  /** The same key was configured twice, so it can't identify a device. */
  | 'BEN_KEY_DUPLICATE'
  /** `listen` was called on a transport that listens already. */
  | 'BEN_ALREADY_LISTENING'
  /** A value can't be written as JSON or as Python text. */
  | 'BEN_UNSERIALIZABLE'
  /** A reply does not fit into the buffer of the device. */
  | 'BEN_REPLY_TOO_LARGE'
  /** The peer did not send the next datagram in time. */
  | 'BEN_TIMEOUT'
  /** The hash of a reply does not match: another key, another exchange, or a forgery. */
  | 'BEN_BAD_REPLY'
  /** A request verified, but its content is not a request dict. */
  | 'BEN_BAD_REQUEST'
  /** The client was closed before the request had ended. */
  | 'BEN_CLOSED'
  /** More requests wait for a socket than `maxQueue` allows. */
  | 'BEN_QUEUE_FULL'
  /** A request does not fit into the buffer of the server. Nothing was sent. */
  | 'BEN_REQUEST_TOO_LARGE'
  /** Another process uses the address and port of a server; `cause` holds the error of the system. */
  | 'BEN_ADDRESS_IN_USE'
  /** The option `reusePort` needs another version of Node, or Linux. */
  | 'BEN_REUSE_PORT_UNSUPPORTED'
  /** A socket could not be bound, or the system refused a datagram; `cause` holds the error of the system. */
  | 'BEN_SOCKET'
  /** No program listens on the server's port: the server runs elsewhere, or not at all. Protocol v2: the server refused the request. */
  | 'BEN_REFUSED'
  /** The name of a host could not be resolved; `cause` holds the system's error. */
  | 'BEN_HOST_UNKNOWN'
  /** A recording of datagrams that can't be read: neither hex nor a capture. */
  | 'BEN_BAD_RECORDING'
  /** Python text that is not one of the accepted literals; see `position`. */
  | BenUdpTextErrorCode;

/** The reason why a Python text was refused. */
export type BenUdpTextErrorCode =
  /** The text ends inside a literal. */
  | 'BEN_TEXT_UNEXPECTED_END'
  /** A character that can't start or continue a literal here. */
  | 'BEN_TEXT_UNEXPECTED_CHARACTER'
  /** A word other than None, True, False, nan, inf and set(). */
  | 'BEN_TEXT_UNEXPECTED_NAME'
  /** A number in a form that `repr` never prints (hex, underscores, leading zeros, complex). */
  | 'BEN_TEXT_BAD_NUMBER'
  /** An escape that `repr` never prints. */
  | 'BEN_TEXT_BAD_ESCAPE'
  /** A key or set element that Python can't hash (list, dict, set). */
  | 'BEN_TEXT_UNHASHABLE'
  /** A dict has the same key twice. */
  | 'BEN_TEXT_DUPLICATE_KEY'
  /** There is text after the literal. */
  | 'BEN_TEXT_TRAILING'
  /** Nested deeper than the limit. */
  | 'BEN_TEXT_TOO_DEEP'
  /** More values than the limit. */
  | 'BEN_TEXT_TOO_MANY_NODES'
  /** An int with more digits than the limit. */
  | 'BEN_TEXT_TOO_MANY_DIGITS'
  /** Longer than the limit. */
  | 'BEN_TEXT_TOO_LONG';

/** Base of all errors of this package: a stable `code`, and `cause` if another error led to it. */
export class BenUdpError extends Error {
  static {
    brand(this, 'BenUdpError');
  }

  override readonly name: string = 'BenUdpError';

  constructor(
    readonly code: BenUdpErrorCode,
    message: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

/** A peer's bytes or text that do not follow the protocol. */
export class BenUdpProtocolError extends BenUdpError {
  static {
    brand(this, 'BenUdpProtocolError');
  }

  override readonly name = 'BenUdpProtocolError';

  constructor(
    code: BenUdpErrorCode,
    message: string,
    /** Index into the text, in UTF-16 units; `undefined` if the error concerns the whole text. */
    readonly position?: number,
  ) {
    super(code, message);
  }
}

/** The progress of a request. */
export type BenUdpRequestStep =
  /** It waited for a socket; nothing was sent. */
  | 'waiting'
  /** The hello was sent. The server knows nothing of the request. */
  | 'hello'
  /** The sealed id arrived, but not its IV. The server knows nothing of the request. */
  | 'id'
  /** The request was sent. Its handler may have run. */
  | 'request'
  /** Part of the reply arrived. */
  | 'reply';

/** The facts about a failed request. */
export interface BenUdpRequestFacts {
  /** The action: the string itself, or the route of an object pattern. */
  readonly pattern: string;
  /** The server, as the options name it. */
  readonly peer: { readonly host: string; readonly port: number };
  /** The progress of the last attempt. */
  readonly step: BenUdpRequestStep;
  /** Milliseconds since the request was made, including the time in the queue. */
  readonly elapsedMs: number;
  /** Exchanges that were begun; 0 if nothing was sent. */
  readonly attempts: number;
}

/** A request that failed. */
export class BenUdpRequestError extends BenUdpError implements BenUdpRequestFacts {
  static {
    brand(this, 'BenUdpRequestError');
  }

  override readonly name = 'BenUdpRequestError';
  readonly pattern: string;
  readonly peer: { readonly host: string; readonly port: number };
  readonly step: BenUdpRequestStep;
  readonly elapsedMs: number;
  readonly attempts: number;

  constructor(
    code: BenUdpErrorCode,
    message: string,
    facts: BenUdpRequestFacts,
    options?: { readonly cause?: unknown },
  ) {
    super(code, message, options);
    this.pattern = facts.pattern;
    this.peer = facts.peer;
    this.step = facts.step;
    this.elapsedMs = facts.elapsedMs;
    this.attempts = facts.attempts;
  }
}

/** Whether a value is an error, also of another realm: Jest runs specs in a realm of their own, and errors of Node come from outside. */
export function isError(value: unknown): value is Error {
  return value instanceof Error || types.isNativeError(value);
}
