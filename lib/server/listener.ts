/**
 * A server without Nest: a socket, the exchange behind it, and the handlers in between. It passes requests to `onRequest`, and never sends
 * an answer late.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { debugLog } from '../debug-log.js';
import {
  type AcceptedDecision,
  type BenUdpRemote,
  type Decision,
  Exchanges,
  type LateDecision,
  type PendingRequest,
  type RejectedDecision,
  SHARED_ROUTE,
  type VerifiedRequest,
} from '../exchange/index.js';
import { formatEndpoint } from '../format-endpoint.js';
import type { KeyRing } from '../keys/index.js';
import { type Platform, StallWatch } from '../net/index.js';
import { toBindError } from './bind-error.js';
import { describeDecision } from './describe-decision.js';
import { KnownBoardKeeper } from './known-board-keeper.js';
import { leaveWhenQuiet } from './leave-when-quiet.js';
import type { Answer, ListenerHandlers, ListenerOptions } from './listener-options.js';
import { RequestSignals } from './request-signals.js';
import { SearchLoop } from './search-loop.js';
import { ServerSocket } from './server-socket.js';
import { type BenUdpOutcome, type BenUdpStats, Statistics } from './statistics.js';

/** How often a shutdown checks whether it still has to wait. */
const DRAIN_TICK_MS = 10;

/** The last share of the time for a shutdown. The signals of running handlers fire before it, so the handlers can still end. */
const CUT_OFF_SHARE = 0.1;

const NO_ANSWER: Answer = { text: undefined, isError: true };

/** The times of a request that is under way. */
interface StepTimes {
  readonly receivedAt: number;
  readonly verifiedAt: number;
}

export class Listener {
  private readonly exchange: Exchanges;
  private readonly signals: RequestSignals;
  /** Requests whose handlers run or are queued. Bounded by `maxInFlight`. */
  private readonly running = new Map<VerifiedRequest, PendingRequest>();
  private readonly statistics = new Statistics();
  private readonly stallWatch: StallWatch;
  private readonly searches: SearchLoop;
  private readonly boards: KnownBoardKeeper | undefined;
  private socket!: ServerSocket;
  private leaving: Promise<void> | undefined;
  private isClosed = false;

  private constructor(
    private readonly options: ListenerOptions,
    keys: KeyRing,
    private readonly handlers: ListenerHandlers,
    private readonly platform: Platform,
  ) {
    const { maxDatagramBytes, timeout, maxEndpoints, inFlight, limits, repair, isReserved } = options;
    const { maxResultBytes, route = SHARED_ROUTE } = options;
    this.exchange = new Exchanges({
      keys,
      maxDatagramBytes,
      deviceTimeoutMs: timeout,
      maxEndpoints,
      inFlight,
      limits,
      repair,
      ...(isReserved && { isReserved }),
      random: platform.randomFill,
      v2: { maxResultBytes, route },
    });
    this.signals = new RequestSignals((...args) => this.exchange.watch(...args), platform);
    this.boards =
      options.knownBoards &&
      new KnownBoardKeeper(this.exchange, options.knownBoards, platform, (...args) =>
        handlers.onStoreFailed?.(...args),
      );
    this.stallWatch = new StallWatch(platform);
    this.searches = new SearchLoop(this.exchange, platform, (late, now) => this.receiveLate(late, now));
  }

  /**
   * Binds the socket and begins to answer.
   *
   * @throws BenUdpError `BEN_ADDRESS_IN_USE`, `BEN_HOST_UNKNOWN`, `BEN_SOCKET`, `BEN_REUSE_PORT_UNSUPPORTED`.
   */
  static async bind(
    options: ListenerOptions,
    keys: KeyRing,
    handlers: ListenerHandlers,
    platform: Platform,
  ): Promise<Listener> {
    const listener = new Listener(options, keys, handlers, platform);
    try {
      await listener.boards?.load(keys);
      listener.socket = await listener.bindSocket();
    } catch (error) {
      listener.stallWatch.stop();
      throw toBindError(error as NodeJS.ErrnoException, options);
    }
    listener.exchange.start(platform.now());
    listener.boards?.start();
    return listener;
  }

  get address(): AddressInfo {
    return this.socket.address;
  }

  /** Bytes that the system grants for unread datagrams. */
  get receiveBufferSize(): number {
    return this.socket.receiveBufferSize;
  }

  unwrap(): Socket {
    return this.socket.unwrap();
  }

  stats(): BenUdpStats {
    return this.statistics.snapshot(this.exchange.knownEndpoints, this.exchange.sessions);
  }

  /** Accepts these keys from now on. */
  useKeys(keys: KeyRing): void {
    this.exchange.useKeys(keys, this.platform.now());
  }

  /**
   * Fires when nobody waits for the handler of a request any more: the device has stopped waiting for the reply, or `drain` is about
   * to cut the handler off. It never fires for a handler that has ended.
   */
  signalOf(request: VerifiedRequest): AbortSignal {
    const pending = this.running.get(request);
    return pending ? this.signals.of(request, pending) : new AbortController().signal;
  }

  /**
   * Refuses new exchanges. Those under way continue. On a shared port it refuses none, but leaves the boards to the other processes.
   *
   * @returns resolves at once, or within a second when the process has left a shared port.
   */
  async stopIssuing(): Promise<void> {
    if (this.options.reusePort) {
      this.leaving ??= this.leave();
      await this.leaving;
    } else {
      this.exchange.stopIssuing();
    }
  }

  /**
   * Stops issuing ids. Requests for ids that were just issued are still accepted, and running handlers and replies awaited, for up to
   * `timeoutMs`. For the last tenth of it, the signals of running handlers have fired.
   *
   * @returns the requests whose handlers still run after that.
   */
  async drain(timeoutMs: number): Promise<readonly VerifiedRequest[]> {
    await this.stopIssuing();
    const end = this.platform.now() + timeoutMs;
    const cutOffAt = end - timeoutMs * CUT_OFF_SHARE;
    for (let now = this.platform.now(); now < end && this.isBusy(now); now = this.platform.now()) {
      if (now >= cutOffAt) {
        this.signals.cutOff();
      }
      await this.pause(Math.min(DRAIN_TICK_MS, end - now));
    }
    this.signals.cutOff();
    return [...this.running.keys()];
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.stallWatch.stop();
    this.searches.stop();
    await this.socket.close();
    await this.boards?.close();
    this.exchange.dispose();
  }

  private bindSocket(): Promise<ServerSocket> {
    const handlers = {
      onDatagram: (datagram: Buffer, remote: BenUdpRemote) => this.receive(datagram, remote),
      onError: (error: unknown) => this.handlers.onError(error),
      onSendError: (error: Error) => this.countSendError(error),
    };
    return ServerSocket.bind(this.options, handlers, this.platform);
  }

  private countSendError(error: Error): void {
    this.statistics.countSendError();
    this.handlers.onSendError(error);
  }

  private async leave(): Promise<void> {
    await leaveWhenQuiet(this.platform, {
      received: () => this.statistics.received,
      awaitsRequests: (now) => this.exchange.awaitsRequests(now),
      stopIssuing: () => this.exchange.stopIssuing(),
    });
    await this.socket.leave();
  }

  /** Receives every datagram. An error thrown from here would end the process. */
  private receive(datagram: Buffer, remote: BenUdpRemote): void {
    try {
      const now = this.platform.now();
      const isOwn = this.handlers.isOwn?.(remote) ?? false;
      const waited = this.stallWatch.recordDatagram(now);
      this.act(this.exchange.receive(datagram, remote, now, waited, isOwn), remote, now, now);
    } catch (error) {
      this.handlers.onError(error);
    }
  }

  /** Receives the decisions of a search. */
  private receiveLate({ decision, remote, receivedAt }: LateDecision, now: number): void {
    try {
      this.act(decision, remote, now, receivedAt);
    } catch (error) {
      this.handlers.onError(error);
    }
  }

  private act(decision: Decision, remote: BenUdpRemote, now: number, receivedAt: number): void {
    if (debugLog.enabled) {
      debugLog(`${formatEndpoint(remote.address, remote.port)}: ${describeDecision(decision)}`);
    }
    switch (decision.kind) {
      case 'pair':
      case 'grant':
        this.statistics.countHello();
        this.socket.send(decision.datagrams, remote);
        return;
      case 'resent':
        this.statistics.countResent();
        this.socket.send(decision.datagrams, remote);
        return;
      case 'request':
        this.statistics.countRequest(decision.request.droppedMetadata);
        if (decision.datagrams) {
          this.socket.send(decision.datagrams, remote);
        }
        this.begin(decision, receivedAt);
        return;
      case 'searching':
        this.searches.start();
        return;
      case 'rejected':
        this.statistics.countRejected(decision.reason, decision.device);
        this.reject(decision, remote, now);
    }
  }

  private begin(decision: AcceptedDecision, receivedAt: number): void {
    const times = { receivedAt, verifiedAt: this.platform.now() };
    // The async scope of the socket lasts as long as the socket: later requests would see a store that is entered in it.
    const scope = new AsyncResource('BenUdpRequest');
    this.running.set(decision.request, decision.pending);
    this.exchange.whenFree(decision.pending, () => {
      if (!this.isClosed) {
        void scope.runInAsyncScope(this.answer, this, decision, times);
      }
    });
  }

  private reject(rejected: RejectedDecision, remote: BenUdpRemote, now: number): void {
    if (rejected.pending) {
      this.replyRefusal(rejected, rejected.pending, remote, now);
    }
    if (rejected.datagrams) {
      this.socket.send(rejected.datagrams, remote);
    }
    this.handlers.onRejected(rejected, remote);
  }

  private replyRefusal(rejected: RejectedDecision, pending: PendingRequest, remote: BenUdpRemote, now: number): void {
    try {
      const text = this.handlers.onRefused(rejected);
      const reply = text === undefined ? undefined : this.exchange.reply(pending, text, now);
      if (Array.isArray(reply)) {
        this.socket.send(reply, remote);
      }
    } finally {
      this.exchange.finish(pending, now);
    }
  }

  private isBusy(now: number): boolean {
    // Without its socket it gets no more requests, but one that it has read may wait for its key.
    const awaitsRequests = this.socket.hasLeft ? this.exchange.isSearching : this.exchange.awaitsRequests(now);
    return this.running.size > 0 || this.socket.isSending || awaitsRequests;
  }

  /** Never rejects: failures go to `onError`. */
  private async answer(decision: AcceptedDecision, times: StepTimes): Promise<void> {
    const { request } = decision;
    const handlerAt = this.platform.now();
    let answer = NO_ANSWER;
    try {
      answer = await this.handlers.onRequest(request, times.receivedAt);
    } catch (error) {
      this.handlers.onError(error);
    }
    this.running.delete(request);
    this.signals.end(request);
    if (this.isClosed) {
      // `drain` has reported it.
      return;
    }
    try {
      this.conclude(decision, answer, times, handlerAt);
    } catch (error) {
      this.handlers.onError(error);
    }
  }

  private conclude(
    { request, pending }: AcceptedDecision,
    answer: Answer,
    { receivedAt, verifiedAt }: StepTimes,
    handlerAt: number,
  ): void {
    const now = this.platform.now();
    let outcome: BenUdpOutcome = answer.isError ? 'event-failed' : 'event';
    try {
      outcome = request.noreturn ? outcome : this.reply(request, pending, answer, now);
    } finally {
      this.exchange.finish(pending, now);
    }
    if (debugLog.enabled) {
      debugLog(`${formatEndpoint(request.remote.address, request.remote.port)}: request ended: ${outcome}`);
    }
    this.statistics.countOutcome(outcome, now - receivedAt);
    this.handlers.onEnded({ request, outcome, receivedAt, verifiedAt, handlerAt, endedAt: now });
  }

  private reply(
    { remote }: VerifiedRequest,
    pending: PendingRequest,
    { text, isError }: Answer,
    now: number,
  ): BenUdpOutcome {
    if (text === undefined) {
      return 'error-silent';
    }
    const reply = this.exchange.reply(pending, text, now);
    if (typeof reply === 'string') {
      return reply;
    }
    if (!this.socket.send(reply, remote)) {
      return 'unsent';
    }
    return isError ? 'error-reply' : 'answered';
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.platform.schedule(resolve, ms));
  }
}
