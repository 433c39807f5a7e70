/**
 * A server without Nest: a socket, the exchange behind it, and the work in between. Takes requests to whoever answers them
 * and brings the answers back, spaced, in time, or not at all.
 */
import type { ExchangeLimits, ReplyRefusal, WorkloadLimits } from './exchange/index.js';
import { type KeyRing, type Receipt, type Remote, ServerExchange, type VerifiedRequest } from './exchange/index.js';
import { InFlight } from './in-flight.js';
import { type DatagramSocket, type Platform, StallWatch } from './net/index.js';

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly receiveBufferSize: number;
  readonly maxDatagramBytes: number;
  readonly timeout: number;
  readonly datagramGap: number;
  readonly maxEndpoints: number;
  readonly workload: WorkloadLimits;
  readonly limits: ExchangeLimits;
  readonly repair: boolean;
}

export type RejectedReceipt = Extract<Receipt, { kind: 'rejected' }>;

/** Whoever answers requests, and hears what happens. */
export interface ListenerHandlers {
  /** Answers a request: the text of the reply, or `undefined` for none. */
  onRequest(request: VerifiedRequest): Promise<string | undefined>;
  onRejected(rejected: RejectedReceipt, remote: Remote): void;
  /** There was a reply, but its device has stopped waiting. */
  onRefused(refusal: ReplyRefusal, request: VerifiedRequest): void;
  /** A bug here or in a handler of these, or a failure of the socket; the listener goes on. */
  onError(error: unknown): void;
}

export class Listener {
  readonly exchange: ServerExchange;
  private readonly inFlight = new InFlight();
  private readonly stallWatch: StallWatch;
  private socket!: DatagramSocket;

  private constructor(
    private readonly options: ListenerOptions,
    keys: KeyRing,
    private readonly handlers: ListenerHandlers,
    private readonly platform: Platform,
  ) {
    this.exchange = new ServerExchange({ ...options, keys, deviceTimeoutMs: options.timeout });
    this.stallWatch = new StallWatch(platform);
  }

  /** Binds the socket and begins to answer; rejects with the system's error where that is not possible. */
  static async bind(
    options: ListenerOptions,
    keys: KeyRing,
    handlers: ListenerHandlers,
    platform: Platform,
  ): Promise<Listener> {
    const listener = new Listener(options, keys, handlers, platform);
    try {
      listener.socket = await platform.bindSocket(options, {
        onDatagram: (datagram, remote) => listener.receive(datagram, remote),
        onError: (error) => handlers.onError(error),
      });
    } catch (error) {
      listener.stallWatch.stop();
      throw error;
    }
    return listener;
  }

  get boundSocket(): DatagramSocket {
    return this.socket;
  }

  /**
   * No new ids; requests for issued ones are still accepted, handlers and replies under way awaited for up to `timeoutMs`.
   *
   * @returns how many handlers still ran then.
   */
  async drain(timeoutMs: number): Promise<number> {
    this.exchange.stopIssuing();
    let callOff: (() => void) | undefined;
    const timeIsUp = new Promise<void>((resolve) => {
      callOff = this.platform.schedule(resolve, timeoutMs);
    });
    await Promise.race([this.inFlight.whenEmpty(), timeIsUp]);
    callOff?.();
    return this.inFlight.size;
  }

  async close(): Promise<void> {
    this.stallWatch.stop();
    await this.socket.close();
  }

  /** Every datagram comes in here; nothing may be thrown out of it, for that would end the process. */
  private receive(datagram: Buffer, remote: Remote): void {
    try {
      const now = this.platform.now();
      this.act(this.exchange.receive(datagram, remote, now, this.stallWatch.waited(now)), remote);
    } catch (error) {
      this.handlers.onError(error);
    }
  }

  private act(receipt: Receipt, remote: Remote): void {
    switch (receipt.kind) {
      case 'pair':
        this.send(receipt.datagrams, remote);
        return;
      case 'request':
        this.track(this.answer(receipt));
        return;
      case 'rejected':
        this.handlers.onRejected(receipt, remote);
    }
  }

  private async answer({ request, work, ticket }: Extract<Receipt, { kind: 'request' }>): Promise<void> {
    try {
      const text = await this.handlers.onRequest(request);
      if (!ticket || text === undefined) {
        return;
      }
      const reply = this.exchange.reply(ticket, text, this.platform.now());
      if (typeof reply === 'string') {
        this.handlers.onRefused(reply, request);
      } else {
        this.send(reply, request.remote);
      }
    } finally {
      this.exchange.finish(work, ticket, this.platform.now());
    }
  }

  private send(datagrams: readonly Buffer[], remote: Remote): void {
    if (this.options.datagramGap > 0) {
      this.track(this.sendSpaced(datagrams, remote));
      return;
    }
    for (const datagram of datagrams) {
      this.socket.send(datagram, remote.port, remote.address);
    }
  }

  private async sendSpaced(datagrams: readonly Buffer[], remote: Remote): Promise<void> {
    for (const [index, datagram] of datagrams.entries()) {
      if (index > 0) {
        await new Promise<void>((resolve) => this.platform.schedule(resolve, this.options.datagramGap));
      }
      this.socket.send(datagram, remote.port, remote.address);
    }
  }

  /** Counts work that a shutdown has to wait for. */
  private track(work: Promise<void>): void {
    this.inFlight.begin();
    work.catch((error: unknown) => this.handlers.onError(error)).finally(() => this.inFlight.end());
  }
}
