/**
 * The request, what the envelope's `data` opens to: the Python text of a dict with `action`, and where given `data` and
 * `noreturn`.
 */
import { BenProtocolError } from '../ben-udp.errors.js';
import { type PythonTextLimits, type PythonValue, parsePythonText, printPythonText } from './python-text/index.js';

export interface Request {
  /** Names the handler: any literal; `undefined` where the device sent none. */
  readonly action: PythonValue | undefined;
  /** What the handler is called with; `undefined` where the device sent none. */
  readonly data: PythonValue | undefined;
  /** Whether the device does not wait for a reply: the key `noreturn` is there. Upstream does not look at its value either. */
  readonly noreturn: boolean;
}

/**
 * Reads a request.
 *
 * @throws BenProtocolError with a `PythonTextErrorCode`, or `BEN_BAD_REQUEST` where the text is not a dict.
 */
export function parseRequest(text: string, limits?: PythonTextLimits): Request {
  const dict = parsePythonText(text, limits);
  if (!isDict(dict)) {
    throw new BenProtocolError('BEN_BAD_REQUEST', 'a request is a dict');
  }
  // The dict is a Map where one of its keys is no string.
  return dict instanceof Map
    ? { action: dict.get('action'), data: dict.get('data'), noreturn: dict.has('noreturn') }
    : { action: dict['action'], data: dict['data'], noreturn: 'noreturn' in dict };
}

/**
 * The text a device sends for a request.
 *
 * @throws BenUdpError `BEN_UNSERIALIZABLE`.
 */
export function formatRequest(request: { action: unknown; data?: unknown; noreturn?: boolean }): string {
  const { action, data, noreturn } = request;
  return printPythonText({ action, data, noreturn: noreturn || undefined });
}

type Dict = { [key: string]: PythonValue } | Map<PythonValue, PythonValue>;

function isDict(value: PythonValue): value is Dict {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Set) &&
    !(value instanceof Uint8Array)
  );
}
