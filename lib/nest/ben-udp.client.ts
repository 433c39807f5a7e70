/**
 * Nest's client for BenCommunication servers: this transport's or upstream's. Turns patterns and data into requests, and replies
 * into values and errors; the exchanges are the caller's.
 */
import type { Socket } from 'node:dgram';
import { Logger } from '@nestjs/common';
import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import {
  type BenUdpClientOptions,
  type ResolvedCallOptions,
  type ResolvedClientOptions,
  resolveCallOptions,
  resolveClientOptions,
} from './ben-udp.client-options.js';
import { BenUdpError, BenUdpRequestError } from '../errors.js';
import { BenUdpStatus } from './ben-udp.events.js';
import { GuardedEmitter } from './guarded-emitter.js';
import { isRecord } from './ben-udp.record-builder.js';
import { RequestClient, type RequestClientHandlers, type BenUdpClientStats } from '../client/index.js';
import type { BenUdpIgnoredReason } from '../exchange/index.js';
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
  /** An idle socket failed, or the server's name is not known any more; the client goes on. */
  error: (error: Error) => void;
  /** A datagram came that belongs to nothing that was asked. */
  ignored: (datagram: BenUdpIgnoredDatagram) => void;
};

/** What is sent for an error without content, which Nest would not take for an error. */
const UNNAMED_ERROR = { status: 'error', message: 'Unknown error' } as const;

/** From `connect` to `close`. */
interface Connection {
  caller: RequestClient | undefined;
  opening: Promise<RequestClient>;
  isClosed: boolean;
}

/**
 * Nest client of a BenCommunication server.
 *
 *     ClientsModule.register([{ name: 'BOARDS', customClass: BenUdpClient, options: { host: '192.168.1.10', keyFile: 'key.sec' } }])
 *
 * `send` emits what the handler returned and completes; it errors with what the server's error reply holds, as with Nest's other
 * transports, or with a `BenUdpRequestError` where no reply came. `emit` completes when the request was handed to the socket:
 * nothing comes back, so nobody knows whether it arrived.
 *
 * @publicApi
 */
export class BenUdpClient extends ClientProxy<BenUdpClientEvents> {
  private readonly logger = new Logger('BenUdpClient');
  private readonly options: ResolvedClientOptions;
  private readonly events = new GuardedEmitter<BenUdpClientEvents>((error) => this.logger.error(error));
  private connection: Connection | undefined;
  private closing: Promise<void> = Promise.resolve();

  /**
   * @param platform replaces clock, timers and sockets; for simulators.
   * @throws TypeError, RangeError naming the option that is wrong. The key file is read by `connect`.
   */
  constructor(
    options: BenUdpClientOptions = {},
    private readonly platform: Platform = nodePlatform,
  ) {
    super();
    this.options = resolveClientOptions(options);
    this.initializeSerializer(options as Parameters<typeof this.initializeSerializer>[0]);
    this.initializeDeserializer(options as Parameters<typeof this.initializeDeserializer>[0]);
  }

  /**
   * Emits `connected` when the client has connected and `closed` when it was closed; first the latest of them, if any.
   *
   * Narrowed here and not by the type parameter of `ClientProxy`, which would make this class no `ClientProxy` for the compiler,
   * and so no `customClass`.
   */
  override get status(): Observable<BenUdpStatus> {
    return super.status as Observable<BenUdpStatus>;
  }

  /**
   * Loads the key and looks up the server's address; UDP has nothing to connect. `send` and `emit` do it when needed. What fails
   * is tried again by the next call.
   *
   * @throws BenUdpError `BEN_KEY_FILE_…`; `BEN_HOST_UNKNOWN`, also if the lookup takes longer than the option `timeout`;
   * `BEN_CLOSED` if `close` was called meanwhile.
   */
  async connect(): Promise<void> {
    await this.connected();
  }

  /**
   * Fails what waits and what is under way with `BEN_CLOSED`, and closes the sockets. May be called at any time and more than
   * once. A client that is asked again after it connects anew. Where `localPort` is set, an exchange that owes its request is
   * first given the time to send it, at most twice `timeout`: the upstream server would end without it. The reply is not waited
   * for, so ask anew on that port only when it must have come.
   */
  close(): Promise<void> {
    const { connection } = this;
    if (connection) {
      this.connection = undefined;
      connection.isClosed = true;
      this.closing = this.disconnect(connection);
    }
    return this.closing;
  }

  /** Registers a listener, before or after `connect`. It stays until the client is gone, across `close`. */
  override on<EventKey extends keyof BenUdpClientEvents>(
    event: EventKey,
    callback: BenUdpClientEvents[EventKey],
  ): void {
    this.events.on(event, callback);
  }

  /**
   * The `dgram.Socket`s that are bound at the moment: none while nothing was asked for a while.
   *
   * @throws Error before `connect` has succeeded and after `close`.
   */
  override unwrap<T = Socket[]>(): T {
    return this.current().sockets as T;
  }

  /**
   * A snapshot of what happened since `connect`.
   *
   * @throws Error before `connect` has succeeded and after `close`.
   */
  getStats(): BenUdpClientStats {
    return this.current().stats();
  }

  /** For logs and debuggers: which client this is. The rest holds sockets and a key. */
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
      // Nest calls this after the end too, where there is nothing to give up, and an abort costs more than asking.
      if (!isOver) {
        abort.abort();
      }
    };
  }

  protected override async dispatchEvent<T = unknown>(packet: ReadPacket): Promise<T> {
    await this.request(packet, true);
    return undefined as T;
  }

  private async request(packet: ReadPacket, noreturn: boolean, signal?: AbortSignal): Promise<string | undefined> {
    const pattern = this.describePattern(packet.pattern);
    // Nest has awaited `connect`. What is closed since then stays closed for this request, also while it is being serialized.
    const caller = this.connection?.caller ?? this.failClosed(pattern);
    const { data, options } = unpackRecord(packet.data, this.options.call);
    const outgoing = await this.serialize({ ...packet, data });
    const { pattern: action, metadata } = outgoing;
    const text = formatRequest({ action, data: outgoing.data as unknown, metadata, noreturn });
    return caller.request({ ...options, text, noreturn, pattern }, signal);
  }

  private failClosed(pattern: string): never {
    const { host, port } = this.options.client;
    const facts = { pattern, peer: { host, port }, step: 'waiting', attempts: 0, elapsedMs: 0 } as const;
    throw new BenUdpRequestError('BEN_CLOSED', 'the client was closed', facts);
  }

  private async serialize(packet: ReadPacket): Promise<ReadPacket> {
    const serialized: unknown = await this.serializer.serialize(packet as ReadPacket & { id: string });
    if (typeof serialized !== 'object' || serialized === null || !('pattern' in serialized)) {
      throw new BenUdpError('BEN_UNSERIALIZABLE', 'a serializer of this client returns { pattern, data }');
    }
    return serialized as ReadPacket;
  }

  /** What Nest is told of a reply. */
  private async read(text: string): Promise<WritePacket> {
    const reply = readReply(text);
    const packet = 'error' in reply ? { err: reply.error || UNNAMED_ERROR } : { response: reply.data };
    const { err, response } = await this.deserializer.deserialize({ ...packet, isDisposed: true });
    return (err ?? undefined) === undefined ? { response, isDisposed: true } : { err, isDisposed: true };
  }

  private describePattern(pattern: unknown): string {
    return typeof pattern === 'string' ? pattern : String(this.normalizePattern(pattern as string));
  }

  private connected(): Promise<RequestClient> {
    if (!this.connection) {
      const connection = { caller: undefined, isClosed: false } as unknown as Connection;
      this.connection = connection;
      connection.opening = this.open(connection);
    }
    return this.connection.opening;
  }

  private async open(connection: Connection): Promise<RequestClient> {
    const handlers: RequestClientHandlers = {
      onIgnored: (reason, remote) => this.events.emit('ignored', { reason, remote }),
      onError: (error) => this.reportError(error),
    };
    try {
      // A fixed port is not free before the client that had it has closed it.
      await this.closing;
      const sealer = await this.loadSealer();
      const { client: options, call } = this.options;
      const caller = await RequestClient.create(options, sealer, handlers, this.platform, call.timeout);
      if (connection.isClosed) {
        throw new BenUdpError('BEN_CLOSED', 'the client was closed while it connected');
      }
      connection.caller = caller;
    } catch (error) {
      if (this.connection === connection) {
        this.connection = undefined;
      }
      throw error;
    }
    this._status$.next(BenUdpStatus.CONNECTED);
    this.events.emit('connect');
    return connection.caller;
  }

  private async loadSealer(): Promise<Sealer> {
    const { keys } = await loadKeys(this.options.keys);
    const { key } = keys[0]!;
    const sealer = new Sealer(key);
    key.fill(0);
    return sealer;
  }

  private async disconnect({ caller, opening }: Connection): Promise<void> {
    if (!caller) {
      // Whoever waits for it is told that it was closed.
      await opening.catch(() => undefined);
      return;
    }
    const closed = caller.close();
    this._status$.next(BenUdpStatus.CLOSED);
    this.events.emit('close');
    await closed;
  }

  private current(): RequestClient {
    const caller = this.connection?.caller;
    if (!caller) {
      throw new Error('Not initialized. Please call the "connect" method first.');
    }
    return caller;
  }

  private reportError(error: unknown): void {
    this.logger.error(error);
    if (this.events.hasListeners('error')) {
      this.events.emit('error', error instanceof Error ? error : new Error(String(error)));
    }
  }
}

/** The data of a record and how it is to be sent; of anything else, itself and the client's options. */
function unpackRecord(data: unknown, defaults: ResolvedCallOptions): { data: unknown; options: ResolvedCallOptions } {
  return isRecord(data)
    ? { data: data.data, options: resolveCallOptions('BenUdpRecord', data.options, defaults) }
    : { data, options: defaults };
}
