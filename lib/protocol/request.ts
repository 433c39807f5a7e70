/**
 * The request, what the envelope's `data` opens to: the Python text of a dict with `action`, and where given `data`, `meta`
 * and `noreturn`.
 */
import { BenUdpProtocolError } from '../errors.js';
import { type Metadata, checkMetadata, readMetadata } from './metadata.js';
import { type PythonTextLimits, type BenUdpValue, parsePythonText, printPythonText } from './python-text/index.js';

/**
 * Names the dict of values that travel beside the payload, such as a trace id. Not upstream's: its server does not look at keys
 * it does not know, and its client does not send this one.
 */
export const METADATA_KEY = 'meta';

export interface Request {
  /** Names the handler: any literal; `undefined` where the device sent none. */
  readonly action: BenUdpValue | undefined;
  /** What the handler is called with; `undefined` where the device sent none. */
  readonly data: BenUdpValue | undefined;
  /** Whether the device does not wait for a reply: the key `noreturn` is there. Upstream does not look at its value either. */
  readonly noreturn: boolean;
  /** Travelled beside the payload; `undefined` if there was none, or none that is kept. */
  readonly metadata: Metadata | undefined;
  /** Entries of it that were dropped. */
  readonly droppedMetadata: number;
}

/**
 * Reads a request.
 *
 * @throws BenUdpProtocolError with a `BenUdpTextErrorCode`, or `BEN_BAD_REQUEST` where the text is not a dict.
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
  };
}

/** A request that is to be sent; what is `undefined` is left out. */
export interface OutgoingRequest {
  readonly action: unknown;
  readonly data?: unknown;
  readonly noreturn?: boolean;
  /** A flat record of texts. */
  readonly metadata?: unknown;
}

/**
 * The text a device sends for a request.
 *
 * @throws BenUdpError `BEN_UNSERIALIZABLE`.
 */
export function formatRequest({ action, data, noreturn, metadata }: OutgoingRequest): string {
  const pairs: Array<[key: string, value: unknown]> = [
    ['action', action],
    ['data', data],
    [METADATA_KEY, metadata === undefined ? undefined : checkMetadata(metadata)],
    ['noreturn', noreturn || undefined],
  ];
  // A Map, for from an object a function would be left out in silence.
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
