/**
 * Recorded exchanges as JSON, in the form of test/vectors/upstream-v1.json: runs of exchanges, or exchanges alone, each with its
 * datagrams as hex.
 */
import { MAX_DATAGRAM_BYTES } from '../protocol/index.js';
import { deriveKey } from '../keys/index.js';
import { type RecordedDatagram, type Recording, type Sender, checkRoom, refuseRecording } from './recording.js';

const DIRECTIONS: Readonly<Record<string, Sender>> = { c2s: 'device', s2c: 'server' };

const EXPECTED =
  'a recording is { "runs": [{ "exchanges": [{ "datagrams": [{ "dir": "c2s" or "s2c", "hex": … }] }] }] }';

/**
 * Reads recorded exchanges. `keyfile` beside `runs` or `exchanges` is what the key file held, in hex.
 *
 * @throws BenUdpError `BEN_BAD_RECORDING`.
 */
export function parseJsonRecording(text: string): Recording {
  const document = parse(text);
  const { runs, keyfile } = document;
  const datagrams: RecordedDatagram[] = [];
  const read = (holder: Record<string, unknown>, prefix: string) => {
    for (const [index, exchange] of list(holder['exchanges'], 'exchanges').entries()) {
      readExchange(exchange, `${prefix}exchange ${index + 1}`, datagrams);
    }
  };
  if (runs === undefined) {
    read(document, '');
  } else {
    list(runs, 'runs').forEach((run, index) => read(run, `run ${index + 1}, `));
  }
  return {
    kind: 'json',
    datagrams,
    key: keyfile === undefined ? undefined : deriveKey(readHex(keyfile, 'keyfile')),
    skipped: {},
  };
}

function parse(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuseRecording(`this begins like JSON and is none: ${EXPECTED}`);
  }
  return object(value, 'the document');
}

function readExchange(exchange: Record<string, unknown>, conversation: string, datagrams: RecordedDatagram[]): void {
  for (const [index, { dir, hex }] of list(exchange['datagrams'], `datagrams of ${conversation}`).entries()) {
    const place = `datagram ${index + 1}`;
    const sender = typeof dir === 'string' && Object.hasOwn(DIRECTIONS, dir) ? DIRECTIONS[dir] : undefined;
    checkRoom(datagrams);
    datagrams.push({
      bytes: readHex(hex, `${place} of ${conversation}`),
      sender: sender ?? refuseRecording(`"dir" of ${place} of ${conversation} is neither "c2s" nor "s2c"`),
      conversation,
      place,
      at: undefined,
      isCut: false,
    });
  }
}

function list(value: unknown, what: string): Array<Record<string, unknown>> {
  return Array.isArray(value)
    ? value.map((each: unknown) => object(each, `one of the ${what}`))
    : refuseRecording(`there is no list of ${what}: ${EXPECTED}`);
}

function object(value: unknown, what: string): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : refuseRecording(`${what} is no object: ${EXPECTED}`);
}

function readHex(value: unknown, what: string): Buffer {
  if (typeof value !== 'string' || value.length > 2 * MAX_DATAGRAM_BYTES || !/^(?:[0-9a-f]{2})*$/i.test(value)) {
    return refuseRecording(`${what} is no hex`);
  }
  return Buffer.from(value, 'hex');
}
