/**
 * Options of the virtual board: their meaning, and one function that checks them and fills in the defaults.
 */
import { isIP } from 'node:net';
import {
  DEFAULT_BUFFER_SIZE,
  DEFAULT_SERVER_HOST,
  DEFAULT_TIMEOUT_MS,
  MAX_OPTION_MS,
  MIN_V2_BUFFER_SIZE,
} from '../constants.js';
import { OptionReader } from '../option-reader.js';
import { ENVELOPE_KEYS, type EnvelopeKey, MAX_DATAGRAM_BYTES } from '../protocol/index.js';

/** Options of `VirtualBoard`. The defaults are those of a board without faults and with plenty of memory. */
export interface VirtualBoardOptions {
  /** The contents of the key file on the board. With another key than the server's, the board is a stranger. */
  key: Uint8Array;
  /** Port of the server, 1 to 65535. */
  port: number;
  /** Address or name of the server. Default `127.0.0.1`. */
  host?: string;
  /** The version of the protocol. Default `v1`. A `v2` board behaves as `device/ben2.py`. */
  protocol?: 'v1' | 'v2';
  /**
   * With `v2` the milliseconds that each step waits for its answer, at most 15000. With `v1` the milliseconds to wait for each datagram, 1
   * to 86400000. Default 10000, as upstream.
   */
  timeout?: number;
  /** Bytes that the board can receive in one datagram, 1 to 65507. It cuts off longer ones. Default 4096, as upstream. */
  bufferSize?: number;
  /** IP address of the board. Each address of 127.0.0.0/8 can be one board. Default `127.0.0.1`. */
  localAddress?: string;
  /** Port of the board, 0 to 65535. The upstream client uses the port number of the server. Default 0: any free port. */
  localPort?: number;
  /** Order of the keys of the envelope, arbitrary on a board. Default hash, data, iv. */
  keyOrder?: readonly EnvelopeKey[];
  /**
   * Unread datagrams that the socket of the board holds, 1 to 1024. Further datagrams are dropped. Default 1024. ESP8266 boards, and
   * Pico W firmware before MicroPython 1.26, hold 1. ESP32 firmware holds 6.
   */
  receiveSlots?: number;
  /**
   * Milliseconds from the arrival of a datagram until the board has taken it out of its socket, 0 to 1000. Default 0, or 2 if
   * `receiveSlots` is set, because an infinitely fast board would need no second slot.
   */
  readDelay?: number;
  /** Datagrams that are unread in the socket from the beginning, as after an earlier failure. Default none. */
  leftovers?: readonly Uint8Array[];
  /** Faults of the board's network. Default none. */
  faults?: VirtualBoardFaults;
}

/** Faults, each as a chance from 0 to 1 for each datagram. The same seed repeats the same faults in the same places. */
export interface VirtualBoardFaults {
  /** A datagram is lost. Default 0. */
  loss?: number;
  /** A datagram arrives twice. Default 0. */
  duplicate?: number;
  /** A datagram arrives 20 ms late, so later ones overtake it. Default 0. */
  reorder?: number;
  /** The board uses a wrong key for one whole exchange. Default 0. */
  wrongKey?: number;
  /** Longest delay of a datagram in milliseconds, 0 to 60000. Each delay is random up to this, and the order is kept. Default 0. */
  delay?: number;
  /** The direction to which loss, duplicate, reorder and delay apply: `to-server`, `to-board` or `both` (default). */
  direction?: FaultDirection;
  /** 0 to 4294967295. Default 1. */
  seed?: number;
}

/** The direction to which a fault applies. */
export type FaultDirection = 'to-server' | 'to-board' | 'both';

const OPTION_NAMES = [
  'key',
  'port',
  'protocol',
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

/** With few slots, a board that reads slowly runs out of them. */
const SLOW_READ_MS = 2;

export type ResolvedBoardFaults = Readonly<Required<VirtualBoardFaults>>;

export type ResolvedBoardOptions = Readonly<Required<VirtualBoardOptions>> & { readonly faults: ResolvedBoardFaults };

/** @throws TypeError, RangeError naming the option. */
export function resolveBoardOptions(options: VirtualBoardOptions): ResolvedBoardOptions {
  const reader = new OptionReader('VirtualBoard', options, OPTION_NAMES);
  const { key, leftovers = [], keyOrder = ENVELOPE_KEYS } = options;
  if (!isBytes(key)) {
    reader.fail('key', 'bytes: the contents of the key file', key);
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
  const protocol = reader.oneOf('protocol', ['v1', 'v2'], 'v1');
  const bufferSize = reader.integer('bufferSize', DEFAULT_BUFFER_SIZE, 1, MAX_DATAGRAM_BYTES);
  if (protocol === 'v2' && bufferSize < MIN_V2_BUFFER_SIZE) {
    reader.failRange('bufferSize', `at least ${MIN_V2_BUFFER_SIZE} with "protocol" v2`, String(bufferSize));
  }
  return {
    key,
    protocol,
    bufferSize,
    leftovers,
    keyOrder,
    localAddress,
    port: reader.integer('port', undefined, 1, 65_535),
    host: reader.string('host', DEFAULT_SERVER_HOST),
    timeout: reader.integer('timeout', DEFAULT_TIMEOUT_MS, 1, MAX_OPTION_MS),
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
