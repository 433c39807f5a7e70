/**
 * The strategy that makes BenCommunication one of Nest's transports: binds the socket, feeds datagrams to the exchange, and
 * routes what verifies to handlers.
 */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:dgram';
import type { CustomTransportStrategy } from '@nestjs/microservices';
import { DEFAULT_BUFFER_SIZE, REPLY_SHARE_OF_TIMEOUT } from './ben-udp.constants.js';
import { BenUdpError } from './ben-udp.errors.js';
import { type BenUdpEvents, BenUdpStatus } from './ben-udp.events.js';
import {
  type BenUdpTransportOptions,
  type ResolvedTransportOptions,
  resolveTransportOptions,
} from './ben-udp.options.js';
import { BenUdpRouter, HIDDEN_ERROR, type Outcome } from './ben-udp.router.js';
import {
  KeyRing,
  type Receipt,
  type Remote,
  type ReplyTicket,
  ServerExchange,
  type VerifiedRequest,
} from './exchange/index.js';
import { InFlight } from './in-flight.js';
import { loadKeys } from './key-options.js';
import { type DatagramSocket, type Platform, nodePlatform } from './net/index.js';
import { formatErrorReply, formatReply } from './protocol/index.js';

/**
 * NestJS transport strategy for BenCommunication devices.
 *
 *     app.connectMicroservice({ strategy: new BenUdpTransport({ port: 8585, keyFile: 'key.sec' }) })
 *
 * @publicApi
 */
export class BenUdpTransport extends BenUdpRouter implements CustomTransportStrategy {
  private readonly options: ResolvedTransportOptions;
  private readonly emitter = new EventEmitter();
  private readonly inFlight = new InFlight();
  private exchange: ServerExchange | undefined;
  private socket: DatagramSocket | undefined;
  private starting: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  /**
   * @param platform replaces clock, timers and sockets; for simulators.
   * @throws TypeError, RangeError naming the option that is wrong. Key files are read by `listen`.
   */
  constructor(
    options: BenUdpTransportOptions = {},
    private readonly platform: Platform = nodePlatform,
  ) {
    super();
    this.options = resolveTransportOptions(options);
    this.initializeSerializer(options);
    this.initializeDeserializer(options);
  }

  /** Loads the keys and binds the socket. `callback` is called once: without arguments, or with what went wrong. */
  listen(callback: (error?: unknown) => void): void {
    this.start().then(() => callback(), callback);
  }

  /**
   * Stops: no new ids, requests for issued ids still accepted, running handlers and their replies awaited for up to
   * `shutdownTimeout`, then the socket closed. May be called at any time and more than once.
   */
  close(): Promise<void> {
    this.closing ??= this.stop();
    return this.closing;
  }

  /** Registers a listener, before or after `listen`. */
  on<EventKey extends keyof BenUdpEvents>(event: EventKey, callback: BenUdpEvents[EventKey]): void {
    this.emitter.on(event, callback);
  }

  /**
   * The bound `dgram.Socket`.
   *
   * @throws Error before `listen` has succeeded and after `close`.
   */
  unwrap<T = Socket>(): T {
    if (!this.socket) {
      throw new Error('Not listening. Call "listen" or "startAllMicroservices" before "unwrap".');
    }
    return this.socket.socket as T;
  }

  private async start(): Promise<void> {
    if (this.starting) {
      throw new BenUdpError('BEN_ALREADY_LISTENING', 'this transport is listening already; close it first');
    }
    this.closing = undefined;
    this.starting = this.bind();
    try {
      await this.starting;
    } catch (error) {
      this.starting = undefined;
      throw error;
    }
  }

  private async bind(): Promise<void> {
    const { keys, host, port, receiveBufferSize, bufferSize, timeout, maxEndpoints } = this.options;
    const ring = new KeyRing(await loadKeys(keys));
    const exchange = new ServerExchange({
      keys: ring,
      maxDatagramBytes: Math.max(bufferSize, DEFAULT_BUFFER_SIZE),
      maxEndpoints,
      replyWithinMs: timeout * REPLY_SHARE_OF_TIMEOUT,
    });
    this.exchange = exchange;
    this.socket = await this.platform.bindSocket(
      { host, port, receiveBufferSize },
      {
        onDatagram: (datagram, remote) => this.receive(exchange, datagram, remote),
        onError: (error) => this.reportError(error),
      },
    );
    const { address, port: boundPort } = this.socket.address;
    this.logger.log(
      `Listening on ${address}:${boundPort} with key ${ring.keys.map((key) => key.fingerprint).join(', ')}, ` +
        `${this.socket.receiveBufferSize} bytes of receive buffer`,
    );
    this._status$.next(BenUdpStatus.LISTENING);
    this.emit('listening', this.socket.address);
  }

  private async stop(): Promise<void> {
    // A start that failed has told its own caller.
    await this.starting?.catch(() => undefined);
    const { socket } = this;
    if (!socket) {
      return;
    }
    this.exchange?.stopIssuing();
    await this.drain();
    this.socket = undefined;
    this.starting = undefined;
    await socket.close();
    this._status$.next(BenUdpStatus.CLOSED);
    this.emit('close');
  }

  /** Waits for what is running, but not longer than `shutdownTimeout`. */
  private async drain(): Promise<void> {
    const { shutdownTimeout } = this.options;
    let callOff: (() => void) | undefined;
    const timeIsUp = new Promise<void>((resolve) => {
      callOff = this.platform.schedule(resolve, shutdownTimeout);
    });
    await Promise.race([this.inFlight.whenEmpty(), timeIsUp]);
    callOff?.();
    if (this.inFlight.size > 0) {
      this.logger.warn(`${this.inFlight.size} handlers still ran after ${shutdownTimeout} ms and were cut off`);
    }
  }

  /** Every datagram comes in here; nothing may be thrown out of it, for that would end the process. */
  private receive(exchange: ServerExchange, datagram: Buffer, remote: Remote): void {
    try {
      this.act(exchange.receive(datagram, remote, this.platform.now()), remote);
    } catch (error) {
      this.reportError(error);
    }
  }

  private act(receipt: Receipt, remote: Remote): void {
    switch (receipt.kind) {
      case 'pair':
        this.sendDatagrams(receipt.datagrams, remote);
        return;
      case 'request':
        this.track(this.handle(receipt.request, receipt.ticket));
        return;
      case 'rejected':
        this.reportRejection(receipt, remote);
    }
  }

  private async handle(request: VerifiedRequest, ticket: ReplyTicket | undefined): Promise<void> {
    const outcome = await this.route(request, Date.now()).catch((error: unknown): Outcome => {
      this.logger.error(error);
      return { err: HIDDEN_ERROR, isDisposed: true };
    });
    if (ticket) {
      await this.answer(request, ticket, outcome);
    }
  }

  private async answer(request: VerifiedRequest, ticket: ReplyTicket, outcome: Outcome): Promise<void> {
    const text = await this.format(outcome, request);
    if (text === undefined) {
      return;
    }
    const reply = this.exchange?.reply(ticket, text, this.platform.now());
    if (Array.isArray(reply)) {
      this.sendDatagrams(reply, request.remote);
    } else {
      this.logger.warn(
        `The reply to ${this.quotePattern(request.action)} was not sent: the device has stopped waiting (${reply})`,
      );
    }
  }

  /** The text of a reply; `undefined` for an error that is not to be told. */
  private async format(outcome: Outcome, request: VerifiedRequest): Promise<string | undefined> {
    const { bufferSize } = this.options;
    try {
      const packet: Outcome = await this.serializer.serialize(outcome as Outcome & { id: string });
      return packet.err === undefined ? formatReply(packet.response, bufferSize) : this.formatError(packet.err);
    } catch (error) {
      this.logger.error(`The result of ${this.quotePattern(request.action)} can't be sent`, error);
      const message = error instanceof BenUdpError ? error.message : HIDDEN_ERROR.message;
      return this.formatError({ status: 'error', message });
    }
  }

  private formatError(error: unknown): string | undefined {
    const { errorReply, bufferSize } = this.options;
    return errorReply === 'none' ? undefined : formatErrorReply(error, errorReply, bufferSize);
  }

  private sendDatagrams(datagrams: readonly Buffer[], remote: Remote): void {
    if (this.options.datagramGap > 0) {
      this.track(this.sendSpaced(datagrams, remote));
      return;
    }
    for (const datagram of datagrams) {
      this.socket?.send(datagram, remote.port, remote.address);
    }
  }

  private async sendSpaced(datagrams: readonly Buffer[], remote: Remote): Promise<void> {
    for (const [index, datagram] of datagrams.entries()) {
      if (index > 0) {
        await new Promise<void>((resolve) => this.platform.schedule(resolve, this.options.datagramGap));
      }
      this.socket?.send(datagram, remote.port, remote.address);
    }
  }

  /** Counts work that a shutdown has to wait for. */
  private track(work: Promise<void>): void {
    this.inFlight.begin();
    work.catch((error: unknown) => this.reportError(error)).finally(() => this.inFlight.end());
  }

  /** Says why a datagram got no answer: aloud where a key holder sent it, in silence where a stranger may have. */
  private reportRejection({ reason, device, error }: Extract<Receipt, { kind: 'rejected' }>, remote: Remote): void {
    if (error) {
      this.logger.warn(
        `Request of ${device ?? 'a device'} at ${remote.address} rejected (${reason}): ${error.message}`,
      );
    } else {
      this.logger.debug?.(`Datagram from ${remote.address}:${remote.port} rejected: ${reason}`);
    }
    this.emit('rejected', { reason, remote, device });
  }

  private reportError(error: unknown): void {
    this.logger.error(error);
    if (this.emitter.listenerCount('error') > 0) {
      this.emit('error', error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** A listener that throws must not take the server with it. */
  private emit<EventKey extends keyof BenUdpEvents>(
    event: EventKey,
    ...args: Parameters<BenUdpEvents[EventKey]>
  ): void {
    try {
      this.emitter.emit(event, ...args);
    } catch (error) {
      this.logger.error(error);
    }
  }
}
