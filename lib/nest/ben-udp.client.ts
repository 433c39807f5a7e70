/**
 * Nest's client for BenCommunication servers, this transport's or upstream's. It turns patterns and data into requests, and replies
 * into values and errors. `RequestClient` makes the exchanges.
 */
import type { Socket } from 'node:dgram';
import { Logger } from '@nestjs/common';
import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import {
  type BenUdpClientOptions,
  type ResolvedCallOptions,
  type ResolvedClientOptions,
  type ResolvedRecordOptions,
  resolveClientOptions,
  resolveRecordOptions,
} from './ben-udp.client-options.js';
import type { BenUdpActionName, BenUdpData, BenUdpMessageName, BenUdpReply } from '../actions.js';
import { debugLog } from '../debug-log.js';
import { BenUdpError, BenUdpRequestError, isError } from '../errors.js';
import { BenUdpStatus } from './ben-udp.events.js';
import { GuardedEmitter } from './guarded-emitter.js';
import { BenUdpRecord, isRecord } from './ben-udp.record-builder.js';
import { type BenUdpClientStats, RequestClient, type RequestClientHandlers, V2RequestClient } from '../client/index.js';
import { type BenUdpIgnoredReason, IGNORED_REASONS } from '../exchange/index.js';
import { formatEndpoint } from '../format-endpoint.js';
import { loadKeys } from '../keys/index.js';
import { type Platform, nodePlatform } from '../net/index.js';
import { Sealer, formatRequest, readReply } from '../protocol/index.js';

/** A datagram that a client ignored. */
export interface BenUdpIgnoredDatagram {
  readonly reason: BenUdpIgnoredReason;
  readonly remote: { readonly address: string; readonly port: number };
}

/** Listeners for `client.on(event, listener)`. */
export type BenUdpClientEvents = {
  /** Keys are loaded and the server's address is known. */
  connect: () => void;
  /** The client was closed. */
  close: () => void;
  /** An idle socket failed, or the server's name can't be resolved any more. The client stays usable. */
  error: (error: Error) => void;
  /** The client ignored a datagram; `reason` says why. */
  ignored: (datagram: BenUdpIgnoredDatagram) => void;
};

/** The data of an action as arguments of `send` and `emit`: none for an action without data, or with optional data. */
export type BenUdpClientData<Name, Actions> =
  BenUdpData<Name, Actions> extends undefined | void
    ? [data?: BenUdpRecord<undefined>]
    : undefined extends BenUdpData<Name, Actions>
      ? [data?: BenUdpData<Name, Actions> | BenUdpRecord<BenUdpData<Name, Actions>>]
      : [data: BenUdpData<Name, Actions> | BenUdpRecord<BenUdpData<Name, Actions>>];

/** The `this` types of the overloads: for a client with a map of actions, and for one without. */
type TypedThis<Actions> = [keyof Actions] extends [never] ? never : unknown;
type UntypedThis<Actions> = [keyof Actions] extends [never] ? unknown : never;

/** Replaces an error without content, which Nest would not recognise as an error. */
const UNNAMED_ERROR = { status: 'error', message: 'Unknown error' } as const;

type ConnectedClient = RequestClient | V2RequestClient;

/** Exists from `connect` to `close`. */
class Connection {
  client: ConnectedClient | undefined;
  opening!: Promise<ConnectedClient>;
  isClosed = false;
}

/**
 * Nest client of a BenCommunication server.
 *
 *     ClientsModule.register([{ name: 'BOARDS', customClass: BenUdpClient, options: { host: '192.168.1.10', keyFile: 'key.sec' } }])
 *
 * `send` emits the result of the handler and completes. If the server sends an error reply, it fails with the content of that reply,
 * as Nest's other transports do. If no reply arrives, it fails with a `BenUdpRequestError`. `emit` completes when the socket has
 * accepted the request. An event gets no reply, so nobody knows whether it arrived.
 *
 * With `BenUdpClient<BenUdpActions>`, `send` and `emit` accept only the names and the data of these actions, and `send` emits their reply.
 *
 * @publicApi
 */
export class BenUdpClient<Actions = unknown> extends ClientProxy<BenUdpClientEvents> {
  private readonly logger = new Logger('BenUdpClient');
  private readonly options: ResolvedClientOptions;
  private readonly platform: Platform;
  private readonly events = new GuardedEmitter<BenUdpClientEvents>((error) => this.logger.error(error));
  private connection: Connection | undefined;
  private closing: Promise<void> = Promise.resolve();

  /** @throws TypeError, RangeError naming the wrong option. `connect` reads the key file. */
  constructor(options?: BenUdpClientOptions);
  /**
   * @internal
   * @param platform replaces clocks, timers, randomness and sockets in a simulator.
   */
  constructor(options: BenUdpClientOptions, platform: Platform);
  constructor(options: BenUdpClientOptions = {}, platform: Platform = nodePlatform) {
    super();
    this.platform = platform;
    this.options = resolveClientOptions(options);
    this.initializeSerializer(options as Parameters<typeof this.initializeSerializer>[0]);
    this.initializeDeserializer(options as Parameters<typeof this.initializeDeserializer>[0]);
  }

  /**
   * Emits `connected` when the client has connected and `closed` when it was closed. A new subscriber first gets the latest of them.
   *
   * The type is narrowed here, not by the type parameter of `ClientProxy`: with that, the compiler would no longer accept this class
   * as a `ClientProxy`, and so not as a `customClass`.
   */
  override get status(): Observable<BenUdpStatus> {
    return super.status as Observable<BenUdpStatus>;
  }

  /**
   * Loads the key and looks up the server's address. It sends nothing, because UDP has no connection. `send` and `emit` call it when
   * needed. After a failure the next call tries again.
   *
   * @throws BenUdpError `BEN_KEY_FILE_…`; `BEN_HOST_UNKNOWN`, also if the lookup takes longer than the option `timeout`;
   * `BEN_CLOSED` if `close` was called meanwhile.
   */
  async connect(): Promise<void> {
    await this.connected();
  }

  /**
   * Fails all waiting and running requests with `BEN_CLOSED`, and closes the sockets. May be called at any time and more than once.
   * The next request connects again. If `localPort` is set, `close` first waits until a begun exchange has sent its request, at most
   * twice `timeout`, because the upstream server exits without it. It does not wait for the reply: before you use this port again,
   * wait until the reply must have arrived.
   */
  close(): Promise<void> {
    const { connection } = this;
    if (connection) {
      this.connection = undefined;
      connection.isClosed = true;
      this.closing = this.disconnect(connection).finally(() =>
        this.events.endWaiting(new BenUdpError('BEN_CLOSED', 'the client was closed before the event')),
      );
    }
    return this.closing;
  }

  /** As `close`: `await using client = new BenUdpClient(…)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Asks the server. The Observable is cold: each subscription is a request.
   *
   * @param data omitted for an action without data, or a `BenUdpRecord`. Nest refuses `null` and `undefined`.
   */
  override send<Name extends BenUdpMessageName<Actions>>(
    this: TypedThis<Actions>,
    pattern: Name,
    ...data: BenUdpClientData<Name, Actions>
  ): Observable<BenUdpReply<Name, Actions>>;
  override send<Result = unknown, Input = unknown>(
    this: UntypedThis<Actions>,
    pattern: unknown,
    data: Input,
  ): Observable<Result>;
  override send(pattern: unknown, ...data: unknown[]): Observable<unknown> {
    return super.send(pattern, data.length === 0 ? new BenUdpRecord(undefined) : data[0]);
  }

  /** Sends an event at once, whether or not the Observable is subscribed to. */
  override emit<Name extends BenUdpActionName<Actions>>(
    this: TypedThis<Actions>,
    pattern: Name,
    ...data: BenUdpClientData<Name, Actions>
  ): Observable<void>;
  override emit<Result = unknown, Input = unknown>(
    this: UntypedThis<Actions>,
    pattern: unknown,
    data: Input,
  ): Observable<Result>;
  override emit(pattern: unknown, ...data: unknown[]): Observable<unknown> {
    return super.emit(pattern, data.length === 0 ? new BenUdpRecord(undefined) : data[0]);
  }

  /** Registers a listener, before or after `connect`. It stays registered after `close`. */
  override on<EventKey extends keyof BenUdpClientEvents>(
    event: EventKey,
    callback: BenUdpClientEvents[EventKey],
  ): this {
    this.events.on(event, callback);
    return this;
  }

  /**
   * Registers a listener for only the next event. Without a listener, returns a promise of the arguments of the next event:
   * `const [ignored] = await client.once('ignored')`. The promise rejects with `BEN_CLOSED` if `close` comes first. `events.once` of Node
   * works too, but its types ask for a whole `EventEmitter`, so TypeScript needs a cast.
   */
  once<EventKey extends keyof BenUdpClientEvents>(event: EventKey): Promise<Parameters<BenUdpClientEvents[EventKey]>>;
  once<EventKey extends keyof BenUdpClientEvents>(event: EventKey, callback: BenUdpClientEvents[EventKey]): this;
  once<EventKey extends keyof BenUdpClientEvents>(
    event: EventKey,
    callback?: BenUdpClientEvents[EventKey],
  ): this | Promise<Parameters<BenUdpClientEvents[EventKey]>> {
    if (!callback) {
      return this.events.next(event);
    }
    this.events.once(event, callback);
    return this;
  }

  /** Removes a listener that `on` or `once` registered. */
  off<EventKey extends keyof BenUdpClientEvents>(event: EventKey, callback: BenUdpClientEvents[EventKey]): this {
    this.events.off(event, callback);
    return this;
  }

  /** As `off`. */
  removeListener<EventKey extends keyof BenUdpClientEvents>(
    event: EventKey,
    callback: BenUdpClientEvents[EventKey],
  ): this {
    return this.off(event, callback);
  }

  /**
   * The `dgram.Socket`s that are bound now. Empty if there was no request for a while.
   *
   * @throws Error before `connect` has succeeded and after `close`.
   */
  override unwrap<T = Socket[]>(): T {
    return this.current().sockets as T;
  }

  /**
   * A snapshot of the counters since `connect`.
   *
   * @throws Error before `connect` has succeeded and after `close`.
   */
  getStats(): BenUdpClientStats {
    return this.current().stats();
  }

  /** For logs and debuggers: names this client. Its other properties hold sockets and a key. */
  toJSON(): object {
    const { host, port } = this.options.client;
    return { client: 'BenUdp', host, port };
  }

  protected override publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const abort = new AbortController();
    let isOver = false;
    const tell = (result: WritePacket) => {
      isOver = true;
      callback(result);
    };
    this.request(packet, false, abort.signal)
      .then((text) => this.read(text!))
      .then(tell, (err: unknown) => tell({ err }))
      .catch((error: unknown) => this.logger.error(error));
    return () => {
      // Nest also calls this after the end. An abort would then do nothing, and costs more than this check.
      if (!isOver) {
        abort.abort();
      }
    };
  }

  protected override async dispatchEvent<T = unknown>(packet: ReadPacket): Promise<T> {
    const text = await this.request(packet, true);
    if (text !== undefined) {
      // Protocol v2 acknowledges an event that will run. Any other reply is an error.
      throw (await this.read(text)).err;
    }
    return undefined as T;
  }

  private async request(packet: ReadPacket, noreturn: boolean, signal?: AbortSignal): Promise<string | undefined> {
    const pattern = this.describePattern(packet.pattern);
    // Nest has awaited `connect`. If the client is closed from here on, also during serialization, this request fails.
    const client = this.connection?.client ?? this.failClosed(pattern);
    const { data, options } = unpackRecord(packet.data, this.options.call);
    const { idempotencyKey: rid } = options;
    if (rid !== undefined && this.options.protocol === 'v1') {
      throw new TypeError(
        `BenUdpRecord option "idempotencyKey" must be absent with protocol v1, whose servers ignore it. Set protocol: 'v2'`,
      );
    }
    const outgoing = await this.serialize({ ...packet, data });
    const { pattern: action, metadata } = outgoing;
    const text = formatRequest({ action, data: outgoing.data as unknown, metadata, noreturn, rid });
    const { timeout, retries } = options;
    const idempotent = options.idempotent || rid !== undefined;
    return client.request({ timeout, retries, idempotent, text, noreturn, pattern }, signal);
  }

  private failClosed(pattern: string): never {
    const { host, port } = this.options.client;
    const facts = { pattern, peer: { host, port }, step: 'waiting', attempts: 0, elapsedMs: 0 } as const;
    throw new BenUdpRequestError('BEN_CLOSED', 'the client was closed', facts);
  }

  private async serialize(packet: ReadPacket): Promise<ReadPacket> {
    const serialized: unknown = await this.serializer.serialize(packet as ReadPacket & { id: string });
    if (typeof serialized !== 'object' || serialized === null || !('pattern' in serialized)) {
      throw new BenUdpError('BEN_UNSERIALIZABLE', 'the serializer of this client must return { pattern, data }');
    }
    return serialized as ReadPacket;
  }

  /** The packet for Nest from the text of a reply. */
  private async read(text: string): Promise<WritePacket> {
    const reply = readReply(text);
    const packet = 'error' in reply ? { err: reply.error || UNNAMED_ERROR } : { response: reply.data };
    const { err, response } = await this.deserializer.deserialize({ ...packet, isDisposed: true });
    return (err ?? undefined) === undefined ? { response, isDisposed: true } : { err, isDisposed: true };
  }

  private describePattern(pattern: unknown): string {
    return typeof pattern === 'string' ? pattern : String(this.normalizePattern(pattern as string));
  }

  private connected(): Promise<ConnectedClient> {
    if (!this.connection) {
      const connection = new Connection();
      this.connection = connection;
      connection.opening = this.open(connection);
    }
    return this.connection.opening;
  }

  private async open(connection: Connection): Promise<ConnectedClient> {
    const handlers: RequestClientHandlers = {
      onIgnored: (reason, remote) => {
        if (debugLog.enabled) {
          debugLog(
            `client: ${formatEndpoint(remote.address, remote.port)}: ignored: ${reason}, ${IGNORED_REASONS[reason]}`,
          );
        }
        this.events.emit('ignored', { reason, remote });
      },
      onError: (error) => this.reportError(error),
    };
    try {
      // A fixed port is only free after the previous connection has closed it.
      await this.closing;
      const client = await this.createClient(handlers);
      if (connection.isClosed) {
        throw new BenUdpError('BEN_CLOSED', 'the client was closed while it connected');
      }
      connection.client = client;
    } catch (error) {
      if (this.connection === connection) {
        this.connection = undefined;
      }
      throw error;
    }
    this._status$.next(BenUdpStatus.CONNECTED);
    this.events.emit('connect');
    return connection.client;
  }

  private async createClient(handlers: RequestClientHandlers): Promise<ConnectedClient> {
    const { client: options, call, protocol } = this.options;
    const { keys } = await loadKeys(this.options.keys);
    const { key } = keys[0]!;
    try {
      return protocol === 'v2'
        ? await V2RequestClient.create(options, key, handlers, this.platform, call.timeout)
        : await RequestClient.create(options, new Sealer(key), handlers, this.platform, call.timeout);
    } finally {
      key.fill(0);
    }
  }

  private async disconnect({ client, opening }: Connection): Promise<void> {
    if (!client) {
      // A waiting `connect` gets `BEN_CLOSED`.
      await opening.catch(() => undefined);
      return;
    }
    const closed = client.close();
    this._status$.next(BenUdpStatus.CLOSED);
    this.events.emit('close');
    await closed;
  }

  private current(): ConnectedClient {
    const client = this.connection?.client;
    if (!client) {
      throw new Error('Not initialized. Please call the "connect" method first.');
    }
    return client;
  }

  private reportError(error: unknown): void {
    this.logger.error(error);
    if (this.events.hasListeners('error')) {
      this.events.emit('error', isError(error) ? error : new Error(String(error)));
    }
  }
}

/** The data and options of a record. Other data has the options of the client. */
function unpackRecord(
  data: unknown,
  defaults: ResolvedCallOptions,
): { data: unknown; options: ResolvedCallOptions & Partial<ResolvedRecordOptions> } {
  return isRecord(data)
    ? { data: data.data, options: resolveRecordOptions('BenUdpRecord', data.options, defaults) }
    : { data, options: defaults };
}
