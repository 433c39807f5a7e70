/**
 * A client of protocol v2 without Nest: sends requests to one server over a bounded number of sessions. A session carries one request at
 * a time. Further requests wait in a bounded queue.
 */
import type { Socket } from 'node:dgram';
import type { BenUdpErrorCode, BenUdpRequestStep } from '../errors.js';
import { type BenUdpIgnoredReason, SESSIONS_PER_KEY, type V2ClientPhase } from '../exchange/index.js';
import type { Platform } from '../net/index.js';
import { v2RequestLength } from '../protocol/v2/index.js';
import { copyOf } from '../secret.js';
import type { ClientPeer } from './client-socket.js';
import {
  type BenUdpClientStats,
  type ClientRequest,
  QueuedRequest,
  type Refusal,
  RequestBook,
} from './request-book.js';
import type { RequestClientHandlers, RequestClientOptions } from './request-client.js';
import { CLOSED, NO_LISTENER, delayAfterRefusal } from './request-failure.js';
import { ServerAddress, findServer } from './server-address.js';
import { type SessionOutcome, V2ClientSession } from './v2-client-session.js';

/** Sessions of a client: an eighth of those that a server keeps for the key of a device, so that a client can restart. */
export const MAX_V2_SESSIONS = SESSIONS_PER_KEY / 8;

/** Wait before the next attempt after a refusal, in milliseconds: the server closes or is in trouble. */
export const V2_REFUSED_DELAY_MS = 1000;

class V2QueuedRequest extends QueuedRequest {
  /** The session of the attempt under way. */
  session: V2ClientSession | undefined;
  /** The step of the attempt that ended last. */
  endedIn: BenUdpRequestStep = 'waiting';

  override get step(): BenUdpRequestStep {
    return this.session ? stepOf(this.session.phase) : this.endedIn;
  }
}

export class V2RequestClient {
  private readonly book: RequestBook<V2QueuedRequest>;
  /** Least recently used first. The last one is taken first. */
  private readonly idle: V2ClientSession[];
  private readonly sessions: readonly V2ClientSession[];
  private readonly address: ServerAddress;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly options: RequestClientOptions,
    key: Uint8Array,
    peer: ClientPeer,
    handlers: RequestClientHandlers,
    private readonly platform: Platform,
  ) {
    const { bufferSize, idleTimeout, maxSockets } = options;
    this.book = new RequestBook(options, platform, () => this.dispatch());
    const onError = (error: unknown) => handlers.onError(error);
    this.address = new ServerAddress(options, peer, { onUsable: () => this.dispatch(), onError }, platform);
    const onIgnored = (reason: BenUdpIgnoredReason, remote: ClientPeer) => {
      this.book.countIgnored(reason);
      handlers.onIgnored(reason, remote);
    };
    this.sessions = Array.from(
      { length: maxSockets },
      () => new V2ClientSession({ key, bufferSize, idleTimeoutMs: idleTimeout }, { onIgnored, onError }, platform),
    );
    this.idle = [...this.sessions];
  }

  /**
   * Looks up the address of the server. Sockets are bound by the first request.
   *
   * @param key 32 bytes; copied.
   * @param lookupTimeoutMs timeout of the lookup. If `undefined`, the system decides.
   * @throws BenUdpError `BEN_HOST_UNKNOWN`.
   */
  static async create(
    options: RequestClientOptions,
    key: Uint8Array,
    handlers: RequestClientHandlers,
    platform: Platform,
    lookupTimeoutMs?: number,
  ): Promise<V2RequestClient> {
    const own = copyOf(key);
    try {
      const peer = await findServer(options, lookupTimeoutMs, platform);
      return new V2RequestClient(options, own, peer, handlers, platform);
    } finally {
      own.fill(0);
    }
  }

  /** The bound sockets. */
  get sockets(): Socket[] {
    return this.sessions.flatMap(({ boundSocket }) => (boundSocket ? [boundSocket.socket] : []));
  }

  /**
   * Resolves to the text of the reply. For `noreturn`, resolves to `undefined` when the server has acknowledged the request.
   *
   * @param signal cancels the request, whose handler may still run.
   * @throws BenUdpRequestError `BEN_TIMEOUT`, `BEN_BAD_REPLY`, `BEN_REFUSED`, `BEN_QUEUE_FULL`, `BEN_REQUEST_TOO_LARGE`, `BEN_SOCKET`,
   * `BEN_CLOSED`; the signal's reason.
   */
  request(input: ClientRequest, signal?: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const request = new V2QueuedRequest(input, this.platform.now(), resolve, reject);
      if (this.book.add(request, signal, this.refuse(input.text), () => this.withdraw(request))) {
        this.address.hasten(input.timeout);
        this.dispatch();
      }
    });
  }

  stats(): BenUdpClientStats {
    return this.book.stats(this.sockets.length);
  }

  /** Fails all requests with `BEN_CLOSED` and closes the sockets. May be called more than once. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    this.address.close();
    this.book.failAll([...this.book.close(), ...this.book.running], ...CLOSED);
    await Promise.all(this.sessions.map((session) => session.close()));
  }

  /** The reason to reject a request at once. */
  private refuse(text: string): Refusal | undefined {
    const { bufferSize, maxQueue } = this.options;
    const length = v2RequestLength(text);
    if (length > bufferSize) {
      const reason = `the request takes ${length} bytes, and the server's buffer holds ${bufferSize} (bufferSize)`;
      return ['BEN_REQUEST_TOO_LARGE', reason];
    }
    if (this.book.waiting.length >= maxQueue + this.idle.length) {
      return ['BEN_QUEUE_FULL', `${maxQueue} requests already wait for a session (maxQueue)`];
    }
    return undefined;
  }

  /** Takes a cancelled request from the queue, or from its session. */
  private withdraw(request: V2QueuedRequest): void {
    const { session } = request;
    if (!this.book.remove(request) && session) {
      session.abandon();
      this.free(session, request);
    }
    this.dispatch();
  }

  private dispatch(): void {
    const { address, idle } = this;
    const { waiting } = this.book;
    if (waiting.length > 0 && !address.isUsable) {
      // Waiting requests continue when the lookup ends, or when it takes too long for one of them.
      address.lookUp(() => this.book.shortestTimeout);
      return;
    }
    while (waiting.length > 0 && idle.length > 0) {
      this.start(idle.pop()!, this.book.begin());
    }
  }

  private start(session: V2ClientSession, request: V2QueuedRequest): void {
    const { text, noreturn, timeout } = request.input;
    const { peer, localHost: host } = this.address;
    request.session = session;
    const onEnd = (outcome: SessionOutcome) => this.end(session, request, peer, outcome);
    void session.begin(
      { host, port: this.options.localPort, receiveBufferSize: undefined },
      { text, noreturn, peer, timeoutMs: timeout, onEnd },
    );
  }

  private end(session: V2ClientSession, request: V2QueuedRequest, peer: ClientPeer, outcome: SessionOutcome): void {
    this.free(session, request);
    if (outcome.kind === 'done') {
      this.book.complete(request, outcome.text);
    } else {
      this.address.doubt(peer);
      request.endedIn = stepOf(outcome.phase);
      this.failOrRetry(request, outcome);
    }
    this.dispatch();
  }

  private failOrRetry(request: V2QueuedRequest, outcome: Exclude<SessionOutcome, { kind: 'done' }>): void {
    const { timeout } = request.input;
    if (outcome.kind === 'socket-error') {
      const { error } = outcome;
      this.book.fail(request, 'BEN_SOCKET', `the socket failed: ${error.message}`, error);
      return;
    }
    if (outcome.kind === 'no-listener') {
      if (!this.book.retry(request, false, delayAfterRefusal(request.attempts, timeout))) {
        this.book.fail(request, 'BEN_REFUSED', NO_LISTENER, outcome.error);
      }
      return;
    }
    const { failure } = outcome;
    const isRefused = failure === 'refused';
    if (isRefused) {
      request.endedIn = 'hello';
    }
    // Refused or not even opened: nothing ran.
    const mayHaveRun = failure === 'unknown' || failure === 'bad-reply';
    if (this.book.retry(request, mayHaveRun, isRefused ? V2_REFUSED_DELAY_MS : 0)) {
      return;
    }
    const [code, reason] = {
      'no-answer': ['BEN_TIMEOUT', `no answer within ${timeout} ms`],
      unknown: ['BEN_TIMEOUT', `no answer within ${timeout} ms, or the server restarted`],
      refused: ['BEN_REFUSED', 'the server refused it, and did not run it'],
      'bad-reply': ['BEN_BAD_REPLY', 'the reply is not text'],
    }[failure] as [BenUdpErrorCode, string];
    this.book.fail(request, code, reason);
  }

  private free(session: V2ClientSession, request: V2QueuedRequest): void {
    request.session = undefined;
    this.book.running.delete(request);
    this.idle.push(session);
  }
}

function stepOf(phase: V2ClientPhase): BenUdpRequestStep {
  switch (phase) {
    case 'idle':
      return 'waiting';
    case 'opening':
      return 'hello';
    default:
      return 'request';
  }
}
