/**
 * The request, which is the content of the envelope's `data`: the Python text of a dict with `action`, and optionally `data`, `meta` and
 * `noreturn`.
 */
import { BenUdpProtocolError } from '../errors.js';
import { type Metadata, checkMetadata, readMetadata } from './metadata.js';
import { type PythonTextLimits, type BenUdpValue, parsePythonText, printPythonText } from './python-text/index.js';

/**
 * Names the dict of values in addition to the payload, such as a trace id. Upstream does not have it: its server ignores unknown keys,
 * and its client does not send this one.
 */
export const METADATA_KEY = 'meta';

/**
 * Names the id of a request, which protocol v2 reads: a retry with the same id gets the result of the first one, in any session. Under v1
 * it is a key of the application.
 */
const REQUEST_ID_KEY = 'rid';

/** UTF-16 units of a request id. */
export const MAX_REQUEST_ID_LENGTH = 64;

export interface Request {
  /** Names the handler: any literal; `undefined` if the device sent none. */
  readonly action: BenUdpValue | undefined;
  /** The argument of the handler; `undefined` if the device sent none. */
  readonly data: BenUdpValue | undefined;
  /** Whether the device does not wait for a reply: the key `noreturn` exists. Like upstream, this ignores its value. */
  readonly noreturn: boolean;
  /** Texts in addition to the payload; `undefined` if there are no valid ones. */
  readonly metadata: Metadata | undefined;
  /** Entries of the metadata that were dropped. */
  readonly droppedMetadata: number;
  /** The id of the request as the device sent it, of any type; `undefined` if it sent none. */
  readonly rid: BenUdpValue | undefined;
}

/**
 * Reads a request.
 *
 * @throws BenUdpProtocolError with a `BenUdpTextErrorCode`, or `BEN_BAD_REQUEST` if the text is not a dict.
 */
export function parseRequest(text: string, limits?: PythonTextLimits): Request {
  const dict = parsePythonText(text, limits);
  if (!isDict(dict)) {
    throw new BenUdpProtocolError('BEN_BAD_REQUEST', 'a request is a dict');
  }
  // The dict is a Map if one of its keys is a tuple or bytes.
  const has = (key: string) => (dict instanceof Map ? dict.has(key) : Object.hasOwn(dict, key));
  const get = (key: string) => (has(key) ? (dict instanceof Map ? dict.get(key) : dict[key]) : undefined);
  return {
    action: get('action'),
    data: get('data'),
    noreturn: has('noreturn'),
    ...readMetadata(get(METADATA_KEY)),
    rid: get(REQUEST_ID_KEY),
  };
}

/** A request to send. Members that are `undefined` are omitted. */
export interface OutgoingRequest {
  readonly action: unknown;
  readonly data?: unknown;
  readonly noreturn?: boolean;
  /** A flat record of texts. */
  readonly metadata?: unknown;
  /** The id of the request. */
  readonly rid?: unknown;
}

/**
 * The text that a device sends for a request.
 *
 * @throws BenUdpError `BEN_UNSERIALIZABLE`.
 */
export function formatRequest({ action, data, noreturn, metadata, rid }: OutgoingRequest): string {
  const pairs: Array<[key: string, value: unknown]> = [
    ['action', action],
    ['data', data],
    [METADATA_KEY, metadata === undefined ? undefined : checkMetadata(metadata)],
    ['noreturn', noreturn || undefined],
    [REQUEST_ID_KEY, rid],
  ];
  // A Map, because a function in an object would silently be omitted.
  return printPythonText(new Map(pairs.filter(([, value]) => value !== undefined)));
}

type Dict = { [key: string]: BenUdpValue } | Map<BenUdpValue, BenUdpValue>;

function isDict(value: BenUdpValue | undefined): value is Dict {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Set) &&
    !(value instanceof Uint8Array)
  );
}
