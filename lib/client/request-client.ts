/**
 * A client without Nest: sends requests to one server over a bounded pool of sockets. A reply does not name its request, so a socket
 * carries one exchange at a time. Further requests wait in a bounded queue.
 */
import type { Socket } from 'node:dgram';
import type { BenUdpErrorCode, BenUdpRequestStep } from '../errors.js';
import { ClientExchange, type BenUdpIgnoredReason, maxRequestLength } from '../exchange/index.js';
import {
  type BenUdpClientStats,
  type ClientRequest,
  QueuedRequest,
  type Refusal,
  RequestBook,
} from './request-book.js';
import { CLOSED, NO_LISTENER, delayAfterRefusal } from './request-failure.js';
import type { ClientSocket, SocketOutcome, ClientPeer } from './client-socket.js';
import { SocketPool } from './socket-pool.js';
import type { Platform } from '../net/index.js';
import { ServerAddress, findServer } from './server-address.js';
import type { Sealed, Sealer } from '../protocol/index.js';

export interface RequestClientOptions {
  /** Address or name of the server. */
  readonly host: string;
  readonly port: number;
  /** Address to send from. If `undefined`, the system chooses. */
  readonly localAddress: string | undefined;
  /**
   * Port to send from; 0 takes any free one. The upstream server needs a fixed port, because it answers to its own port number. There
   * is one socket then. No exchange is cut off before its request is sent, because that would end the upstream server.
   */
  readonly localPort: number;
  /** Largest datagram in bytes that either side can receive. */
  readonly bufferSize: number;
  /** Largest number of sockets, and of exchanges at once; 1 if `localPort` is fixed. */
  readonly maxSockets: number;
  /** Largest number of requests that wait for a socket. */
  readonly maxQueue: number;
  /** An idle socket is closed after this time, in milliseconds. */
  readonly idleTimeout: number;
}

export interface RequestClientHandlers {
  onIgnored(reason: BenUdpIgnoredReason, remote: ClientPeer): void;
  /** An idle socket failed, a lookup failed, or there is a bug here. The client continues. */
  onError(error: unknown): void;
}

class SealedRequest extends QueuedRequest {
  /** The latest one. */
  exchange: ClientExchange | undefined;
  /** The server's address in it. */
  peer: ClientPeer | undefined;
  /** The socket of the exchange under way. */
  socket: ClientSocket | undefined;

  constructor(
    readonly sealed: Sealed,
    ...rest: ConstructorParameters<typeof QueuedRequest>
  ) {
    super(...rest);
  }

  override get step(): BenUdpRequestStep {
    return this.exchange?.step ?? 'waiting';
  }
}

export class RequestClient {
  private readonly book: RequestBook<SealedRequest>;
  private readonly address: ServerAddress;
  private readonly pool: SocketPool;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly options: RequestClientOptions,
    peer: ClientPeer,
    private readonly sealer: Sealer,
    handlers: RequestClientHandlers,
    private readonly platform: Platform,
  ) {
    const { localPort, maxSockets, idleTimeout } = options;
    this.book = new RequestBook(options, platform, () => this.dispatch());
    const onUsable = () => {
      this.pool.sendFrom(this.address.localHost);
      this.dispatch();
    };
    this.address = new ServerAddress(options, peer, { onUsable, onError: handlers.onError }, platform);
    this.pool = new SocketPool(
      {
        bind: { host: this.address.localHost, port: localPort, receiveBufferSize: undefined },
        maxSockets: maxSockets,
        idleTimeoutMs: idleTimeout,
      },
      {
        onFree: () => this.dispatch(),
        onNone: (error) => {
          // The name may have an address of another family, which this machine lacks. Look it up again.
          this.address.doubt(this.address.peer);
          const reason = `no socket could be bound: ${error.message}`;
          this.book.failAll(this.book.waiting.takeAll(), 'BEN_SOCKET', reason, error);
        },
        onIgnored: (reason, remote) => {
          this.book.countIgnored(reason);
          handlers.onIgnored(reason, remote);
        },
        onError: (error) => handlers.onError(error),
      },
      platform,
    );
  }

  /**
   * Looks up the address of the server. Sockets are bound by the first request.
   *
   * @param lookupTimeoutMs timeout of the lookup. If `undefined`, the system decides.
   * @throws BenUdpError `BEN_HOST_UNKNOWN`.
   */
  static async create(
    options: RequestClientOptions,
    sealer: Sealer,
    handlers: RequestClientHandlers,
    platform: Platform,
    lookupTimeoutMs?: number,
  ): Promise<RequestClient> {
    const peer = await findServer(options, lookupTimeoutMs, platform);
    return new RequestClient(options, peer, sealer, handlers, platform);
  }

  /** The bound sockets. */
  get sockets(): Socket[] {
    return this.pool.open.map(({ boundSocket }) => boundSocket.socket);
  }

  /**
   * Resolves to the text of the reply. For `noreturn`, resolves to `undefined` once the request was handed to the socket.
   *
   * @param signal cancels the request. Its exchange is cut off, unless `localPort` is fixed: then it runs on without effect.
   * @throws BenUdpRequestError `BEN_TIMEOUT`, `BEN_BAD_REPLY`, `BEN_REFUSED`, `BEN_QUEUE_FULL`, `BEN_REQUEST_TOO_LARGE`, `BEN_SOCKET`,
   * `BEN_CLOSED`; the signal's reason.
   */
  request(input: ClientRequest, signal?: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const sealed = this.sealer.seal(input.text);
      const request = new SealedRequest(sealed, input, this.platform.now(), resolve, reject);
      if (this.book.add(request, signal, this.refuse(sealed), () => this.withdraw(request))) {
        this.address.hasten(input.timeout);
        this.dispatch();
      }
    });
  }

  stats(): BenUdpClientStats {
    return this.book.stats(this.pool.size);
  }

  /**
   * Fails all requests with `BEN_CLOSED` and closes the sockets. If `localPort` is fixed, the exchange under way first sends its
   * request, or fails. May be called more than once.
   */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    this.address.close();
    this.book.failAll(this.book.close(), ...CLOSED);
    if (this.pool.isPortFixed) {
      // The upstream server waits for the request, and ends if none arrives.
      await Promise.all(this.pool.open.map((socket) => socket.requestSent()));
    }
    this.book.failAll(this.book.running, ...CLOSED);
    await this.pool.close();
  }

  /** The reason to reject a request at once. */
  private refuse(sealed: Sealed): Refusal | undefined {
    const { bufferSize, maxQueue } = this.options;
    const length = maxRequestLength(sealed);
    if (length > bufferSize) {
      const reason = `the request takes up to ${length} bytes, and the server's buffer holds ${bufferSize} (bufferSize)`;
      return ['BEN_REQUEST_TOO_LARGE', reason];
    }
    if (this.book.waiting.length >= maxQueue + this.pool.vacancies) {
      return ['BEN_QUEUE_FULL', `${maxQueue} requests already wait for a socket (maxQueue)`];
    }
    return undefined;
  }

  /** Takes a cancelled request from the queue, or from its socket. */
  private withdraw(request: SealedRequest): void {
    if (!this.book.remove(request) && request.socket && !this.pool.isPortFixed) {
      // Late datagrams go to a closed port. On a fixed port the exchange runs on: the upstream server ends without its request.
      void this.pool.discard(request.socket);
    }
    this.dispatch();
  }

  private dispatch(): void {
    const { address, pool } = this;
    const { waiting } = this.book;
    if (waiting.length > 0 && !address.isUsable) {
      // Waiting requests continue when the lookup ends, or when it takes too long for one of them.
      address.lookUp(() => this.book.shortestTimeout);
      return;
    }
    for (let socket = this.takeSocket(); socket; socket = this.takeSocket()) {
      this.start(socket, this.book.begin());
    }
    pool.provide(waiting.length);
  }

  private takeSocket(): ClientSocket | undefined {
    return this.book.waiting.length > 0 ? this.pool.take() : undefined;
  }

  private start(socket: ClientSocket, request: SealedRequest): void {
    const { noreturn, timeout } = request.input;
    const { peer } = this.address;
    request.peer = peer;
    request.socket = socket;
    request.exchange = new ClientExchange({
      sealer: this.sealer,
      peer,
      bufferSize: this.options.bufferSize,
      request: request.sealed,
      noreturn,
      remnants: socket.remnants,
    });
    const onEnd = (outcome: SocketOutcome) => this.end(socket, request, outcome);
    socket.begin({ exchange: request.exchange, peer, noreturn, timeoutMs: timeout, onEnd });
  }

  private end(socket: ClientSocket, request: SealedRequest, outcome: SocketOutcome): void {
    request.socket = undefined;
    this.book.running.delete(request);
    if (outcome.kind !== 'done') {
      this.address.doubt(request.peer!);
    }
    switch (outcome.kind) {
      case 'done':
        this.book.complete(request, outcome.text);
        this.pool.release(socket);
        return;
      case 'socket-error': {
        const { error } = outcome;
        void this.pool.discard(socket);
        this.book.fail(request, 'BEN_SOCKET', `the socket failed: ${error.message}`, error);
        break;
      }
      case 'timeout':
        this.failOrRetry(socket, request, 'BEN_TIMEOUT', `no answer within ${request.input.timeout} ms`);
        break;
      case 'bad-reply':
        this.failOrRetry(socket, request, 'BEN_BAD_REPLY', 'the reply does not verify');
        break;
      case 'refused':
        this.failOrRetry(socket, request, 'BEN_REFUSED', NO_LISTENER, outcome.error);
    }
    this.dispatch();
  }

  private failOrRetry(
    socket: ClientSocket,
    request: SealedRequest,
    code: BenUdpErrorCode,
    reason: string,
    cause?: Error,
  ): void {
    const { timeout } = request.input;
    const wasSent = request.step === 'request' || request.step === 'reply';
    const isRefused = code === 'BEN_REFUSED';
    // A server that refuses sends no late datagrams.
    this.pool.retire(socket, isRefused ? 0 : timeout);
    // A refusal takes no time, and a server that restarts does.
    const delay = isRefused ? delayAfterRefusal(request.attempts, timeout) : 0;
    if (!this.book.retry(request, wasSent, delay)) {
      this.book.fail(request, code, reason, cause);
    }
  }
}
