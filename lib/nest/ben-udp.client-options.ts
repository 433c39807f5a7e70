/**
 * Options of the client: their meaning, and one function that checks them and fills in the defaults.
 */
import { isIP } from 'node:net';
import type { Deserializer, Serializer } from '@nestjs/microservices';
import {
  DEFAULT_BUFFER_SIZE,
  DEFAULT_IDLE_TIMEOUT_MS,
  DEFAULT_MAX_QUEUE,
  DEFAULT_MAX_SOCKETS,
  DEFAULT_PORT,
  DEFAULT_SERVER_HOST,
  DEFAULT_TIMEOUT_MS,
  MAX_OPTION_MS,
  MIN_BUFFER_SIZE,
  MIN_V2_BUFFER_SIZE,
} from '../constants.js';
import { MAX_V2_SESSIONS, type RequestClientOptions } from '../client/index.js';
import { type BenUdpProtocol, SESSIONS_PER_KEY } from '../exchange/index.js';
import { OptionReader } from '../option-reader.js';
import { type ResolvedKeyOptions, resolveKeyOptions } from '../keys/index.js';
import type { BenUdpKeyFileChecks } from '../keys/index.js';
import { MAX_DATAGRAM_BYTES, MAX_REQUEST_ID_LENGTH } from '../protocol/index.js';

/** Options of one request. */
export interface BenUdpCallOptions {
  /**
   * Milliseconds to wait for each of the five datagrams: the two halves of the id, and the three thirds of the reply. So this time
   * includes the handler. 10 to 86400000. Default 10000, as upstream. A server does not send a reply after its own `timeout`.
   */
  timeout?: number;
  /**
   * Further attempts after `BEN_TIMEOUT`, `BEN_BAD_REPLY` or `BEN_REFUSED`, 0 to 100. Default 0. Each attempt is a whole exchange with a
   * new id. If the request was sent, its handler may have run, so the failure is final unless `idempotent` is set. An event (`emit`) is
   * never sent twice.
   */
  retries?: number;
  /**
   * Whether `retries` also repeat a request that was sent but got no reply. Default false. A server runs each id once, but it can't
   * recognise two attempts as the same request. With this option, a handler may run more than once for one `send`. Set it for readings
   * and settings, not for "toggle" and "add".
   */
  idempotent?: boolean;
}

/** Options of a record. They apply only to its request. */
export interface BenUdpRecordOptions extends BenUdpCallOptions {
  /**
   * The id of the request, 1 to 64 characters, for clients with `protocol: 'v2'`. The server runs its handler once for all requests with
   * this id, from any session and process, and answers each with that result. So `retries` repeat it without `idempotent`. Use a new
   * random id for each request, such as `randomUUID()`, and keep it for its retries.
   */
  idempotencyKey?: string | undefined;
}

/** Options of `BenUdpClient`. */
export interface BenUdpClientOptions extends BenUdpCallOptions {
  /** Path of the key file. Default `key.sec`, as upstream, if no key is given. */
  keyFile?: string;
  /** The contents of a key file, at least 32 bytes, instead of `keyFile`. */
  key?: Uint8Array;
  /** As the transport's option of the same name: `strict` (default) or `upstream`. */
  keyFileChecks?: BenUdpKeyFileChecks;
  /**
   * The version of the protocol. Default `v1`, which upstream's server speaks too. With `v2` replies are authentic, a lost datagram is
   * sent again, and a retry after a lost reply does not run the handler again. `timeout` is then the time that each step waits for
   * its answer, ± 25 %, at most 15 s, `bufferSize` at least 512, and `emit` completes when the server has acknowledged the event.
   */
  protocol?: BenUdpProtocol;
  /**
   * Address or name of the server. The client looks a name up in `connect`, after a failed exchange, and before an exchange if the
   * last lookup is older than 60 s. Default `127.0.0.1`.
   */
  host?: string;
  /** Port of the server, 1 to 65535. Default 8585. */
  port?: number;
  /**
   * Port to send from, 0 to 65535. Default 0: any free port. For the upstream server, set it to the server's own port, because that
   * server answers to this port. The client then has one socket and makes one request at a time. It completes an exchange that has
   * begun even if nobody waits for it any more, and `close` still sends its request, because the upstream server exits without it.
   */
  localPort?: number;
  /** IP address to send from. Default: the system's choice. */
  localAddress?: string;
  /**
   * Bytes that either side can receive in one datagram, 256 to 65507. Default 4096, as upstream. The client refuses a request that
   * may be longer, and does not read longer datagrams. Each byte takes 1 to 4 characters of a request, 2.9 on average.
   */
  bufferSize?: number;
  /** Sockets, and so concurrent exchanges, 1 to 1024, with `protocol: 'v2'` at most 8. Default 8, or 1 if `localPort` is set. */
  maxSockets?: number;
  /** Requests that may wait for a socket, 0 to 65536; any further request fails at once with `BEN_QUEUE_FULL`. Default 1000. */
  maxQueue?: number;
  /** Milliseconds after which an unused socket is closed, 0 to 86400000. Default 30000. */
  idleTimeout?: number;
  /** Changes the contents of an outgoing packet, `{ pattern, data }`. */
  serializer?: Serializer;
  /** Changes the contents of a reply, `{ response, isDisposed }` or `{ err, isDisposed }`. */
  deserializer?: Deserializer;
}

const CALL_OPTION_NAMES = ['timeout', 'retries', 'idempotent'] as const;

const OPTION_NAMES = [
  ...CALL_OPTION_NAMES,
  'keyFile',
  'key',
  'keyFileChecks',
  'protocol',
  'host',
  'port',
  'localPort',
  'localAddress',
  'bufferSize',
  'maxSockets',
  'maxQueue',
  'idleTimeout',
  'serializer',
  'deserializer',
] as const;

export type ResolvedCallOptions = Readonly<Required<BenUdpCallOptions>>;

export interface ResolvedRecordOptions extends ResolvedCallOptions {
  readonly idempotencyKey: string | undefined;
}

export interface ResolvedClientOptions {
  /** Exactly one key. */
  readonly keys: ResolvedKeyOptions;
  readonly client: RequestClientOptions;
  readonly protocol: BenUdpProtocol;
  readonly call: ResolvedCallOptions;
}

const DEFAULT_CALL_OPTIONS: ResolvedCallOptions = { timeout: DEFAULT_TIMEOUT_MS, retries: 0, idempotent: false };

/** @throws TypeError, RangeError naming the option. */
export function resolveClientOptions(options: BenUdpClientOptions): ResolvedClientOptions {
  const reader = new OptionReader('BenUdpClient', options, OPTION_NAMES);
  reader.withMethod('serializer', 'serialize');
  reader.withMethod('deserializer', 'deserialize');
  const keys = resolveKeyOptions(options, reader);
  if (keys.sources.length > 1) {
    reader.failRange('key', 'the only key, because a client has one', `${keys.sources.length} with "keyFile"`);
  }
  const localPort = reader.integer('localPort', 0, 0, 65_535);
  const maxSockets = reader.integer('maxSockets', localPort === 0 ? DEFAULT_MAX_SOCKETS : 1, 1, 1024);
  if (localPort !== 0 && maxSockets !== 1) {
    reader.failRange('maxSockets', '1 if "localPort" is set', String(maxSockets));
  }
  const protocol = reader.oneOf('protocol', ['v1', 'v2'], 'v1');
  if (protocol === 'v2' && maxSockets > MAX_V2_SESSIONS) {
    const expected = `at most ${MAX_V2_SESSIONS} with "protocol" v2, because a server keeps only ${SESSIONS_PER_KEY} sessions of a key, also those from before a restart`;
    reader.failRange('maxSockets', expected, String(maxSockets));
  }
  const minBufferSize = protocol === 'v2' ? MIN_V2_BUFFER_SIZE : MIN_BUFFER_SIZE;
  return {
    keys,
    protocol,
    client: {
      ...resolveAddresses(options, reader),
      localPort,
      maxSockets,
      port: reader.integer('port', DEFAULT_PORT, 1, 65_535),
      bufferSize: reader.integer('bufferSize', DEFAULT_BUFFER_SIZE, minBufferSize, MAX_DATAGRAM_BYTES),
      maxQueue: reader.integer('maxQueue', DEFAULT_MAX_QUEUE, 0, 65_536),
      idleTimeout: reader.integer('idleTimeout', DEFAULT_IDLE_TIMEOUT_MS, 0, MAX_OPTION_MS),
    },
    call: readCallOptions(reader, DEFAULT_CALL_OPTIONS),
  };
}

/**
 * The options of one request. Options that are not set have the value in `defaults`.
 *
 * @throws TypeError, RangeError naming the option.
 */
export function resolveRecordOptions(
  owner: string,
  options: BenUdpRecordOptions,
  defaults: ResolvedCallOptions = DEFAULT_CALL_OPTIONS,
): ResolvedRecordOptions {
  const reader = new OptionReader(owner, options, [...CALL_OPTION_NAMES, 'idempotencyKey']);
  const { idempotencyKey } = options;
  if (idempotencyKey !== undefined && reader.string('idempotencyKey', '').length > MAX_REQUEST_ID_LENGTH) {
    const actual = `${idempotencyKey.length} characters`;
    reader.failRange('idempotencyKey', `a text of 1 to ${MAX_REQUEST_ID_LENGTH} characters`, actual);
  }
  return { ...readCallOptions(reader, defaults), idempotencyKey };
}

function readCallOptions<Options extends BenUdpCallOptions>(
  reader: OptionReader<Options>,
  defaults: ResolvedCallOptions,
): ResolvedCallOptions {
  return {
    timeout: reader.integer('timeout', defaults.timeout, 10, MAX_OPTION_MS),
    retries: reader.integer('retries', defaults.retries, 0, 100),
    idempotent: reader.boolean('idempotent', defaults.idempotent),
  };
}

function resolveAddresses(
  { localAddress }: BenUdpClientOptions,
  reader: OptionReader<BenUdpClientOptions>,
): { readonly host: string; readonly localAddress: string | undefined } {
  const host = reader.string('host', DEFAULT_SERVER_HOST);
  if (host === '0.0.0.0' || host === '::') {
    reader.failRange('host', 'the address of one host, because the client only reads replies from that address', host);
  }
  if (localAddress !== undefined) {
    if (isIP(reader.string('localAddress', localAddress)) === 0) {
      reader.fail('localAddress', 'an IP address', localAddress);
    }
    if (isIP(host) !== 0 && isIP(host) !== isIP(localAddress)) {
      reader.failRange('localAddress', `an address of the same family as "host", ${host}`, localAddress);
    }
  }
  return { host, localAddress };
}
