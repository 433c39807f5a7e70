/**
 * The strategy that makes BenCommunication one of Nest's transports: binds the socket, feeds datagrams to the exchange, and
 * routes what verifies to handlers.
 */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:dgram';
import type { CustomTransportStrategy } from '@nestjs/microservices';
import { DEFAULT_BUFFER_SIZE } from './ben-udp.constants.js';
import { BenUdpError } from './ben-udp.errors.js';
import { type BenUdpEvents, BenUdpStatus } from './ben-udp.events.js';
import {
  type BenUdpTransportOptions,
  type ResolvedTransportOptions,
  resolveTransportOptions,
} from './ben-udp.options.js';
import { BenUdpRouter, HIDDEN_ERROR, type Outcome } from './ben-udp.router.js';
import { KeyRing, type Remote, type VerifiedRequest } from './exchange/index.js';
import { loadKeys } from './key-options.js';
import { Listener, type ListenerHandlers, type RejectedReceipt } from './listener.js';
import { type Platform, nodePlatform } from './net/index.js';
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
  private listener: Listener | undefined;
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
    if (!this.listener) {
      throw new Error('Not listening. Call "listen" or "startAllMicroservices" before "unwrap".');
    }
    return this.listener.boundSocket.socket as T;
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
    const keys = new KeyRing(await loadKeys(this.options.keys));
    const maxDatagramBytes = Math.max(this.options.bufferSize, DEFAULT_BUFFER_SIZE);
    const handlers: ListenerHandlers = {
      onRequest: (request) => this.answer(request),
      onRejected: (rejected, remote) => this.reportRejection(rejected, remote),
      onRefused: (refusal, { action }) =>
        this.logger.warn(
          `The reply to ${this.quotePattern(action)} was not sent: the device has stopped waiting (${refusal})`,
        ),
      onError: (error) => this.reportError(error),
    };
    this.listener = await Listener.bind({ ...this.options, maxDatagramBytes }, keys, handlers, this.platform);
    const { address, receiveBufferSize } = this.listener.boundSocket;
    this.logger.log(
      `Listening on ${address.address}:${address.port} for ${keys.describe()}, ` +
        `${receiveBufferSize} bytes of receive buffer granted`,
    );
    this._status$.next(BenUdpStatus.LISTENING);
    this.emit('listening', address);
  }

  private async stop(): Promise<void> {
    // A start that failed has told its own caller.
    await this.starting?.catch(() => undefined);
    const { listener } = this;
    if (!listener) {
      return;
    }
    const { shutdownTimeout } = this.options;
    const cutOff = await listener.drain(shutdownTimeout);
    if (cutOff > 0) {
      this.logger.warn(`${cutOff} handlers still ran after ${shutdownTimeout} ms and were cut off`);
    }
    this.listener = undefined;
    this.starting = undefined;
    await listener.close();
    this._status$.next(BenUdpStatus.CLOSED);
    this.emit('close');
  }

  /** The text of the reply to a request; `undefined` where the device is told nothing. */
  private async answer(request: VerifiedRequest): Promise<string | undefined> {
    const outcome = await this.route(request, Date.now()).catch((error: unknown): Outcome => {
      this.logger.error(error);
      return { err: HIDDEN_ERROR, isDisposed: true };
    });
    return request.noreturn ? undefined : this.format(outcome, request);
  }

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

  /** Says why a datagram got no answer: aloud where a key holder sent it, in silence where a stranger may have. */
  private reportRejection({ reason, device, error }: RejectedReceipt, remote: Remote): void {
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
