/**
 * A client without Nest: asks one server over a bounded pool of sockets. The wire has no correlation on replies, so each socket
 * carries one exchange at a time, and what finds none free waits in a bounded queue.
 */
import type { Socket } from 'node:dgram';
import { isIP, isIPv6 } from 'node:net';
import { type BenUdpErrorCode, BenUdpRequestError, type BenUdpRequestStep } from '../errors.js';
import { ClientExchange, IGNORED_REASONS, type BenUdpIgnoredReason, maxRequestLength } from '../exchange/index.js';
import { CallQueue } from './request-queue.js';
import type { ClientSocket, SocketOutcome, ClientPeer } from './client-socket.js';
import { SocketPool } from './socket-pool.js';
import { formatEndpoint } from '../format-endpoint.js';
import type { Platform } from '../net/index.js';
import { type NamedServer, ServerAddress, findServer } from './server-address.js';
import type { Sealed, Sealer } from '../protocol/index.js';

/** Characters of a pattern that go into a message. */
const MAX_QUOTED_PATTERN = 100;

export interface RequestClientOptions {
  /** Address or name of the server. */
  readonly host: string;
  readonly port: number;
  /** Address to send from; `undefined` leaves the choice to the system. */
  readonly localAddress: string | undefined;
  /**
   * Port to send from; 0 takes any free one. A fixed one is for the upstream server, which answers to its own port number: there
   * is one socket then, and no exchange is broken off that owes its request, for that server would not survive it.
   */
  readonly localPort: number;
  /** Bytes that either side can receive in one datagram. */
  readonly bufferSize: number;
  /** Sockets, and so exchanges at once; 1 for a fixed `localPort`. */
  readonly maxSockets: number;
  /** Requests that may wait for a socket. */
  readonly maxQueue: number;
  /** Milliseconds after which a socket is closed that nothing was asked on. */
  readonly idleTimeout: number;
}

/** A request, and how it is to be made. */
export interface ClientRequest {
  /** The Python text of the request. */
  readonly text: string;
  /** Whether the text says `noreturn`. */
  readonly noreturn: boolean;
  /** Names the request in errors. */
  readonly pattern: string;
  /** Milliseconds to wait in each step. */
  readonly timeout: number;
  /** Further attempts where one fails by time or by a bad reply. */
  readonly retries: number;
  /**
   * Whether a further attempt is made also where the request had left, so that its handler may have run. A server executes each
   * id once, but an attempt is an exchange of its own under an id of its own: the server can't know it for the same request.
   */
  readonly idempotent: boolean;
}

/** How a request ended. */
export type BenUdpClientOutcome =
  /** A reply came, be it an error reply. */
  | 'answered'
  /** The request was handed to the socket, and no reply is to come. */
  | 'sent'
  | 'failed'
  /** Whoever asked has lost interest. */
  | 'cancelled';

/** A snapshot of the counters since the client connected. */
export interface BenUdpClientStats {
  /** Requests that were made: all of `outcomes` + `waiting` + `running`. */
  readonly requests: number;
  readonly outcomes: Readonly<Record<BenUdpClientOutcome, number>>;
  /** Further attempts. */
  readonly retries: number;
  /** Datagrams that were ignored. */
  readonly ignored: Readonly<Record<BenUdpIgnoredReason, number>>;
  /** Requests that wait for a socket. */
  readonly waiting: number;
  /** Requests whose exchange is under way. */
  readonly running: number;
  /** Sockets that are bound or being bound. */
  readonly sockets: number;
}

export interface RequestClientHandlers {
  onIgnored(reason: BenUdpIgnoredReason, remote: ClientPeer): void;
  /** An idle socket failed, the server's name is not known any more, or there is a bug here; the caller goes on. */
  onError(error: unknown): void;
}

/** A input on its way. */
class Call {
  attempts = 0;
  /** The latest one. */
  exchange: ClientExchange | undefined;
  /** The server's address in it. */
  peer: ClientPeer | undefined;
  /** Where the exchange is under way. */
  socket: ClientSocket | undefined;
  isSettled = false;
  onSettled: () => void = () => undefined;

  constructor(
    readonly input: ClientRequest,
    readonly request: Sealed,
    readonly askedAt: number,
    readonly resolve: (text: string | undefined) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  get step(): BenUdpRequestStep {
    return this.exchange?.step ?? 'waiting';
  }
}

export class RequestClient {
  private readonly waiting = new CallQueue<Call>();
  private readonly running = new Set<Call>();
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
          // A name that now stands for IPv6 alone, on a machine without it, may get another address.
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
   * Finds the address of the server. Sockets are bound when something is asked.
   *
   * @param lookupTimeoutMs how long the lookup may take; `undefined` leaves that to the system.
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

  /** The sockets that are bound. */
  get sockets(): Socket[] {
    return this.pool.open.map(({ boundSocket }) => boundSocket.socket);
  }

  /**
   * Asks, and brings the text of the reply; `undefined` for `noreturn`, as soon as the request was handed to the socket.
   *
   * @param signal gives the input up: one that waits leaves the queue, one that is under way is cut off. On a fixed
   * `localPort` it runs to its end unheard.
   * @throws BenUdpRequestError `BEN_TIMEOUT`, `BEN_BAD_REPLY`, `BEN_QUEUE_FULL`, `BEN_REQUEST_TOO_LARGE`, `BEN_SOCKET`,
   * `BEN_CLOSED`; the signal's reason.
   */
  request(input: ClientRequest, signal?: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const request = this.sealer.seal(input.text);
      const call = new Call(input, request, this.platform.now(), resolve, reject);
      this.requests++;
      if (signal?.aborted) {
        this.cancel(call, signal.reason);
        return;
      }
      const refusal = this.refuse(call);
      if (refusal) {
        this.fail(call, refusal);
        return;
      }
      this.listenTo(signal, call);
      this.waiting.add(call);
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
      waiting: this.waiting.length,
      running: this.running.size,
      sockets: this.pool.size,
    };
  }

  /**
   * Fails what waits and what is under way with `BEN_CLOSED`, and closes the sockets. On a fixed `localPort` the exchange under
   * way is first brought to where its request is sent, or fails. May be called more than once.
   */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    this.address.close();
    this.failWaiting('BEN_CLOSED', CLOSED);
    if (this.pool.isPortFixed) {
      // The upstream server waits for the request, and ends where none comes.
      await Promise.all(this.pool.open.map((line) => line.requestSent()));
    }
    this.running.forEach((call) => this.fail(call, this.failure(call, 'BEN_CLOSED', CLOSED)));
    await this.pool.close();
  }

  /** Why a request can't be sent or can't wait, which its asker learns at once. */
  private refuse(call: Call): BenUdpRequestError | undefined {
    const { bufferSize, maxQueue } = this.options;
    if (this.closing) {
      return this.failure(call, 'BEN_CLOSED', CLOSED);
    }
    const length = maxRequestLength(call.request);
    if (length > bufferSize) {
      const reason = `the request takes up to ${length} bytes, and the server's buffer holds ${bufferSize} (bufferSize)`;
      return this.failure(call, 'BEN_REQUEST_TOO_LARGE', reason);
    }
    if (this.waiting.length >= maxQueue + this.pool.vacancies) {
      return this.failure(call, 'BEN_QUEUE_FULL', `${maxQueue} requests wait for a socket already (maxQueue)`);
    }
    return undefined;
  }

  private listenTo(signal: AbortSignal | undefined, call: Call): void {
    if (signal) {
      const onAbort = () => {
        this.cancel(call, signal.reason);
        this.withdraw(call);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      call.onSettled = () => signal.removeEventListener('abort', onAbort);
    }
  }

  private cancel(call: Call, reason: unknown): void {
    this.settle(call, 'cancelled', () => call.reject(reason));
  }

  /** Takes a call that was cancelled from the queue, or from its line. */
  private withdraw(call: Call): void {
    if (!this.waiting.remove(call) && call.socket && !this.pool.isPortFixed) {
      // What the server still sends goes to a closed port. The upstream server would not survive it: it waits for the request,
      // and ends where none comes. So on a fixed port the exchange runs on.
      void this.pool.discard(call.socket);
    }
    this.dispatch();
  }

  private dispatch(): void {
    if (this.waiting.length > 0 && !this.address.isUsable) {
      this.beginLookup();
      return;
    }
    for (let line = this.takeLine(); line; line = this.takeLine()) {
      this.start(line, this.waiting.take()!);
    }
    this.pool.provide(this.waiting.length);
  }

  /** The calls that wait go on when the lookup ends, or when it has taken too long for one of them. */
  private beginLookup(): void {
    if (!this.address.isLookedUp) {
      let shortest = Infinity;
      for (const { input } of this.waiting) {
        shortest = Math.min(shortest, input.timeout);
      }
      this.address.lookUp(shortest);
    }
  }

  /** The address to send from: of the server's family. */
  private get localHost(): string {
    return this.options.localAddress ?? (isIPv6(this.address.peer.address) ? '::' : '0.0.0.0');
  }

  private takeLine(): ClientSocket | undefined {
    return this.waiting.length > 0 ? this.pool.take() : undefined;
  }

  private start(line: ClientSocket, call: Call): void {
    const { noreturn, timeout } = call.input;
    const { peer } = this.address;
    call.attempts++;
    call.peer = peer;
    call.socket = line;
    call.exchange = new ClientExchange({
      sealer: this.sealer,
      peer,
      bufferSize: this.options.bufferSize,
      request: call.request,
      noreturn,
      remnants: line.remnants,
    });
    this.running.add(call);
    const onEnd = (outcome: SocketOutcome) => this.end(line, call, outcome);
    line.begin({ exchange: call.exchange, peer, noreturn, timeoutMs: timeout, onEnd });
  }

  private end(line: ClientSocket, call: Call, outcome: SocketOutcome): void {
    call.socket = undefined;
    this.running.delete(call);
    if (outcome.kind !== 'done') {
      this.address.doubt(call.peer!);
    }
    switch (outcome.kind) {
      case 'done':
        this.settle(call, call.input.noreturn ? 'sent' : 'answered', () => call.resolve(outcome.text));
        this.pool.release(line);
        return;
      case 'socket-error': {
        const { error } = outcome;
        void this.pool.discard(line);
        this.fail(call, this.failure(call, 'BEN_SOCKET', `the socket failed: ${error.message}`, error));
        break;
      }
      case 'timeout':
        this.failOrRetry(line, call, 'BEN_TIMEOUT', `no answer within ${call.input.timeout} ms`);
        break;
      case 'bad-reply':
        this.failOrRetry(line, call, 'BEN_BAD_REPLY', 'what came does not verify');
    }
    this.dispatch();
  }

  private failOrRetry(line: ClientSocket, call: Call, code: BenUdpErrorCode, reason: string): void {
    const { timeout, retries, idempotent } = call.input;
    const hasLeft = call.step === 'request' || call.step === 'reply';
    this.pool.retire(line, timeout);
    if (!call.isSettled && !this.closing && call.attempts <= retries && (idempotent || !hasLeft)) {
      this.retries++;
      this.waiting.addRetry(call);
    } else {
      this.fail(call, this.failure(call, code, reason));
    }
  }

  private failWaiting(code: BenUdpErrorCode, reason: string, cause?: Error): void {
    this.waiting.takeAll().forEach((call) => this.fail(call, this.failure(call, code, reason, cause)));
  }

  private fail(call: Call, error: BenUdpRequestError): void {
    this.settle(call, 'failed', () => call.reject(error));
  }

  private settle(call: Call, outcome: BenUdpClientOutcome, tell: () => void): void {
    if (!call.isSettled) {
      call.isSettled = true;
      call.onSettled();
      this.running.delete(call);
      this.outcomes[outcome]++;
      tell();
    }
  }

  private failure(call: Call, code: BenUdpErrorCode, reason: string, cause?: Error): BenUdpRequestError {
    const { attempts, step, askedAt } = call;
    const { pattern } = call.input;
    const { host, port } = this.options;
    const quoted = JSON.stringify(pattern.slice(0, MAX_QUOTED_PATTERN));
    return new BenUdpRequestError(
      code,
      `${quoted} to ${formatEndpoint(host, port)} failed: ${reason} (attempt ${attempts}: ${STEPS[step]})`,
      { pattern, peer: { host, port }, step, attempts, elapsedMs: Math.round(this.platform.now() - askedAt) },
      cause && { cause },
    );
  }
}

const CLOSED = 'the client was closed';

/** How far a request had come, for messages. */
const STEPS: Readonly<Record<BenUdpRequestStep, string>> = {
  waiting: 'nothing was sent',
  hello: 'the hello was sent, no id came',
  id: 'half of the id came',
  request: 'the request was sent, no reply came',
  reply: 'part of a reply came',
};
