/**
 * Options of the virtual board: what they mean, and one function that checks them and fills in defaults.
 */
import { isIP } from 'node:net';
import { DEFAULT_BUFFER_SIZE, DEFAULT_SERVER_HOST, DEFAULT_TIMEOUT_MS, MAX_OPTION_MS } from '../constants.js';
import { OptionReader } from '../option-reader.js';
import { ENVELOPE_KEYS, type EnvelopeKey, MAX_DATAGRAM_BYTES } from '../protocol/index.js';

/** Options of `VirtualBoard`. What is left out is as on a board without faults and with memory to spare. */
export interface VirtualBoardOptions {
  /** What the key file on the board holds. Another one than the server's makes it a stranger. */
  key: Uint8Array;
  /** The server's port, 1 to 65535. */
  port: number;
  /** The server's address or name. Default `127.0.0.1`. */
  host?: string;
  /** Milliseconds to wait for each datagram, 1 to 86400000. Default 10000, as upstream. */
  timeout?: number;
  /** Bytes it can receive in one datagram, 1 to 65507; longer ones are cut off. Default 4096, as upstream. */
  bufferSize?: number;
  /** Its own IP address; any of 127.0.0.0/8 is a board of its own. Default `127.0.0.1`. */
  localAddress?: string;
  /** Its own port, 0 to 65535; upstream's client takes the server's port number. Default 0, any free one. */
  localPort?: number;
  /** Order of the envelope's keys, arbitrary on a board. Default hash, data, iv. */
  keyOrder?: readonly EnvelopeKey[];
  /**
   * Unread datagrams that its socket holds, 1 to 1024; what comes then is dropped. Default 1024. ESP8266 and Pico W firmware
   * before MicroPython 1.26 holds 1, ESP32 firmware 6.
   */
  receiveSlots?: number;
  /**
   * Milliseconds from the arrival of a datagram until the board has taken it out of its socket, 0 to 1000. Default 0; 2 where
   * `receiveSlots` is set, for a board that is infinitely fast needs no second slot.
   */
  readDelay?: number;
  /** Datagrams that lie unread in its socket from the beginning: remains of what went wrong earlier. Default none. */
  leftovers?: readonly Uint8Array[];
  /** What goes wrong on its network. Default nothing. */
  faults?: VirtualBoardFaults;
}

/** Faults, each as the chance from 0 to 1 that it befalls a datagram. The same seed brings the same ones in the same places. */
export interface VirtualBoardFaults {
  /** A datagram is lost. Default 0. */
  loss?: number;
  /** A datagram arrives twice. Default 0. */
  duplicate?: number;
  /** A datagram arrives 20 ms late, so those that follow overtake it. Default 0. */
  reorder?: number;
  /** The board works with a wrong key for one whole exchange. Default 0. */
  wrongKey?: number;
  /** Longest delay of a datagram in milliseconds, 0 to 60000; each takes from nothing to that, in order. Default 0. */
  delay?: number;
  /** Which datagrams loss, duplicate, reorder and delay are for: `to-server`, `to-board` or `both` (default). */
  direction?: FaultDirection;
  /** 0 to 4294967295. Default 1. */
  seed?: number;
}

/** Which datagrams a fault strikes. */
export type FaultDirection = 'to-server' | 'to-board' | 'both';

const OPTION_NAMES = [
  'key',
  'port',
  'host',
  'timeout',
  'bufferSize',
  'localAddress',
  'localPort',
  'keyOrder',
  'receiveSlots',
  'readDelay',
  'leftovers',
  'faults',
] as const;

const FAULT_NAMES = ['loss', 'duplicate', 'reorder', 'wrongKey', 'delay', 'direction', 'seed'] as const;

const MAX_RECEIVE_SLOTS = 1024;

/** Where slots are few, some time to read is what makes them too few. */
const SLOW_READ_MS = 2;

export type ResolvedBoardFaults = Readonly<Required<VirtualBoardFaults>>;

export type ResolvedBoardOptions = Readonly<Required<VirtualBoardOptions>> & { readonly faults: ResolvedBoardFaults };

/** @throws TypeError, RangeError naming the option. */
export function resolveBoardOptions(options: VirtualBoardOptions): ResolvedBoardOptions {
  const reader = new OptionReader('VirtualBoard', options, OPTION_NAMES);
  const { key, leftovers = [], keyOrder = ENVELOPE_KEYS } = options;
  if (!isBytes(key)) {
    reader.fail('key', 'bytes, what the key file holds', key);
  }
  if (!Array.isArray(leftovers) || !leftovers.every(isBytes)) {
    reader.fail('leftovers', 'an array of bytes', leftovers);
  }
  if (!Array.isArray(keyOrder) || keyOrder.toSorted().join() !== ENVELOPE_KEYS.toSorted().join()) {
    reader.fail('keyOrder', `${ENVELOPE_KEYS.join(', ')} in any order`, keyOrder);
  }
  const localAddress = reader.string('localAddress', '127.0.0.1');
  if (isIP(localAddress) === 0) {
    reader.fail('localAddress', 'an IP address', localAddress);
  }
  return {
    key,
    leftovers,
    keyOrder,
    localAddress,
    port: reader.integer('port', undefined, 1, 65_535),
    host: reader.string('host', DEFAULT_SERVER_HOST),
    timeout: reader.integer('timeout', DEFAULT_TIMEOUT_MS, 1, MAX_OPTION_MS),
    bufferSize: reader.integer('bufferSize', DEFAULT_BUFFER_SIZE, 1, MAX_DATAGRAM_BYTES),
    localPort: reader.integer('localPort', 0, 0, 65_535),
    receiveSlots: reader.integer('receiveSlots', MAX_RECEIVE_SLOTS, 1, MAX_RECEIVE_SLOTS),
    readDelay: reader.integer('readDelay', options.receiveSlots === undefined ? 0 : SLOW_READ_MS, 0, 1000),
    faults: resolveFaults(reader.object('faults')),
  };
}

function resolveFaults(faults: VirtualBoardFaults = {}): ResolvedBoardFaults {
  const reader = new OptionReader('VirtualBoard option "faults"', faults, FAULT_NAMES);
  return {
    loss: reader.number('loss', 0, 0, 1),
    duplicate: reader.number('duplicate', 0, 0, 1),
    reorder: reader.number('reorder', 0, 0, 1),
    wrongKey: reader.number('wrongKey', 0, 0, 1),
    delay: reader.integer('delay', 0, 0, 60_000),
    direction: reader.oneOf('direction', ['to-server', 'to-board', 'both'], 'both'),
    seed: reader.integer('seed', 1, 0, 0xffff_ffff),
  };
}

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}
