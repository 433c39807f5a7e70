/**
 * Options of the transport: their meaning, and one function that checks them and fills in the defaults.
 */
import { BlockList } from 'node:net';
import type { Deserializer, Serializer } from '@nestjs/microservices';
import {
  DEFAULT_BUFFER_SIZE,
  DEFAULT_DATAGRAM_GAP_MS,
  DEFAULT_HOST,
  DEFAULT_MAX_ENDPOINTS,
  DEFAULT_MAX_IN_FLIGHT,
  DEFAULT_MAX_IN_FLIGHT_PER_DEVICE,
  DEFAULT_MAX_QUEUED_EVENTS,
  DEFAULT_MAX_RESULT_BYTES,
  DEFAULT_PORT,
  DEFAULT_RECEIVE_BUFFER_SIZE,
  DEFAULT_RETRY_ATTEMPTS,
  DEFAULT_RETRY_DELAY_MS,
  DEFAULT_SHUTDOWN_TIMEOUT_MS,
  DEFAULT_TIMEOUT_MS,
  MAX_OPTION_MS,
  MIN_BUFFER_SIZE,
  MONTH_MS,
} from '../constants.js';
import { KEY_OPTION_NAMES, type BenUdpKeyOptions, type ResolvedKeyOptions, resolveKeyOptions } from '../keys/index.js';
import { Networks, readNetwork } from '../net/index.js';
import { OptionReader, isFilledString } from '../option-reader.js';
import {
  DEFAULT_LIMITS,
  type BenUdpLimits,
  type BenUdpRate,
  type InFlightLimits,
  type Sender,
} from '../exchange/index.js';
import { type BenUdpErrorReply, MAX_DATAGRAM_BYTES } from '../protocol/index.js';
import { type BenUdpKnownBoardStore, BenUdpMemoryResultStore, type BenUdpResultStore } from '../server/index.js';

export type { BenUdpLimits };

/** Options of `BenUdpTransport`. Two have another name upstream: `host` is `localip` there, and `keyFile` is `keyfile`. */
export interface BenUdpTransportOptions extends BenUdpKeyOptions {
  /** Address or name to bind to. `::` accepts IPv6 and IPv4; the address of an IPv4 board is then `::ffff:10.0.0.7`. Default `0.0.0.0`. */
  host?: string;
  /** Port, 0 to 65535; 0 means any free port. Default 8585. */
  port?: number;
  /**
   * Milliseconds the devices wait for a datagram, 100 to 86400000. Default 10000, as upstream. If a reply takes longer than 90 % of
   * this, it is not sent, because it could arrive after the device has given up. For a device whose requests come soon after their
   * pairs, it is up to 98 %.
   */
  timeout?: number;
  /**
   * Bytes that a device can receive in one datagram, 256 to 65507. Default 4096, as upstream. A longer reply becomes an error
   * reply. Requests are read up to this size, or up to 4096 bytes if it is less.
   */
  bufferSize?: number;
  /**
   * Milliseconds between the datagrams of one answer, 0 to 1000. Default 0. ESP8266 boards, and Pico W firmware before MicroPython
   * 1.26, hold one unread datagram and drop the next: if exchanges fail there, try 5.
   */
  datagramGap?: number;
  /**
   * The reply to a failed request. `null` (default) sends `{"data": null, "error": …}`, which unmodified devices return as `None`.
   * `text` sends `{"error": …}`, which they return as a `str`. `none` sends nothing: they time out, as with upstream.
   */
  errorReply?: BenUdpErrorReply;
  /**
   * Whether several processes of this user listen on the same port, each with this option: more than one core then answers. Default
   * false. The system gives all datagrams of a board to one process. Node 22.12 or later on Linux; elsewhere `listen` fails with
   * `BEN_REUSE_PORT_UNSUPPORTED`. Statistics and devices are those of one process.
   */
  reusePort?: boolean;
  /**
   * Protocol v2: names this process among all that accept the same keys, on any port or machine, 1 to 65535. Default: the process stays
   * unnamed. With it, most boards do not notice a restart of the server. Each process needs its own, and must have closed before its
   * successor with the same route binds. Otherwise a request can run twice. Without it, a call that a restart interrupts ends as
   * `Unknown`, and nothing runs twice.
   */
  route?: number;
  /**
   * Further attempts to bind if another process has the port, 0 to 100. Default 5. An earlier run of the app may still be
   * ending. A `node:cluster` worker without `reusePort` does not try again, because its sibling keeps the port.
   */
  retryAttempts?: number;
  /** Milliseconds between attempts to bind, 0 to 60000. Default 200. */
  retryDelay?: number;
  /** Milliseconds that running handlers get on shutdown, 0 to 86400000. Default 10000. */
  shutdownTimeout?: number;
  /**
   * Verified devices (address and port) that are remembered, 1 to 16777216. Default 65536. Set it to more than you have boards:
   * `knownBoardsFile` has no more either. One named key, or one address if its key is shared, gets at most three quarters.
   */
  maxEndpoints?: number;
  /**
   * Handlers that may run or be queued at once, 1 to 1048576, hanging ones included. Default 10000. One named key, or one address if
   * its key is shared, gets at most three quarters. A device that asks for more gets a `busy` error.
   */
  maxInFlight?: number;
  /**
   * Handlers that may run at once for one device (address and port), 1 to 65536. Default 16. A handler that runs longer than `timeout`
   * no longer counts here, so that a hanging handler does not lock its device out.
   */
  maxInFlightPerDevice?: number;
  /**
   * `noreturn` requests of one device that wait for one of its handlers to end, 0 to 65536. Default 32. They run in the order of their
   * arrival. Further ones are dropped as `busy`.
   */
  maxQueuedEvents?: number;
  /**
   * Protocol v2: bytes of all replies that are kept for 30 s to be sent again, 65536 to 1073741824. Default 16777216. Beyond it, the
   * oldest reply is evicted. A copy of its request is then dropped, and never executed again.
   */
  maxResultBytes?: number;
  /**
   * Protocol v2: keeps the results of requests that have an id (`rid`), so a retry in another session gets the same result and does not run
   * again. Without this option, a `BenUdpMemoryResultStore` of 4 MiB and one hour does that. A store outside the process also answers after
   * a restart of the server.
   */
  resultStore?: BenUdpResultStore;
  /** Rate limits for strangers and for devices; see `BenUdpLimits`. */
  limits?: Partial<BenUdpLimits>;
  /**
   * Networks whose unverified boards have separate budgets, in CIDR notation: `['10.0.0.0/8', 'fd00::/8']`. A flood from elsewhere
   * then leaves room for them, also after a restart. It authenticates nothing, because an address can be forged. A `net.BlockList` is
   * checked for each hello of a stranger, so it may change while the server runs. That takes 2 to 7 µs; a list takes less than 0.4 µs.
   */
  reservedNetworks?: readonly string[] | BlockList;
  /**
   * Path of a file that keeps the known boards beyond a restart: addresses, fingerprints of keys and times, no keys. It decides which
   * key is tried first and whose budget a hello draws on, never whether a request is accepted. Each process writes its own file,
   * `PATH.<random digits>`, at most once a minute and by `close`, and reads those of all others at its start. Without it, nothing is kept.
   */
  knownBoardsFile?: string;
  /** Keeps the known boards elsewhere, for example in Redis or a database. Use it instead of `knownBoardsFile`. */
  knownBoards?: BenUdpKnownBoardStore;
  /**
   * Whether the server accepts devices that are out of step, and repairs them. A `noreturn` device with an unread datagram in its socket
   * computes a wrong id each time, so a strict server would never accept it again. Default true.
   */
  repair?: boolean;
  /** Milliseconds of silence after which `deviceSilent` reports a device, 0 to 2678400000. Default 0: never. */
  silentAfter?: number;
  /** Whether changed key files are read again. Default false. If a file can't be used, the error is reported and the old keys stay. */
  watchKeyFiles?: boolean;
  /**
   * Whether `*` and `#` in string patterns are wildcards for words between dots: `*` for one, `#` for any number. Default false. An
   * exact pattern wins, then the pattern with the most literal words, then the one that was registered first.
   */
  wildcards?: boolean;
  /** Bytes requested from the system for unread datagrams, 4096 to 1073741824. Default 4194304. The system may grant less. */
  receiveBufferSize?: number;
  /** Changes the contents of a handler's result, `{ response }` or `{ err }`. */
  serializer?: Serializer;
  /** Changes the contents of a request, `{ pattern, data }`. */
  deserializer?: Deserializer;
}

const OPTION_NAMES = [
  ...KEY_OPTION_NAMES,
  'host',
  'port',
  'timeout',
  'bufferSize',
  'datagramGap',
  'errorReply',
  'reusePort',
  'route',
  'retryAttempts',
  'retryDelay',
  'shutdownTimeout',
  'maxEndpoints',
  'maxInFlight',
  'maxInFlightPerDevice',
  'maxQueuedEvents',
  'maxResultBytes',
  'resultStore',
  'limits',
  'reservedNetworks',
  'knownBoardsFile',
  'knownBoards',
  'repair',
  'silentAfter',
  'watchKeyFiles',
  'wildcards',
  'receiveBufferSize',
  'serializer',
  'deserializer',
] as const;

export interface ResolvedTransportOptions {
  readonly keys: ResolvedKeyOptions;
  readonly host: string;
  readonly port: number;
  readonly timeout: number;
  readonly bufferSize: number;
  readonly datagramGap: number;
  readonly errorReply: BenUdpErrorReply;
  readonly reusePort: boolean;
  readonly route: number | undefined;
  readonly retryAttempts: number;
  readonly retryDelay: number;
  readonly shutdownTimeout: number;
  readonly maxEndpoints: number;
  readonly inFlight: InFlightLimits;
  readonly maxResultBytes: number;
  readonly resultStore: BenUdpResultStore;
  readonly limits: BenUdpLimits;
  readonly isReserved?: (sender: Sender) => boolean;
  readonly knownBoardsFile: string | undefined;
  readonly knownBoards: BenUdpKnownBoardStore | undefined;
  readonly repair: boolean;
  readonly silentAfter: number;
  readonly watchKeyFiles: boolean;
  readonly wildcards: boolean;
  readonly receiveBufferSize: number;
}

/** @throws TypeError, RangeError naming the option. */
export function resolveTransportOptions(options: BenUdpTransportOptions): ResolvedTransportOptions {
  const reader = new OptionReader('BenUdpTransport', options, OPTION_NAMES);
  reader.withMethod('serializer', 'serialize');
  reader.withMethod('deserializer', 'deserialize');
  reader.withMethod('resultStore', 'begin');
  reader.withMethod('resultStore', 'end');
  return {
    keys: resolveKeyOptions(options, reader),
    host: reader.string('host', DEFAULT_HOST),
    port: reader.integer('port', DEFAULT_PORT, 0, 65_535),
    timeout: reader.integer('timeout', DEFAULT_TIMEOUT_MS, 100, MAX_OPTION_MS),
    bufferSize: reader.integer('bufferSize', DEFAULT_BUFFER_SIZE, MIN_BUFFER_SIZE, MAX_DATAGRAM_BYTES),
    datagramGap: reader.integer('datagramGap', DEFAULT_DATAGRAM_GAP_MS, 0, 1000),
    errorReply: reader.oneOf('errorReply', ['null', 'text', 'none'], 'null'),
    reusePort: reader.boolean('reusePort', false),
    route: options.route === undefined ? undefined : reader.integer('route', undefined, 1, 65_535),
    retryAttempts: reader.integer('retryAttempts', DEFAULT_RETRY_ATTEMPTS, 0, 100),
    retryDelay: reader.integer('retryDelay', DEFAULT_RETRY_DELAY_MS, 0, 60_000),
    shutdownTimeout: reader.integer('shutdownTimeout', DEFAULT_SHUTDOWN_TIMEOUT_MS, 0, MAX_OPTION_MS),
    maxEndpoints: reader.integer('maxEndpoints', DEFAULT_MAX_ENDPOINTS, 1, 16_777_216),
    inFlight: {
      maxInFlight: reader.integer('maxInFlight', DEFAULT_MAX_IN_FLIGHT, 1, 1_048_576),
      maxInFlightPerDevice: reader.integer('maxInFlightPerDevice', DEFAULT_MAX_IN_FLIGHT_PER_DEVICE, 1, 65_536),
      maxQueuedEvents: reader.integer('maxQueuedEvents', DEFAULT_MAX_QUEUED_EVENTS, 0, 65_536),
    },
    maxResultBytes: reader.integer('maxResultBytes', DEFAULT_MAX_RESULT_BYTES, 65_536, 1_073_741_824),
    resultStore: options.resultStore ?? new BenUdpMemoryResultStore(),
    limits: resolveLimits(options.limits),
    ...resolveNetworks(options, reader),
    ...resolveKnownBoards(options, reader),
    repair: reader.boolean('repair', true),
    silentAfter: reader.integer('silentAfter', 0, 0, MONTH_MS),
    watchKeyFiles: reader.boolean('watchKeyFiles', false),
    wildcards: reader.boolean('wildcards', false),
    receiveBufferSize: reader.integer('receiveBufferSize', DEFAULT_RECEIVE_BUFFER_SIZE, 4096, 1_073_741_824),
  };
}

/** Leaves `isReserved` out if no network is reserved. */
function resolveNetworks(
  { reservedNetworks = [] }: BenUdpTransportOptions,
  reader: OptionReader<BenUdpTransportOptions>,
): Pick<ResolvedTransportOptions, 'isReserved'> {
  if (reservedNetworks instanceof BlockList) {
    return {
      isReserved: ({ remote: { address, family } }) =>
        reservedNetworks.check(address, family === 'IPv4' ? 'ipv4' : 'ipv6'),
    };
  }
  if (!Array.isArray(reservedNetworks)) {
    return reader.fail('reservedNetworks', 'a list of networks or a net.BlockList', reservedNetworks);
  }
  const list = (reservedNetworks as unknown[]).map((network) => {
    if (typeof network !== 'string') {
      return reader.fail('reservedNetworks', 'a list of texts', network);
    }
    return (
      readNetwork(network) ??
      reader.failRange('reservedNetworks', 'networks in CIDR notation such as "10.0.0.0/8"', `"${network}"`)
    );
  });
  if (list.length === 0) {
    return {};
  }
  const networks = new Networks(list);
  return { isReserved: (sender) => networks.has(sender) };
}

function resolveKnownBoards(
  { knownBoardsFile, knownBoards }: BenUdpTransportOptions,
  reader: OptionReader<BenUdpTransportOptions>,
): Pick<ResolvedTransportOptions, 'knownBoardsFile' | 'knownBoards'> {
  if (knownBoardsFile !== undefined && !isFilledString(knownBoardsFile)) {
    return reader.fail('knownBoardsFile', 'the path of a file', knownBoardsFile);
  }
  if (knownBoardsFile !== undefined && knownBoards !== undefined) {
    throw new TypeError(
      'BenUdpTransport keeps its known boards in one place, got "knownBoardsFile" and "knownBoards". Set one of them',
    );
  }
  reader.withMethod('knownBoards', 'load');
  reader.withMethod('knownBoards', 'save');
  return { knownBoardsFile, knownBoards };
}

/** More than any machine receives in a second. Sums of its intervals are still exact. */
const MAX_RATE = 1_000_000_000;

function resolveLimits(limits: Partial<BenUdpLimits> = {}): BenUdpLimits {
  const names = Object.keys(DEFAULT_LIMITS) as Array<keyof BenUdpLimits>;
  const reader = new OptionReader('BenUdpTransport option "limits"', limits, names);
  const resolve = (name: keyof BenUdpLimits): BenUdpRate => {
    const fallback = DEFAULT_LIMITS[name];
    const rate = new OptionReader<Partial<BenUdpRate>>(
      `BenUdpTransport option "limits.${name}"`,
      reader.object(name) ?? fallback,
      ['perSecond', 'burst'],
    );
    return {
      perSecond: rate.integer('perSecond', fallback.perSecond, 1, MAX_RATE),
      burst: rate.integer('burst', fallback.burst, 1, MAX_RATE),
    };
  };
  return Object.fromEntries(names.map((name) => [name, resolve(name)])) as Record<keyof BenUdpLimits, BenUdpRate>;
}
