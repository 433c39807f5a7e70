/**
 * The strategy that makes BenCommunication one of Nest's transports. It binds the socket and passes verified requests to handlers.
 */
import type { Socket } from 'node:dgram';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import { brand } from '../brand.js';
import { DEFAULT_BUFFER_SIZE } from '../constants.js';
import { BenUdpError } from '../errors.js';
import type { VerifiedRequest } from '../exchange/index.js';
import { formatEndpoint } from '../format-endpoint.js';
import { type BenUdpKeyOptions, KeyStore, readKeyOptions } from '../keys/index.js';
import { type Platform, nodePlatform } from '../net/index.js';
import { OptionReader } from '../option-reader.js';
import { printableLine } from '../printable.js';
import {
  type Answer,
  type BenUdpDevice,
  type BenUdpKnownBoardStore,
  type BenUdpStats,
  DeviceRegistry,
  KnownBoardsFile,
  Listener,
  IdempotentAnswers,
  type ListenerHandlers,
} from '../server/index.js';
import { AnswerWriter } from './answer-writer.js';
import { type BenUdpEvents, BenUdpStatus } from './ben-udp.events.js';
import { BenUdpRouter, type ResultPacket, isPromiseLike } from './ben-udp.router.js';
import {
  type BenUdpTransportOptions,
  type ResolvedTransportOptions,
  resolveTransportOptions,
} from './ben-udp.transport-options.js';
import { BindRetry } from './bind-retry.js';
import { HIDDEN_ERROR } from './error-answer.js';
import { GuardedEmitter } from './guarded-emitter.js';
import { ListenReminder } from './listen-reminder.js';
import { describeError, listSome, quotePattern } from './log-text.js';
import { LoopbackProbe } from './loopback-probe.js';
import { Reporter } from './reporter.js';

/** Exists between `listen` and `close`. */
interface RunningServer {
  readonly listener: Listener;
  readonly devices: DeviceRegistry;
  readonly probe: LoopbackProbe;
}

/** Options of `ping`. */
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
  private readonly events: GuardedEmitter<BenUdpEvents>;
  private readonly reporter: Reporter;
  private readonly keys: KeyStore;
  private readonly reminder: ListenReminder;
  private readonly answers: AnswerWriter;
  private readonly idempotent: IdempotentAnswers;
  private server: RunningServer | undefined;
  private starting: Promise<void> | undefined;
  private binding: BindRetry | undefined;
  private closing: Promise<void> | undefined;

  /** @internal */
  protected readonly signalOf = (request: VerifiedRequest): AbortSignal =>
    this.server
      ? this.server.listener.signalOf(request)
      : AbortSignal.abort(new BenUdpError('BEN_CLOSED', 'the server was closed'));

  /** @throws TypeError, RangeError naming the option that is wrong. `listen` reads the key files. */
  constructor(options?: BenUdpTransportOptions);
  /**
   * @internal
   * @param platform replaces clocks, timers, randomness and sockets in a simulator.
   */
  constructor(options: BenUdpTransportOptions, platform: Platform);
  constructor(options: BenUdpTransportOptions = {}, platform: Platform = nodePlatform) {
    const resolved = resolveTransportOptions(options);
    super(resolved, platform);
    this.options = resolved;
    this.events = new GuardedEmitter((error) => this.reporter.logFailure(error), ['exchange']);
    this.reporter = new Reporter(this.events, this.limitedLog, (action) => this.describePattern(action), platform);
    this.keys = this.createKeyStore();
    this.answers = new AnswerWriter(resolved, (error, action) => {
      const describe = () =>
        `The result of ${quotePattern(this.describePattern(action))} can't be sent: ${describeError(error)}`;
      this.limitedLog.record('unsendable', 'error', describe);
    });
    this.idempotent = new IdempotentAnswers(resolved.resultStore, {
      refuse: (message, request) => this.answers.refuse(message, request),
      onStoreFailed: (error) =>
        this.limitedLog.record('result store', 'error', () => `The result store failed: ${describeError(error)}`),
    });
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
   * Loads the keys and binds the socket. Calls `callback` once: without arguments, or with the error, which is a `BenUdpError` with
   * `BEN_KEY_FILE_…`, `BEN_ADDRESS_IN_USE`, `BEN_HOST_UNKNOWN`, `BEN_SOCKET`, `BEN_REUSE_PORT_UNSUPPORTED` or
   * `BEN_ALREADY_LISTENING`.
   */
  listen(callback: (error?: unknown) => void): void {
    this.reminder.stop();
    this.start().then(() => callback(), callback);
  }

  /**
   * Stops issuing ids, still accepts requests for issued ids, waits up to `shutdownTimeout` for running handlers and their replies,
   * then closes the socket. With `reusePort` it closes the socket within a second, and sends the replies through separate sockets.
   * May be called at any time and more than once.
   */
  close(): Promise<void> {
    this.reminder.stop();
    this.closing ??= this.stop().finally(() =>
      this.events.endWaiting(new BenUdpError('BEN_CLOSED', 'the transport was closed before the event')),
    );
    return this.closing;
  }

  /** As `close`: `await using transport = new BenUdpTransport(…)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Registers a listener, before or after `listen`. */
  on<EventKey extends keyof BenUdpEvents>(event: EventKey, callback: BenUdpEvents[EventKey]): this {
    this.events.on(event, callback);
    return this;
  }

  /**
   * Registers a listener for only the next event. Without a listener, returns a promise of the arguments of the next event:
   * `const [exchange] = await transport.once('exchange')`. The promise rejects with `BEN_CLOSED` if `close` comes first. `events.once` of
   * Node works too, but its types ask for a whole `EventEmitter`, so TypeScript needs a cast.
   */
  once<EventKey extends keyof BenUdpEvents>(event: EventKey): Promise<Parameters<BenUdpEvents[EventKey]>>;
  once<EventKey extends keyof BenUdpEvents>(event: EventKey, callback: BenUdpEvents[EventKey]): this;
  once<EventKey extends keyof BenUdpEvents>(
    event: EventKey,
    callback?: BenUdpEvents[EventKey],
  ): this | Promise<Parameters<BenUdpEvents[EventKey]>> {
    if (!callback) {
      return this.events.next(event);
    }
    this.events.once(event, callback);
    return this;
  }

  /** Removes a listener that `on` or `once` registered. */
  off<EventKey extends keyof BenUdpEvents>(event: EventKey, callback: BenUdpEvents[EventKey]): this {
    this.events.off(event, callback);
    return this;
  }

  /** As `off`. */
  removeListener<EventKey extends keyof BenUdpEvents>(event: EventKey, callback: BenUdpEvents[EventKey]): this {
    return this.off(event, callback);
  }

  /**
   * The bound `dgram.Socket`.
   *
   * @throws Error before `listen` has succeeded and after `close`.
   */
  unwrap<T = Socket>(): T {
    return this.running().listener.unwrap() as T;
  }

  /**
   * Reads the key files again, or replaces the keys. Running exchanges continue: an id is valid for every key, and the server looks up
   * the accepted keys when the request arrives.
   *
   * @param options replaces the key options of the constructor from now on.
   * @throws TypeError, RangeError naming the option; BenUdpError as `listen`. After an error the old keys stay.
   */
  async reloadKeys(options?: BenUdpKeyOptions): Promise<void> {
    await this.keys.reload(options && readKeyOptions('BenUdpTransport#reloadKeys', options));
  }

  /**
   * A snapshot of the counters since `listen`.
   *
   * @throws Error before `listen` has succeeded and after `close`.
   */
  getStats(): BenUdpStats {
    return this.running().listener.stats();
  }

  /**
   * The devices that have sent a request since `listen`, at most `maxEndpoints` or as many as there are keys, and named devices that have
   * not. The latter come first, then the device with the longest silence.
   *
   * @throws Error before `listen` has succeeded and after `close`.
   */
  getDevices(): BenUdpDevice[] {
    return this.running().devices.list(this.keys.current.deviceNames());
  }

  /**
   * Runs a real exchange against itself over loopback, under the first of its keys. `getStats()` counts it like any other. It records no
   * device and runs no handler. It makes at most one exchange a second; further calls return the same result. Within the timeout it
   * begins three attempts, because the system drops datagrams in a flood.
   *
   * @returns its duration in milliseconds.
   * @throws BenUdpError `BEN_TIMEOUT`, `BEN_BAD_REPLY`, `BEN_SOCKET`; `BEN_CLOSED` before `listen` has succeeded and after `close`.
   * TypeError, RangeError naming the wrong option.
   */
  async ping(options: BenUdpPingOptions = {}): Promise<number> {
    const timeout = new OptionReader('BenUdpTransport#ping', options, ['timeout']).integer('timeout', 1000, 10, 60_000);
    if (!this.server || this.closing) {
      throw new BenUdpError(
        'BEN_CLOSED',
        'the transport does not listen. Call "listen" or "startAllMicroservices" first',
      );
    }
    return this.server.probe.run(timeout);
  }

  /** For logs and debuggers: names this transport. Its other properties hold sockets and keys. */
  toJSON(): object {
    const { host, port } = this.options;
    return { transport: 'BenUdp', host, port };
  }

  /** Warns once if `listen` is not called within 10 s. A registered handler starts the timer too. */
  remindToListen(): void {
    this.reminder.start();
  }

  /**
   * Refuses new exchanges. Running exchanges continue, and the transport listens until `close`. With `reusePort`, resolves when the
   * transport has left the port to the other processes, within a second.
   */
  async stopIssuing(): Promise<void> {
    await this.server?.listener.stopIssuing();
  }

  private createKeyStore(): KeyStore {
    const { keys, watchKeyFiles } = this.options;
    return new KeyStore(
      keys,
      watchKeyFiles,
      {
        onReplaced: (ring, previous) => {
          this.server?.listener.useKeys(ring);
          this.server?.devices.retain(ring.deviceNames());
          this.logger.log(`Keys loaded: ${ring.describeChange(previous)}`);
        },
        onLeftOut: (errors) =>
          this.logger.error(
            `Key files are left out, except for keys in use: ${listSome(errors.map(({ message }) => printableLine(message)))}`,
          ),
        onReloadFailed: (error) =>
          this.logger.error(`Key files changed and could not be loaded; the old keys stay: ${describeError(error)}`),
      },
      this.platform,
    );
  }

  private async start(): Promise<void> {
    if (this.starting) {
      throw new BenUdpError('BEN_ALREADY_LISTENING', 'this transport is listening already; close it first');
    }
    this.closing = undefined;
    this.binding = new BindRetry(this.options, this.platform, (message) => this.logger.warn(message));
    this.starting = this.bind(this.binding);
    try {
      await this.starting;
    } catch (error) {
      this.starting = undefined;
      this.keys.close();
      throw error;
    }
  }

  private async bind(binding: BindRetry): Promise<void> {
    const { bufferSize, maxEndpoints, silentAfter, reusePort } = this.options;
    await this.keys.load();
    const devices = new DeviceRegistry(
      this.platform,
      maxEndpoints,
      silentAfter,
      (device) => this.events.emit('deviceSilent', device),
      () => this.keys.current.keys.length,
    );
    const probe = new LoopbackProbe(() => this.keys.current, this.platform, reusePort);
    const handlers = probe.wrap(this.createHandlers(devices));
    const options = {
      ...this.options,
      maxDatagramBytes: Math.max(bufferSize, DEFAULT_BUFFER_SIZE),
      knownBoards: this.createKnownBoardStore(),
    };
    // The keys may be reloaded while another process still has the port.
    const listener = await binding.run(() => Listener.bind(options, this.keys.current, handlers, this.platform));
    const { address, receiveBufferSize } = listener;
    probe.aim(address);
    this.server = { listener, devices, probe };
    // A reload while this waited for the port or the known boards has not reached the listener.
    listener.useKeys(this.keys.current);
    devices.start();
    this.logger.log(
      `Listening on ${formatEndpoint(address.address, address.port)} for ${this.keys.current.describe()}, ` +
        `${receiveBufferSize} bytes of receive buffer granted${reusePort ? ', on a port that other processes may share' : ''}`,
    );
    this.logHandlers();
    this._status$.next(BenUdpStatus.LISTENING);
    this.events.emit('listening', address);
  }

  private createHandlers(devices: DeviceRegistry): ListenerHandlers {
    return {
      onRequest: (request, receivedAt) => {
        devices.record(request);
        return request.rid === undefined
          ? this.answer(request, receivedAt)
          : this.idempotent.answer(request, () => this.answer(request, receivedAt));
      },
      onRejected: (rejected, remote) => this.reporter.rejected(rejected, remote),
      onRefused: ({ error }) => this.answers.formatRefusal(error),
      onEnded: (ended) => this.reporter.ended(ended),
      onError: (error) => this.reporter.failed(error),
      onStoreFailed: (action, error) => {
        const message = error instanceof Error ? error.message : String(error);
        this.warnOfKnownBoards(`Known boards could not be ${action === 'load' ? 'loaded' : 'saved'}: ${message}`);
      },
      onSendError: (error) => this.reporter.logFailure(error),
    };
  }

  private createKnownBoardStore(): BenUdpKnownBoardStore | undefined {
    const { knownBoardsFile, knownBoards, maxEndpoints } = this.options;
    return knownBoardsFile === undefined
      ? knownBoards
      : new KnownBoardsFile(knownBoardsFile, maxEndpoints, (message) => this.warnOfKnownBoards(message));
  }

  /** Never a failure: known boards are hints. */
  private warnOfKnownBoards(message: string): void {
    this.limitedLog.record('known boards', 'warn', () => `${message}. The server continues without them`);
  }

  private async stop(): Promise<void> {
    this.binding?.cancel();
    this.keys.cancelLoad();
    // After a failed start, the caller of `listen` already has the error.
    await this.starting?.catch(() => undefined);
    const { server } = this;
    if (!server) {
      return;
    }
    const { shutdownTimeout } = this.options;
    server.devices.stop();
    const cutOff = await server.listener.drain(shutdownTimeout);
    if (cutOff.length > 0) {
      const patterns = cutOff.map(({ action }) => quotePattern(this.describePattern(action)));
      this.logger.warn(
        `${cutOff.length} handlers still ran after ${shutdownTimeout} ms and were cut off: ${listSome(patterns)}`,
      );
    }
    this.endStreams();
    // Not before the drain, in which boards are still heard for the first time.
    this.keys.close();
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

  private answer(request: VerifiedRequest, receivedAt: number): Answer | Promise<Answer> {
    const write = (packet: ResultPacket) => this.answers.write(request, packet, this.serializer);
    const fail = (error: unknown) => {
      this.reporter.logFailure(error);
      return write({ err: HIDDEN_ERROR, isDisposed: true });
    };
    try {
      const packet = this.route(request, this.platform.wallClock() - (this.platform.now() - receivedAt));
      return isPromiseLike(packet) ? packet.then(write, fail) : write(packet);
    } catch (error) {
      return fail(error);
    }
  }
}
