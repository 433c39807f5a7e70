/**
 * The strategy that makes BenCommunication one of Nest's transports: binds the socket, feeds datagrams to the exchange, and
 * routes what verifies to handlers.
 */
import { AsyncResource } from 'node:async_hooks';
import cluster from 'node:cluster';
import type { Socket } from 'node:dgram';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import { brand } from '../brand.js';
import { BEN_UDP_HEALTH_PATTERN, DEFAULT_BUFFER_SIZE } from '../constants.js';
import { formatEndpoint } from '../format-endpoint.js';
import { BenUdpError } from '../errors.js';
import { type BenUdpEvents, type BenUdpExchange, BenUdpStatus, type BenUdpRejectedDatagram } from './ben-udp.events.js';
import {
  type BenUdpTransportOptions,
  type ResolvedTransportOptions,
  resolveTransportOptions,
} from './ben-udp.transport-options.js';
import { BenUdpRouter, HIDDEN_ERROR, type Outcome, describeError, isPromiseLike, listSome } from './ben-udp.router.js';
import {
  type Answer,
  type BenUdpDevice,
  type BenUdpStats,
  DeviceRegistry,
  type EndedExchange,
  Listener,
  type ListenerHandlers,
} from '../server/index.js';
import { KeyFileWatcher } from '../keys/index.js';
import { GuardedEmitter } from './guarded-emitter.js';
import { exchangeChannel, rejectedChannel } from './diagnostics.js';
import {
  REJECTIONS,
  type RejectedDecision,
  type BenUdpRejection,
  type BenUdpRemote,
  type VerifiedRequest,
} from '../exchange/index.js';
import { type BenUdpKeyOptions, type ResolvedKeyOptions, loadKeyRing, readKeyOptions } from '../keys/index.js';
import { OptionReader } from '../option-reader.js';
import { ListenReminder } from './listen-reminder.js';
import { HEALTHY_REPLY, LoopbackProbe } from './loopback-probe.js';
import { type Platform, nodePlatform } from '../net/index.js';
import type { FileSignature } from '../keys/index.js';
import { formatErrorReply, formatReply, formatUnreadableReply } from '../protocol/index.js';

/**
 * Rejections in an orderly network, and those of noise: logged for who looks for them. All others ask something of the operator:
 * a key to be set right, a limit or a machine that is too small.
 */
const ORDINARY_REJECTIONS: ReadonlySet<BenUdpRejection> = new Set<BenUdpRejection>([
  'unknown-datagram',
  'too-large',
  'bad-envelope',
  'bad-sizes',
  'no-way-back',
  'replayed',
  'duplicate-hello',
  'withheld',
  'out-of-step',
  'expired',
  'closing',
]);

/** What exists between `listen` and `close`. */
interface RunningServer {
  readonly listener: Listener;
  readonly devices: DeviceRegistry;
  readonly probe: LoopbackProbe;
  watcher: KeyFileWatcher | undefined;
}

/** How `ping` is made. */
export interface BenUdpPingOptions {
  /** Milliseconds the exchange may take, 10 to 60000. Default 1000. */
  timeout?: number;
}

/**
 * NestJS transport strategy for BenCommunication devices.
 *
 *     app.connectMicroservice({ strategy: new BenUdpTransport({ port: 8585, keyFile: 'key.sec' }) })
 *
 * @publicApi
 */
export class BenUdpTransport extends BenUdpRouter implements CustomTransportStrategy {
  static {
    brand(this, 'BenUdpTransport');
  }

  private readonly options: ResolvedTransportOptions;
  private readonly events = new GuardedEmitter<BenUdpEvents>((error) => this.logError(error), ['exchange']);
  private keyOptions: ResolvedKeyOptions;
  private reloading: Promise<void> = Promise.resolve();
  private server: RunningServer | undefined;
  private starting: Promise<void> | undefined;
  private closing: Promise<void> | undefined;
  private cancelRetry: () => void = () => undefined;
  private readonly reminder: ListenReminder;

  /**
   * @param platform replaces clock, timers and sockets; for simulators.
   * @throws TypeError, RangeError naming the option that is wrong. Key files are read by `listen`.
   */
  constructor(options: BenUdpTransportOptions = {}, platform: Platform = nodePlatform) {
    const resolved = resolveTransportOptions(options);
    super(resolved, platform);
    this.options = resolved;
    this.keyOptions = resolved.keys;
    this.reminder = new ListenReminder(platform, () =>
      this.logger.warn(
        'The transport does not listen, so no board is answered. In a hybrid app call "await app.startAllMicroservices()", ' +
          'in a microservice "await app.listen()"',
      ),
    );
    this.initializeSerializer(options);
    this.initializeDeserializer(options);
  }

  /** Registers a handler, as Nest does for each `@MessagePattern` and `@EventPattern`. */
  override addHandler(
    pattern: unknown,
    callback: MessageHandler,
    isEventHandler = false,
    extras: Record<string, unknown> = {},
  ): void {
    super.addHandler(pattern, callback, isEventHandler, extras);
    this.reminder.start();
  }

  /**
   * Loads the keys and binds the socket. `callback` is called once: without arguments, or with the error, which is a
   * `BenUdpError` with `BEN_KEY_FILE_…`, `BEN_ADDRESS_IN_USE`, `BEN_HOST_UNKNOWN`, `BEN_SOCKET` or `BEN_ALREADY_LISTENING`.
   */
  listen(callback: (error?: unknown) => void): void {
    this.reminder.stop();
    this.start().then(() => callback(), callback);
  }

  /**
   * Stops: no new ids, requests for issued ids still accepted, running handlers and their replies awaited for up to
   * `shutdownTimeout`, then the socket closed. May be called at any time and more than once.
   */
  close(): Promise<void> {
    this.reminder.stop();
    this.closing ??= this.stop();
    return this.closing;
  }

  /** Registers a listener, before or after `listen`. */
  on<EventKey extends keyof BenUdpEvents>(event: EventKey, callback: BenUdpEvents[EventKey]): void {
    this.events.on(event, callback);
  }

  /**
   * The bound `dgram.Socket`.
   *
   * @throws Error before `listen` has succeeded and after `close`.
   */
  unwrap<T = Socket>(): T {
    return this.running().listener.boundSocket.socket as T;
  }

  /**
   * Reads the key files again, or takes other keys. Exchanges under way are not disturbed: an id is good for every key, and
   * which keys are accepted is asked when its request arrives.
   *
   * @param options keys instead of those of the constructor, from now on.
   * @throws TypeError, RangeError naming the option; BenUdpError as `listen`. The old keys stay then.
   */
  async reloadKeys(options?: BenUdpKeyOptions): Promise<void> {
    const given = options && readKeyOptions('BenUdpTransport#reloadKeys', options);
    // One after the other: a file that is still being read must not undo what was asked for after it.
    const reloading = this.reloading.then(() => this.replaceKeys(given ?? this.keyOptions));
    this.reloading = reloading.catch(() => undefined);
    await reloading;
  }

  /**
   * A snapshot of what happened since `listen`.
   *
   * @throws Error before `listen` has succeeded and after `close`.
   */
  getStats(): BenUdpStats {
    return this.running().listener.stats();
  }

  /**
   * The devices that were heard since `listen`, at most `maxEndpoints`, the one heard longest ago first.
   *
   * @throws Error before `listen` has succeeded and after `close`.
   */
  getDevices(): BenUdpDevice[] {
    return this.running().devices.list();
  }

  /**
   * Makes a real exchange with itself over the machine's loopback, under the first of its keys. It counts in `getStats()` as any
   * other; no device is noted for it, and no handler runs. At most one a second is made: calls in between get its result.
   *
   * @returns how long it took, in milliseconds.
   * @throws BenUdpError `BEN_TIMEOUT`, `BEN_BAD_REPLY`, `BEN_SOCKET`; `BEN_CLOSED` before `listen` has succeeded and once
   * `close` was called. TypeError, RangeError naming the option that is wrong.
   */
  async ping(options: BenUdpPingOptions = {}): Promise<number> {
    const timeout = new OptionReader('BenUdpTransport#ping', options, ['timeout']).integer('timeout', 1000, 10, 60_000);
    if (!this.server || this.closing) {
      throw new BenUdpError('BEN_CLOSED', 'the transport does not listen');
    }
    return this.server.probe.run(timeout);
  }

  /** For logs and debuggers: which transport this is. The rest holds sockets and keys. */
  toJSON(): object {
    const { host, port } = this.options;
    return { transport: 'BenUdp', host, port };
  }

  /** Warns once if nobody calls `listen` within 10 s. Handlers begin that wait too; a transport without handlers has none. */
  remindToListen(): void {
    this.reminder.start();
  }

  /** Refuses new exchanges. Those under way go on, and so does the transport until `close`. */
  stopIssuing(): void {
    this.server?.listener.exchange.stopIssuing();
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
    const { bufferSize, maxEndpoints, silentAfter } = this.options;
    const { keys, files } = await loadKeyRing(this.keyOptions);
    const maxDatagramBytes = Math.max(bufferSize, DEFAULT_BUFFER_SIZE);
    const devices = new DeviceRegistry(this.platform, maxEndpoints, silentAfter, (device) =>
      this.events.emit('deviceSilent', device),
    );
    const handlers: ListenerHandlers = {
      onRequest: (request) => {
        if (this.isOwn(request)) {
          return Promise.resolve({ text: HEALTHY_REPLY, isError: false });
        }
        devices.record(request.device, request.remote);
        return this.answer(request);
      },
      onRejected: (rejected, remote) => this.reportRejection(rejected, remote),
      onEnded: (ended) => this.reportEnd(ended),
      onUnreadable: ({ error }) => {
        const { errorReply } = this.options;
        return error && errorReply !== 'none' ? formatUnreadableReply(error, errorReply) : undefined;
      },
      onError: (error) => this.reportError(error),
      onSendError: (error) => this.logError(error),
    };
    const bindOnce = () => Listener.bind({ ...this.options, maxDatagramBytes }, keys, handlers, this.platform);
    const listener = await this.retryWhileInUse(bindOnce).catch((error: unknown): never => {
      devices.stop();
      throw error;
    });
    const { address, receiveBufferSize } = listener.boundSocket;
    const probe = new LoopbackProbe(address, () => listener.exchange.keys, this.platform);
    this.server = { listener, devices, probe, watcher: undefined };
    devices.start();
    this.watchKeyFiles(files);
    this.logger.log(
      `Listening on ${formatEndpoint(address.address, address.port)} for ${keys.describe()}, ` +
        `${receiveBufferSize} bytes of receive buffer granted`,
    );
    this.logHandlers();
    this._status$.next(BenUdpStatus.LISTENING);
    this.events.emit('listening', address);
  }

  /** An earlier run of the app may still have the port: `nest start --watch` starts the new one before the old one has ended. */
  private async retryWhileInUse(bind: () => Promise<Listener>): Promise<Listener> {
    const { retryAttempts, retryDelay, host, port } = this.options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await bind();
      } catch (error) {
        const isInUse = error instanceof BenUdpError && error.code === 'BEN_ADDRESS_IN_USE';
        if (!isInUse || cluster.isWorker || attempt > retryAttempts) {
          throw error;
        }
      }
      this.logger.warn(
        `${formatEndpoint(host, port)} is in use; trying again in ${retryDelay} ms (${attempt} of ${retryAttempts})`,
      );
      await this.pauseUnlessClosed(retryDelay);
      if (this.closing) {
        throw new BenUdpError('BEN_CLOSED', 'the transport was closed before it listened');
      }
    }
  }

  private pauseUnlessClosed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancelTimer = this.platform.schedule(resolve, ms);
      this.cancelRetry = () => {
        cancelTimer();
        resolve();
      };
    });
  }

  private async stop(): Promise<void> {
    this.cancelRetry();
    // A start that failed has told its own caller.
    await this.starting?.catch(() => undefined);
    const { server } = this;
    if (!server) {
      return;
    }
    const { shutdownTimeout } = this.options;
    server.watcher?.stop();
    server.devices.stop();
    const cutOff = await server.listener.drain(shutdownTimeout);
    if (cutOff.length > 0) {
      const patterns = cutOff.map(({ action }) => this.quotePattern(action));
      this.logger.warn(
        `${cutOff.length} handlers still ran after ${shutdownTimeout} ms and were cut off: ${listSome(patterns)}`,
      );
    }
    this.endStreams();
    this.server = undefined;
    this.starting = undefined;
    await Promise.all([server.listener.close(), server.probe.close()]);
    this.limitedLog.stop();
    this._status$.next(BenUdpStatus.CLOSED);
    this.events.emit('close');
  }

  private running(): RunningServer {
    if (!this.server) {
      throw new Error('Not listening. Call "listen" or "startAllMicroservices" first.');
    }
    return this.server;
  }

  private async replaceKeys(keyOptions: ResolvedKeyOptions): Promise<void> {
    const { listener } = this.running();
    const previous = () => listener.exchange.keys;
    const before = previous();
    const { keys, files } = await loadKeyRing(keyOptions, previous);
    if (this.closing || this.server?.listener !== listener) {
      throw new BenUdpError('BEN_CLOSED', 'the transport was closed while its keys were read');
    }
    listener.exchange.keys = keys;
    this.keyOptions = keyOptions;
    this.watchKeyFiles(files);
    this.logger.log(`Keys loaded: ${keys.describeChange(before)}`);
  }

  private watchKeyFiles(files: ReadonlyMap<string, FileSignature>): void {
    const { server } = this;
    if (!server || !this.options.watchKeyFiles) {
      return;
    }
    server.watcher?.stop();
    server.watcher = new KeyFileWatcher(files, this.platform, () => {
      this.reloadKeys().catch((error: unknown) => {
        if (!this.closing) {
          this.logger.error(`Key files changed and could not be loaded; the old keys stay: ${describeError(error)}`);
        }
      });
    });
  }

  private async answer(request: VerifiedRequest): Promise<Answer> {
    let outcome: Outcome = { err: HIDDEN_ERROR, isDisposed: true };
    try {
      outcome = await this.route(request, Date.now());
    } catch (error) {
      this.logError(error);
    }
    if (request.noreturn) {
      return { text: undefined, isError: 'err' in outcome };
    }
    const { bufferSize } = this.options;
    try {
      const serialized = this.serializer.serialize(outcome as Outcome & { id: string });
      const packet: Outcome = isPromiseLike(serialized) ? await serialized : serialized;
      return 'err' in packet
        ? { text: this.formatError(packet.err), isError: true }
        : { text: formatReply(packet.response, bufferSize), isError: false };
    } catch (error) {
      this.limitedLog.record(
        'unsendable',
        'error',
        () => `The result of ${this.quotePattern(request.action)} can't be sent: ${describeError(error)}`,
      );
      const message = error instanceof BenUdpError ? error.message : HIDDEN_ERROR.message;
      return { text: this.formatError({ status: 'error', message }), isError: true };
    }
  }

  private formatError(error: unknown): string | undefined {
    const { errorReply, bufferSize } = this.options;
    return errorReply === 'none' ? undefined : formatErrorReply(error, errorReply, bufferSize);
  }

  private reportRejection(rejected: RejectedDecision, remote: BenUdpRemote): void {
    const { reason, device } = rejected;
    const level = ORDINARY_REJECTIONS.has(reason) ? 'debug' : 'warn';
    this.limitedLog.record(reason, level, () => describeRejection(rejected, remote));
    if (!this.events.hasListeners('rejected') && !rejectedChannel.hasSubscribers) {
      return;
    }
    const report: BenUdpRejectedDatagram = { reason, remote, device };
    this.events.emit('rejected', report);
    // In a scope of its own, as a listener has: a store that a subscriber enters would else stay with the socket.
    new AsyncResource('BenUdpRejection').runInAsyncScope(() => rejectedChannel.publish(report));
  }

  private reportEnd({ request, outcome, durationMs }: EndedExchange): void {
    const isOwn = this.isOwn(request);
    const action = isOwn ? BEN_UDP_HEALTH_PATTERN : request.action;
    if (outcome === 'late' || outcome === 'superseded') {
      const describe = () =>
        `The reply to ${this.quotePattern(action)} was not sent: the device has stopped waiting (${outcome})`;
      this.limitedLog.record(outcome, 'warn', describe);
    }
    if (!this.events.hasListeners('exchange') && !exchangeChannel.hasSubscribers) {
      return;
    }
    const { remote, metadata } = request;
    const device = isOwn ? undefined : request.device;
    const pattern = this.describePattern(action);
    const report: BenUdpExchange = { pattern, device, remote, metadata, outcome, durationMs };
    this.events.emit('exchange', report);
    exchangeChannel.publish(report);
  }

  private isOwn(request: VerifiedRequest): boolean {
    return this.server?.probe.isOwn(request) ?? false;
  }

  private reportError(error: unknown): void {
    this.logError(error);
    if (this.events.hasListeners('error')) {
      this.events.emit('error', error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** For errors that may come with every datagram. */
  private logError(error: unknown): void {
    const { code, name = 'unknown' } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
    this.limitedLog.record(`error ${code ?? name}`, 'error', () => describeError(error));
  }
}

/** Nothing of what the datagram holds but, for one that verified, what is wrong with its text. */
function describeRejection({ reason, device, error }: RejectedDecision, { address, port }: BenUdpRemote): string {
  const endpoint = formatEndpoint(address, port);
  const sender = device === undefined ? endpoint : `${device} at ${endpoint}`;
  return `Datagram of ${sender} rejected: ${reason}, ${error?.message ?? REJECTIONS[reason]}`;
}
