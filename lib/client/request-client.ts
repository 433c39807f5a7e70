/**
 * A client without Nest: sends requests to one server over a bounded pool of sockets. A reply does not name its request, so a socket
 * carries one exchange at a time. Further requests wait in a bounded queue.
 */
import type { Socket } from 'node:dgram';
import { isIP, isIPv6 } from 'node:net';
import type { BenUdpErrorCode, BenUdpRequestError, BenUdpRequestStep } from '../errors.js';
import { ClientExchange, IGNORED_REASONS, type BenUdpIgnoredReason, maxRequestLength } from '../exchange/index.js';
import { CLOSED, describeFailure } from './request-failure.js';
import { RequestQueue } from './request-queue.js';
import type { ClientSocket, SocketOutcome, ClientPeer } from './client-socket.js';
import { SocketPool } from './socket-pool.js';
import type { Platform } from '../net/index.js';
import { type NamedServer, ServerAddress, findServer } from './server-address.js';
import type { Sealed, Sealer } from '../protocol/index.js';

/** Wait before the second attempt after a refusal. Doubles with each attempt, up to the timeout of the request. */
export const REFUSED_DELAY_MS = 100;

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

/** A request and its options. */
export interface ClientRequest {
  /** The Python text of the request. */
  readonly text: string;
  /** Whether the text says `noreturn`. */
  readonly noreturn: boolean;
  /** Names the request in errors. */
  readonly pattern: string;
  /** Timeout of each step in milliseconds. */
  readonly timeout: number;
  /** Further attempts after a timeout, a bad reply or a refusal. */
  readonly retries: number;
  /**
   * Whether to retry after the request was sent, when its handler may have run. A server executes each id once, but every attempt has
   * an id of its own, so the server can't recognise the same request.
   */
  readonly idempotent: boolean;
}

/** How a request ended. */
export type BenUdpClientOutcome =
  /** A reply arrived, possibly an error reply. */
  | 'answered'
  /** The request was handed to the socket. No reply is expected. */
  | 'sent'
  | 'failed'
  /** Its signal was aborted. */
  | 'cancelled';

/** A snapshot of the counters since the client connected. */
export interface BenUdpClientStats {
  /** All requests: the sum of `outcomes`, `waiting` and `running`. */
  readonly requests: number;
  readonly outcomes: Readonly<Record<BenUdpClientOutcome, number>>;
  /** Attempts after the first one of a request. */
  readonly retries: number;
  /** Datagrams that were ignored. */
  readonly ignored: Readonly<Record<BenUdpIgnoredReason, number>>;
  /** Requests that wait for a socket, or for their next attempt. */
  readonly waiting: number;
  /** Requests whose exchange is under way. */
  readonly running: number;
  /** Sockets that are bound or being bound. */
  readonly sockets: number;
}

export interface RequestClientHandlers {
  onIgnored(reason: BenUdpIgnoredReason, remote: ClientPeer): void;
  /** An idle socket failed, a lookup failed, or there is a bug here. The client goes on. */
  onError(error: unknown): void;
}

/** A request from `request` to its end. */
class PendingRequest {
  attempts = 0;
  /** The latest one. */
  exchange: ClientExchange | undefined;
  /** The server's address in it. */
  peer: ClientPeer | undefined;
  /** The socket of the exchange under way. */
  socket: ClientSocket | undefined;
  isSettled = false;
  onSettled: () => void = () => undefined;

  constructor(
    readonly input: ClientRequest,
    readonly sealed: Sealed,
    readonly askedAt: number,
    readonly resolve: (text: string | undefined) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  get step(): BenUdpRequestStep {
    return this.exchange?.step ?? 'waiting';
  }
}

export class RequestClient {
  private readonly waiting = new RequestQueue<PendingRequest>();
  /** Bounded by `maxSockets`. */
  private readonly running = new Set<PendingRequest>();
  /** Refused requests before their next attempt, with the function that cancels it. At most one for each past exchange. */
  private readonly delayed = new Map<PendingRequest, () => void>();
  private readonly address: ServerAddress;
  private readonly pool: SocketPool;
  private closing: Promise<void> | undefined;
  private readonly outcomes: Record<BenUdpClientOutcome, number> = { answered: 0, sent: 0, failed: 0, cancelled: 0 };
  private readonly ignored = Object.fromEntries(Object.keys(IGNORED_REASONS).map((reason) => [reason, 0])) as Record<
    BenUdpIgnoredReason,
    number
  >;
  private requests = 0;
  private retries = 0;

  private constructor(
    private readonly options: RequestClientOptions,
    server: NamedServer,
    peer: ClientPeer,
    private readonly sealer: Sealer,
    handlers: RequestClientHandlers,
    private readonly platform: Platform,
  ) {
    const { localPort, maxSockets, idleTimeout } = options;
    const onUsable = () => {
      this.pool.sendFrom(this.localHost);
      this.dispatch();
    };
    this.address = new ServerAddress(server, peer, { onUsable, onError: handlers.onError }, platform);
    this.pool = new SocketPool(
      {
        bind: { host: this.localHost, port: localPort, receiveBufferSize: undefined },
        maxSockets: maxSockets,
        idleTimeoutMs: idleTimeout,
      },
      {
        onFree: () => this.dispatch(),
        onNone: (error) => {
          // The name may have an address of another family, which this machine lacks. Look it up again.
          this.address.doubt(this.address.peer);
          this.failWaiting('BEN_SOCKET', `no socket could be bound: ${error.message}`, error);
        },
        onIgnored: (reason, remote) => {
          this.ignored[reason]++;
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
    const { host, port, localAddress } = options;
    const server = { host, port, family: localAddress === undefined ? 0 : isIP(localAddress) };
    const peer = await findServer(server, lookupTimeoutMs, platform);
    return new RequestClient(options, server, peer, sealer, handlers, platform);
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
      const request = new PendingRequest(input, sealed, this.platform.now(), resolve, reject);
      this.requests++;
      if (signal?.aborted) {
        this.cancel(request, signal.reason);
        return;
      }
      const refusal = this.refuse(request);
      if (refusal) {
        this.fail(request, refusal);
        return;
      }
      this.listenTo(signal, request);
      this.waiting.add(request);
      if (this.address.isLookedUp) {
        this.address.lookUp(input.timeout);
      }
      this.dispatch();
    });
  }

  stats(): BenUdpClientStats {
    return {
      requests: this.requests,
      outcomes: { ...this.outcomes },
      retries: this.retries,
      ignored: { ...this.ignored },
      waiting: this.waiting.length + this.delayed.size,
      running: this.running.size,
      sockets: this.pool.size,
    };
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
    this.failWaiting('BEN_CLOSED', CLOSED);
    for (const request of this.delayed.keys()) {
      this.cancelRetry(request);
      this.fail(request, this.failure(request, 'BEN_CLOSED', CLOSED));
    }
    if (this.pool.isPortFixed) {
      // The upstream server waits for the request, and ends if none arrives.
      await Promise.all(this.pool.open.map((socket) => socket.requestSent()));
    }
    this.running.forEach((request) => this.fail(request, this.failure(request, 'BEN_CLOSED', CLOSED)));
    await this.pool.close();
  }

  /** The reason to reject a request at once. */
  private refuse(request: PendingRequest): BenUdpRequestError | undefined {
    const { bufferSize, maxQueue } = this.options;
    if (this.closing) {
      return this.failure(request, 'BEN_CLOSED', CLOSED);
    }
    const length = maxRequestLength(request.sealed);
    if (length > bufferSize) {
      const reason = `the request takes up to ${length} bytes, and the server's buffer holds ${bufferSize} (bufferSize)`;
      return this.failure(request, 'BEN_REQUEST_TOO_LARGE', reason);
    }
    if (this.waiting.length >= maxQueue + this.pool.vacancies) {
      return this.failure(request, 'BEN_QUEUE_FULL', `${maxQueue} requests already wait for a socket (maxQueue)`);
    }
    return undefined;
  }

  private listenTo(signal: AbortSignal | undefined, request: PendingRequest): void {
    if (signal) {
      const onAbort = () => {
        this.cancel(request, signal.reason);
        this.withdraw(request);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      request.onSettled = () => signal.removeEventListener('abort', onAbort);
    }
  }

  private cancel(request: PendingRequest, reason: unknown): void {
    this.settle(request, 'cancelled', () => request.reject(reason));
  }

  /** Takes a cancelled request from the queue, or from its socket. */
  private withdraw(request: PendingRequest): void {
    if (!this.waiting.remove(request) && !this.cancelRetry(request) && request.socket && !this.pool.isPortFixed) {
      // Late datagrams go to a closed port. On a fixed port the exchange runs on: the upstream server ends without its request.
      void this.pool.discard(request.socket);
    }
    this.dispatch();
  }

  private dispatch(): void {
    if (this.waiting.length > 0 && !this.address.isUsable) {
      this.beginLookup();
      return;
    }
    for (let socket = this.takeSocket(); socket; socket = this.takeSocket()) {
      this.start(socket, this.waiting.take()!);
    }
    this.pool.provide(this.waiting.length);
  }

  /** Waiting requests go on when the lookup ends, or when it takes too long for one of them. */
  private beginLookup(): void {
    if (!this.address.isLookedUp) {
      let shortest = Infinity;
      for (const { input } of this.waiting) {
        shortest = Math.min(shortest, input.timeout);
      }
      this.address.lookUp(shortest);
    }
  }

  /** The address to send from, of the server's family. */
  private get localHost(): string {
    return this.options.localAddress ?? (isIPv6(this.address.peer.address) ? '::' : '0.0.0.0');
  }

  private takeSocket(): ClientSocket | undefined {
    return this.waiting.length > 0 ? this.pool.take() : undefined;
  }

  private start(socket: ClientSocket, request: PendingRequest): void {
    const { noreturn, timeout } = request.input;
    const { peer } = this.address;
    request.attempts++;
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
    this.running.add(request);
    const onEnd = (outcome: SocketOutcome) => this.end(socket, request, outcome);
    socket.begin({ exchange: request.exchange, peer, noreturn, timeoutMs: timeout, onEnd });
  }

  private end(socket: ClientSocket, request: PendingRequest, outcome: SocketOutcome): void {
    request.socket = undefined;
    this.running.delete(request);
    if (outcome.kind !== 'done') {
      this.address.doubt(request.peer!);
    }
    switch (outcome.kind) {
      case 'done':
        this.settle(request, request.input.noreturn ? 'sent' : 'answered', () => request.resolve(outcome.text));
        this.pool.release(socket);
        return;
      case 'socket-error': {
        const { error } = outcome;
        void this.pool.discard(socket);
        this.fail(request, this.failure(request, 'BEN_SOCKET', `the socket failed: ${error.message}`, error));
        break;
      }
      case 'timeout':
        this.failOrRetry(socket, request, 'BEN_TIMEOUT', `no answer within ${request.input.timeout} ms`);
        break;
      case 'bad-reply':
        this.failOrRetry(socket, request, 'BEN_BAD_REPLY', 'the reply does not verify');
        break;
      case 'refused':
        this.failOrRetry(socket, request, 'BEN_REFUSED', 'no program listens on that port', outcome.error);
    }
    this.dispatch();
  }

  private failOrRetry(
    socket: ClientSocket,
    request: PendingRequest,
    code: BenUdpErrorCode,
    reason: string,
    cause?: Error,
  ): void {
    const { timeout, retries, idempotent } = request.input;
    const wasSent = request.step === 'request' || request.step === 'reply';
    // A server that refuses sends no late datagrams.
    this.pool.retire(socket, code === 'BEN_REFUSED' ? 0 : timeout);
    if (!request.isSettled && !this.closing && request.attempts <= retries && (idempotent || !wasSent)) {
      this.retries++;
      if (code === 'BEN_REFUSED') {
        this.retryLater(request);
      } else {
        this.waiting.addRetry(request);
      }
    } else {
      this.fail(request, this.failure(request, code, reason, cause));
    }
  }

  /** A refusal takes no time, and a server that restarts does. */
  private retryLater(request: PendingRequest): void {
    const delay = Math.min(request.input.timeout, REFUSED_DELAY_MS * 2 ** (request.attempts - 1));
    const cancel = this.platform.schedule(() => {
      this.delayed.delete(request);
      this.waiting.addRetry(request);
      this.dispatch();
    }, delay);
    this.delayed.set(request, cancel);
  }

  /** Drops the next attempt of a request. */
  private cancelRetry(request: PendingRequest): boolean {
    this.delayed.get(request)?.();
    return this.delayed.delete(request);
  }

  private failWaiting(code: BenUdpErrorCode, reason: string, cause?: Error): void {
    this.waiting.takeAll().forEach((request) => this.fail(request, this.failure(request, code, reason, cause)));
  }

  private fail(request: PendingRequest, error: BenUdpRequestError): void {
    this.settle(request, 'failed', () => request.reject(error));
  }

  private settle(request: PendingRequest, outcome: BenUdpClientOutcome, tell: () => void): void {
    if (!request.isSettled) {
      request.isSettled = true;
      request.onSettled();
      this.running.delete(request);
      this.outcomes[outcome]++;
      tell();
    }
  }

  private failure(request: PendingRequest, code: BenUdpErrorCode, reason: string, cause?: Error): BenUdpRequestError {
    const { attempts, step, askedAt, input } = request;
    const elapsedMs = Math.round(this.platform.now() - askedAt);
    return describeFailure(code, reason, this.options, { pattern: input.pattern, step, attempts, elapsedMs }, cause);
  }
}
