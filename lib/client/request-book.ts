/**
 * The requests of a client from `request` to their end: which of them wait, which run, and which were refused and wait for their next
 * attempt. It counts them, and settles each once.
 */
import type { BenUdpErrorCode, BenUdpRequestStep } from '../errors.js';
import { type BenUdpIgnoredReason, IGNORED_REASONS } from '../exchange/index.js';
import type { Platform } from '../net/index.js';
import { CLOSED, describeFailure } from './request-failure.js';
import { RequestQueue } from './request-queue.js';

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
   * a new id, so the server can't recognise the same request.
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

/** Why a request is rejected at once. */
export type Refusal = readonly [code: BenUdpErrorCode, reason: string];

export class QueuedRequest {
  attempts = 0;
  isSettled = false;
  onSettled: () => void = () => undefined;

  constructor(
    readonly input: ClientRequest,
    readonly askedAt: number,
    readonly resolve: (text: string | undefined) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  /** How far its latest attempt has come. */
  get step(): BenUdpRequestStep {
    return 'waiting';
  }
}

export class RequestBook<Request extends QueuedRequest> {
  readonly waiting = new RequestQueue<Request>();
  /** Bounded by `maxSockets`. */
  readonly running = new Set<Request>();
  /** Refused requests before their next attempt, with the function that cancels it. At most one for each past exchange. */
  private readonly delayed = new Map<Request, () => void>();
  private readonly outcomes: Record<BenUdpClientOutcome, number> = { answered: 0, sent: 0, failed: 0, cancelled: 0 };
  private readonly ignored = Object.fromEntries(Object.keys(IGNORED_REASONS).map((reason) => [reason, 0])) as Record<
    BenUdpIgnoredReason,
    number
  >;
  private requests = 0;
  private retries = 0;
  private isClosed = false;

  /**
   * @param server named in errors.
   * @param onDue called when a refused request waits for a socket again.
   */
  constructor(
    private readonly server: { readonly host: string; readonly port: number },
    private readonly platform: Pick<Platform, 'now' | 'schedule'>,
    private readonly onDue: () => void,
  ) {}

  /**
   * Lets a request wait for a socket, unless it ends at once.
   *
   * @param refusal set if it is rejected.
   * @param onCancelled called if the signal is aborted later.
   * @returns whether it waits.
   */
  add(
    request: Request,
    signal: AbortSignal | undefined,
    refusal: Refusal | undefined,
    onCancelled: () => void,
  ): boolean {
    this.requests++;
    if (signal?.aborted) {
      this.cancel(request, signal.reason);
      return false;
    }
    const reason = this.isClosed ? CLOSED : refusal;
    if (reason) {
      this.fail(request, ...reason);
      return false;
    }
    if (signal) {
      const onAbort = () => {
        this.cancel(request, signal.reason);
        onCancelled();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      request.onSettled = () => signal.removeEventListener('abort', onAbort);
    }
    this.waiting.add(request);
    return true;
  }

  /** The shortest timeout of the requests that wait. */
  get shortestTimeout(): number {
    let shortest = Infinity;
    for (const { input } of this.waiting) {
      shortest = Math.min(shortest, input.timeout);
    }
    return shortest;
  }

  countIgnored(reason: BenUdpIgnoredReason): void {
    this.ignored[reason]++;
  }

  /** Takes the next request out of the queue, for an attempt. */
  begin(): Request {
    const request = this.waiting.take()!;
    request.attempts++;
    this.running.add(request);
    return request;
  }

  /** Takes a request out that is not running; false if it is not here. */
  remove(request: Request): boolean {
    return this.waiting.remove(request) || this.cancelRetry(request);
  }

  /** Takes out all that are not running. None is retried any more. */
  close(): Request[] {
    this.isClosed = true;
    const delayed = [...this.delayed.keys()];
    delayed.forEach((request) => this.cancelRetry(request));
    return [...this.waiting.takeAll(), ...delayed];
  }

  /**
   * Lets a request wait for its next attempt.
   *
   * @param mayHaveRun whether its handler may have run.
   * @param delayMs before that attempt.
   * @returns false if it has no attempt left, or must not be repeated.
   */
  retry(request: Request, mayHaveRun: boolean, delayMs: number): boolean {
    const { retries, idempotent } = request.input;
    if (request.isSettled || this.isClosed || request.attempts > retries || (mayHaveRun && !idempotent)) {
      return false;
    }
    this.retries++;
    if (delayMs === 0) {
      this.waiting.addRetry(request);
      return true;
    }
    const cancel = this.platform.schedule(() => {
      this.delayed.delete(request);
      this.waiting.addRetry(request);
      this.onDue();
    }, delayMs);
    this.delayed.set(request, cancel);
    return true;
  }

  /** @param text of the reply. */
  complete(request: Request, text: string | undefined): void {
    this.settle(request, request.input.noreturn ? 'sent' : 'answered', () => request.resolve(text));
  }

  fail(request: Request, code: BenUdpErrorCode, reason: string, cause?: Error): void {
    const { attempts, step, askedAt, input } = request;
    const elapsedMs = Math.round(this.platform.now() - askedAt);
    const facts = { pattern: input.pattern, step, attempts, elapsedMs };
    const error = describeFailure(code, reason, this.server, facts, cause);
    this.settle(request, 'failed', () => request.reject(error));
  }

  failAll(requests: Iterable<Request>, code: BenUdpErrorCode, reason: string, cause?: Error): void {
    for (const request of requests) {
      this.fail(request, code, reason, cause);
    }
  }

  stats(sockets: number): BenUdpClientStats {
    return {
      requests: this.requests,
      outcomes: { ...this.outcomes },
      retries: this.retries,
      ignored: { ...this.ignored },
      waiting: this.waiting.length + this.delayed.size,
      running: this.running.size,
      sockets,
    };
  }

  private cancel(request: Request, reason: unknown): void {
    this.settle(request, 'cancelled', () => request.reject(reason));
  }

  private settle(request: Request, outcome: BenUdpClientOutcome, tell: () => void): void {
    if (!request.isSettled) {
      request.isSettled = true;
      request.onSettled();
      this.running.delete(request);
      this.outcomes[outcome]++;
      tell();
    }
  }

  /** Drops the next attempt of a request. */
  private cancelRetry(request: Request): boolean {
    this.delayed.get(request)?.();
    return this.delayed.delete(request);
  }
}
