/**
 * A client of protocol v2 without Nest: sends requests to one server over a bounded number of sessions. A session carries one request at
 * a time. Further requests wait in a bounded queue.
 */
import type { Socket } from 'node:dgram';
import { isIP, isIPv6 } from 'node:net';
import type { BenUdpErrorCode, BenUdpRequestError, BenUdpRequestStep } from '../errors.js';
import { type BenUdpIgnoredReason, IGNORED_REASONS, type V2ClientPhase } from '../exchange/index.js';
import type { Platform } from '../net/index.js';
import { v2RequestLength } from '../protocol/v2/index.js';
import type { ClientPeer } from './client-socket.js';
import type {
  BenUdpClientOutcome,
  BenUdpClientStats,
  ClientRequest,
  RequestClientHandlers,
  RequestClientOptions,
} from './request-client.js';
import { CLOSED, describeFailure } from './request-failure.js';
import { RequestQueue } from './request-queue.js';
import { type NamedServer, ServerAddress, findServer } from './server-address.js';
import { type LineOutcome, V2Line } from './v2-line.js';

/** Sessions of a client: as many as a server keeps for the key of a device. */
export const MAX_V2_SESSIONS = 8;

/** Wait before the next attempt after a refusal, in milliseconds: the server closes or is in trouble. */
export const V2_REFUSED_DELAY_MS = 1000;

/** A request from `request` to its end. */
class PendingRequest {
  attempts = 0;
  step: BenUdpRequestStep = 'waiting';
  line: V2Line | undefined;
  isSettled = false;
  onSettled: () => void = () => undefined;

  constructor(
    readonly input: ClientRequest,
    readonly askedAt: number,
    readonly resolve: (text: string | undefined) => void,
    readonly reject: (error: unknown) => void,
  ) {}
}

export class V2RequestClient {
  private readonly waiting = new RequestQueue<PendingRequest>();
  /** Bounded by `maxSockets`, as `idle`. */
  private readonly running = new Set<PendingRequest>();
  /** Refused requests before their next attempt, with the function that cancels it. */
  private readonly delayed = new Map<PendingRequest, () => void>();
  /** The line that was used last is last, and is taken first. */
  private readonly idle: V2Line[];
  private readonly lines: readonly V2Line[];
  private readonly outcomes: Record<BenUdpClientOutcome, number> = { answered: 0, sent: 0, failed: 0, cancelled: 0 };
  private readonly ignored = Object.fromEntries(Object.keys(IGNORED_REASONS).map((reason) => [reason, 0])) as Record<
    BenUdpIgnoredReason,
    number
  >;
  private readonly address: ServerAddress;
  private requests = 0;
  private retries = 0;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly options: RequestClientOptions,
    key: Uint8Array,
    server: NamedServer,
    peer: ClientPeer,
    handlers: RequestClientHandlers,
    private readonly platform: Platform,
  ) {
    const { bufferSize, idleTimeout, maxSockets } = options;
    const onError = (error: unknown) => handlers.onError(error);
    this.address = new ServerAddress(server, peer, { onUsable: () => this.dispatch(), onError }, platform);
    const onIgnored = (reason: BenUdpIgnoredReason, remote: ClientPeer) => {
      this.ignored[reason]++;
      handlers.onIgnored(reason, remote);
    };
    this.lines = Array.from(
      { length: maxSockets },
      () => new V2Line({ key, bufferSize, idleTimeoutMs: idleTimeout }, { onIgnored, onError }, platform),
    );
    this.idle = [...this.lines];
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
    const { host, port, localAddress } = options;
    const own = Buffer.alloc(key.length);
    own.set(key);
    try {
      const server = { host, port, family: localAddress === undefined ? 0 : isIP(localAddress) };
      const peer = await findServer(server, lookupTimeoutMs, platform);
      return new V2RequestClient(options, own, server, peer, handlers, platform);
    } finally {
      own.fill(0);
    }
  }

  /** The bound sockets. */
  get sockets(): Socket[] {
    return this.lines.flatMap(({ boundSocket }) => (boundSocket ? [boundSocket.socket] : []));
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
      const request = new PendingRequest(input, this.platform.now(), resolve, reject);
      this.requests++;
      if (signal?.aborted) {
        this.settle(request, 'cancelled', () => reject(signal.reason));
        return;
      }
      const refusal = this.refuse(request);
      if (refusal) {
        this.fail(request, refusal);
        return;
      }
      this.listenTo(signal, request);
      this.waiting.add(request);
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
      sockets: this.sockets.length,
    };
  }

  /** Fails all requests with `BEN_CLOSED` and closes the sockets. May be called more than once. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    this.address.close();
    const delayed = [...this.delayed.keys()];
    delayed.forEach((request) => this.cancelRetry(request));
    for (const request of [...this.waiting.takeAll(), ...delayed, ...this.running]) {
      this.fail(request, this.failure(request, 'BEN_CLOSED', CLOSED));
    }
    await Promise.all(this.lines.map((line) => line.close()));
  }

  /** The reason to reject a request at once. */
  private refuse(request: PendingRequest): BenUdpRequestError | undefined {
    const { bufferSize, maxQueue } = this.options;
    if (this.closing) {
      return this.failure(request, 'BEN_CLOSED', CLOSED);
    }
    const length = v2RequestLength(request.input.text);
    if (length > bufferSize) {
      const reason = `the request takes ${length} bytes, and the server's buffer holds ${bufferSize} (bufferSize)`;
      return this.failure(request, 'BEN_REQUEST_TOO_LARGE', reason);
    }
    if (this.waiting.length >= maxQueue + this.idle.length) {
      return this.failure(request, 'BEN_QUEUE_FULL', `${maxQueue} requests already wait for a session (maxQueue)`);
    }
    return undefined;
  }

  private listenTo(signal: AbortSignal | undefined, request: PendingRequest): void {
    if (signal) {
      const onAbort = () => {
        this.settle(request, 'cancelled', () => request.reject(signal.reason));
        this.withdraw(request);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      request.onSettled = () => signal.removeEventListener('abort', onAbort);
    }
  }

  private withdraw(request: PendingRequest): void {
    const { line } = request;
    if (!this.waiting.remove(request) && !this.cancelRetry(request) && line) {
      line.abandon();
      this.free(line, request);
    }
    this.dispatch();
  }

  private dispatch(): void {
    if (this.waiting.length > 0 && !this.address.isUsable) {
      const [first] = this.waiting;
      this.address.lookUp(first!.input.timeout);
      return;
    }
    while (this.waiting.length > 0 && this.idle.length > 0 && !this.closing) {
      this.start(this.idle.pop()!, this.waiting.take()!);
    }
  }

  private start(line: V2Line, request: PendingRequest): void {
    const { text, noreturn, timeout } = request.input;
    const { peer } = this.address;
    const host = this.options.localAddress ?? (isIPv6(peer.address) ? '::' : '0.0.0.0');
    request.attempts++;
    request.line = line;
    this.running.add(request);
    const onEnd = (outcome: LineOutcome) => this.end(line, request, peer, outcome);
    void line.begin(
      { host, port: this.options.localPort, receiveBufferSize: undefined },
      { text, noreturn, peer, timeoutMs: timeout, onEnd },
    );
  }

  private end(line: V2Line, request: PendingRequest, peer: ClientPeer, outcome: LineOutcome): void {
    this.free(line, request);
    if (outcome.kind === 'done') {
      this.settle(request, request.input.noreturn ? 'sent' : 'answered', () => request.resolve(outcome.text));
    } else {
      this.address.doubt(peer);
      request.step = stepOf(outcome.phase);
      this.failOrRetry(request, outcome);
    }
    this.dispatch();
  }

  private failOrRetry(request: PendingRequest, outcome: Exclude<LineOutcome, { kind: 'done' }>): void {
    if (outcome.kind === 'socket-error') {
      const { error } = outcome;
      this.fail(request, this.failure(request, 'BEN_SOCKET', `the socket failed: ${error.message}`, error));
      return;
    }
    const { retries, idempotent, timeout } = request.input;
    const { failure } = outcome;
    // Refused or not even opened: nothing ran.
    const mayHaveRun = failure === 'unknown' || failure === 'bad-reply';
    if (failure === 'refused') {
      request.step = 'hello';
    }
    if (!request.isSettled && !this.closing && request.attempts <= retries && (idempotent || !mayHaveRun)) {
      this.retries++;
      if (failure === 'refused') {
        this.retryLater(request);
      } else {
        this.waiting.addRetry(request);
      }
      return;
    }
    const [code, reason] = {
      'no-answer': ['BEN_TIMEOUT', `no answer within ${timeout} ms`],
      unknown: ['BEN_TIMEOUT', `no answer within ${timeout} ms, or the server restarted`],
      refused: ['BEN_REFUSED', 'the server refused it, and did not run it'],
      'bad-reply': ['BEN_BAD_REPLY', 'the reply is no text'],
    }[failure] as [BenUdpErrorCode, string];
    this.fail(request, this.failure(request, code, reason));
  }

  private retryLater(request: PendingRequest): void {
    const cancel = this.platform.schedule(() => {
      this.delayed.delete(request);
      this.waiting.addRetry(request);
      this.dispatch();
    }, V2_REFUSED_DELAY_MS);
    this.delayed.set(request, cancel);
  }

  private cancelRetry(request: PendingRequest): boolean {
    this.delayed.get(request)?.();
    return this.delayed.delete(request);
  }

  private free(line: V2Line, request: PendingRequest): void {
    request.line = undefined;
    this.running.delete(request);
    this.idle.push(line);
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
    const { attempts, line, askedAt, input } = request;
    const step = line ? stepOf(line.phase) : request.step;
    const elapsedMs = Math.round(this.platform.now() - askedAt);
    return describeFailure(code, reason, this.options, { pattern: input.pattern, step, attempts, elapsedMs }, cause);
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
