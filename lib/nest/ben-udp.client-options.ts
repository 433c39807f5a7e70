/**
 * Options of the client: what they mean, and one function that checks them and fills in defaults.
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
} from '../constants.js';
import type { RequestClientOptions } from '../client/index.js';
import { OptionReader } from '../option-reader.js';
import { type ResolvedKeyOptions, resolveKeyOptions } from '../keys/index.js';
import type { BenUdpKeyFileChecks } from '../keys/index.js';
import { MAX_DATAGRAM_BYTES } from '../protocol/index.js';

/** How a request is made. */
export interface BenUdpCallOptions {
  /**
   * Milliseconds to wait in each step: for each half of the id, and for each third of the reply, so also for the handler. 10 to
   * 86400000. Default 10000, as upstream. A server does not send a reply that is later than its own `timeout`.
   */
  timeout?: number;
  /**
   * Further attempts where one fails by `BEN_TIMEOUT` or `BEN_BAD_REPLY`, 0 to 100. Default 0. Each is a whole exchange with an
   * id of its own. Unless `idempotent` is set, only what can't have run is tried again: once the request was sent, a failure
   * is final. An event (`emit`) is never sent twice.
   */
  retries?: number;
  /**
   * Whether `retries` also repeat a request that was sent, and whose handler may have run though no reply came. Default false. A
   * server runs each id once, but knows nothing of an attempt being the same request: with this set, a handler may run more
   * than once for one `send`. Right for readings and for settings, wrong for "toggle" and "add".
   */
  idempotent?: boolean;
}

/** Options of `BenUdpClient`. */
export interface BenUdpClientOptions extends BenUdpCallOptions {
  /** Path of the key file. Default `key.sec`, as upstream, where no key is given. */
  keyFile?: string;
  /** What the key file would hold, at least 32 bytes, in place of `keyFile`. */
  key?: Uint8Array;
  /** As the transport's option of that name: `strict` (default) or `upstream`. */
  keyFileChecks?: BenUdpKeyFileChecks;
  /**
   * Address or name of the server. A name is looked up by `connect`, again after a failed exchange, and before an exchange if its
   * address is older than 60 s. Default `127.0.0.1`.
   */
  host?: string;
  /** Port of the server, 1 to 65535. Default 8585. */
  port?: number;
  /**
   * Port to send from, 0 to 65535. Default 0, any free one. For the upstream server set it to the server's own port, to which that
   * server answers. Then there is one socket, requests are made one after the other, and an exchange that began is carried through
   * to its reply even if nobody waits for it any more, and by `close` to its request: the upstream server ends where none comes.
   */
  localPort?: number;
  /** IP address to send from. Default: the system's choice. */
  localAddress?: string;
  /**
   * Bytes that either side can receive in one datagram, 256 to 65507. Default 4096, as upstream. A request that may take more is
   * refused, and a longer datagram is not read. Bytes take 1 to 4 characters of a request, 2.9 on average.
   */
  bufferSize?: number;
  /** Sockets, and so exchanges at once, 1 to 1024. Default 8; 1 where `localPort` is set. */
  maxSockets?: number;
  /** Requests that may wait for a socket, 0 to 65536; more fail at once with `BEN_QUEUE_FULL`. Default 1000. */
  maxQueue?: number;
  /** Milliseconds after which a socket is closed that nothing was asked on, 0 to 86400000. Default 30000. */
  idleTimeout?: number;
  /** Turns what is to be sent, `{ pattern, data }`, into the same with other contents. */
  serializer?: Serializer;
  /** Turns what the server answered, `{ response, isDisposed }` or `{ err, isDisposed }`, into the same with other contents. */
  deserializer?: Deserializer;
}

const CALL_OPTION_NAMES = ['timeout', 'retries', 'idempotent'] as const;

const OPTION_NAMES = [
  ...CALL_OPTION_NAMES,
  'keyFile',
  'key',
  'keyFileChecks',
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

export interface ResolvedClientOptions {
  /** Exactly one. */
  readonly keys: ResolvedKeyOptions;
  readonly client: RequestClientOptions;
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
    reader.failRange('key', 'the only key: a client has one', `${keys.sources.length} with "keyFile"`);
  }
  const localPort = reader.integer('localPort', 0, 0, 65_535);
  const maxSockets = reader.integer('maxSockets', localPort === 0 ? DEFAULT_MAX_SOCKETS : 1, 1, 1024);
  if (localPort !== 0 && maxSockets !== 1) {
    reader.failRange('maxSockets', '1 where "localPort" is set', String(maxSockets));
  }
  return {
    keys,
    client: {
      ...resolveAddresses(options, reader),
      localPort,
      maxSockets,
      port: reader.integer('port', DEFAULT_PORT, 1, 65_535),
      bufferSize: reader.integer('bufferSize', DEFAULT_BUFFER_SIZE, MIN_BUFFER_SIZE, MAX_DATAGRAM_BYTES),
      maxQueue: reader.integer('maxQueue', DEFAULT_MAX_QUEUE, 0, 65_536),
      idleTimeout: reader.integer('idleTimeout', DEFAULT_IDLE_TIMEOUT_MS, 0, MAX_OPTION_MS),
    },
    call: readCallOptions(reader, DEFAULT_CALL_OPTIONS),
  };
}

/**
 * The options of one request: what `options` leaves open is as in `defaults`.
 *
 * @throws TypeError, RangeError naming the option.
 */
export function resolveCallOptions(
  owner: string,
  options: BenUdpCallOptions,
  defaults: ResolvedCallOptions = DEFAULT_CALL_OPTIONS,
): ResolvedCallOptions {
  return readCallOptions(new OptionReader(owner, options, CALL_OPTION_NAMES), defaults);
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
    reader.failRange('host', 'one address: the server answers from one, and only that one is heard', host);
  }
  if (localAddress !== undefined) {
    if (isIP(reader.string('localAddress', localAddress)) === 0) {
      reader.fail('localAddress', 'an IP address', localAddress);
    }
    if (isIP(host) !== 0 && isIP(host) !== isIP(localAddress)) {
      reader.failRange('localAddress', `of the family of "host", ${host}`, localAddress);
    }
  }
  return { host, localAddress };
}
