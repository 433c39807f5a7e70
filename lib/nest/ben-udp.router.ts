/**
 * Passes a request to its handler and returns the result. It knows the rules of Nest, but no datagrams.
 */
import { inspect } from 'node:util';
import { Logger } from '@nestjs/common';
import { type MessageHandler, Server } from '@nestjs/microservices';
import { Observable, Subject, isObservable, merge, takeUntil } from 'rxjs';
import { BEN_UDP_TRANSPORT } from '../constants.js';
import { isError } from '../errors.js';
import { BenUdpContext } from './ben-udp.context.js';
import type { BenUdpEvents, BenUdpStatus } from './ben-udp.events.js';
import type { VerifiedRequest } from '../exchange/index.js';
import { HIDDEN_ERROR, answerOf, isHiddenError, isNestAnswer, isRpcException } from './error-answer.js';
import { lastValue } from './last-value.js';
import { LimitedLog } from './limited-log.js';
import { describeError, describeSender, listSome, quotePattern } from './log-text.js';
import type { Platform } from '../net/index.js';
import { WildcardPatterns, hasWildcard } from './wildcard-patterns.js';

/** The reply of Nest's own transports to an unknown pattern, and their log line for an unknown event. */
const NO_MESSAGE_HANDLER = 'There is no matching message handler defined in the remote service.';
const NO_EVENT_HANDLER = 'There is no matching event handler defined in the remote service.';

/** Actions whose handler is cached. Further actions are looked up each time, so invented actions take no memory. */
const MAX_REMEMBERED_ROUTES = 1024;

/** The result of a handler, in the terms of Nest's packets. */
export interface ResultPacket {
  response?: unknown;
  err?: unknown;
  isDisposed: true;
}

/** The hooks around a handler. Nest has them from 11.1 on, so they are looked up at run time, only here. */
interface ProcessingHooks {
  onProcessingStartHook?: (transportId: symbol, context: BenUdpContext, done: () => Promise<unknown>) => unknown;
  onProcessingEndHook?: (transportId: symbol, context: BenUdpContext) => void;
}

export interface RoutingOptions {
  /** Whether `*` and `#` in string patterns are wildcards. */
  readonly wildcards: boolean;
  /** Milliseconds for which devices wait. */
  readonly timeout: number;
}

export abstract class BenUdpRouter extends Server<BenUdpEvents, BenUdpStatus> {
  override transportId: symbol = BEN_UDP_TRANSPORT;
  protected override readonly logger = new Logger('BenUdpTransport');

  /** Handlers by action. Bounded by `MAX_REMEMBERED_ROUTES`. */
  private readonly routes = new Map<string, MessageHandler>();
  private readonly wildcards = new WildcardPatterns();
  private readonly warnedOfManyValues = new WeakSet<MessageHandler>();
  /** The pattern of each handler. With wildcards it differs from the action, which the device chooses. */
  private readonly patterns = new WeakMap<MessageHandler, string>();
  /** Patterns with more than one message handler. Bounded by the registered handlers. */
  private readonly duplicates = new Set<string>();
  /** Nest's default hook, which does nothing. A tracing tool replaces it. */
  private readonly emptyStartHook = (this as unknown as ProcessingHooks).onProcessingStartHook;

  /**
   * @internal
   * For log lines that a device can cause without limit.
   */
  protected readonly limitedLog: LimitedLog;
  private readonly streamsEnd = new Subject<void>();

  /** @internal */
  protected readonly platform: Platform;

  /** @internal */
  protected abstract readonly signalOf: (request: VerifiedRequest) => AbortSignal;

  /** @internal */
  constructor(
    private readonly routing: RoutingOptions,
    platform: Platform,
  ) {
    super();
    this.platform = platform;
    this.limitedLog = new LimitedLog(platform, (level, line) => this.logger[level](line));
  }

  /** A pattern may have one message handler, for devices that wait, and several event handlers, for devices that do not. */
  override addHandler(
    pattern: unknown,
    callback: MessageHandler,
    isEventHandler = false,
    extras: Record<string, unknown> = {},
  ): void {
    const route = this.normalizePattern(pattern as string);
    const existing = this.messageHandlers.get(route);
    this.patterns.set(callback, route);
    if (existing && !existing.isEventHandler && !isEventHandler) {
      this.duplicates.add(route);
    }
    if (existing && !isEventHandler) {
      // Nest appends event handlers to a message handler, but a message handler would replace the event handlers.
      callback.next = existing.isEventHandler ? existing : existing.next!;
    }
    super.addHandler(pattern, callback, isEventHandler, extras);
    this.routes.clear();
    if (this.routing.wildcards && !existing && typeof pattern === 'string' && hasWildcard(pattern)) {
      this.wildcards.add(pattern);
    }
  }

  /**
   * Runs the handler of a request. It neither throws nor rejects because of a handler.
   *
   * It awaits nothing before the handler unless it must: each promise costs memory and a turn of the microtask queue, and Nest's own
   * part of a call has a dozen already.
   */
  protected route(request: VerifiedRequest, receivedAt: number): ResultPacket | Promise<ResultPacket> {
    const packet = this.deserializer.deserialize({ pattern: request.action, data: request.data });
    return isPromiseLike(packet)
      ? Promise.resolve(packet).then((read) => this.dispatch(request, read, receivedAt))
      : this.dispatch(request, packet, receivedAt);
  }

  private dispatch(
    request: VerifiedRequest,
    packet: { readonly pattern: unknown; readonly data: unknown },
    receivedAt: number,
  ): ResultPacket | Promise<ResultPacket> {
    const { pattern } = packet;
    const name = this.describePattern(pattern);
    const handler = this.findHandler(pattern, request.noreturn);
    if (!handler) {
      const message = request.noreturn ? NO_EVENT_HANDLER : NO_MESSAGE_HANDLER;
      this.limitedLog.record(message, 'error', () => `${message} Pattern: ${this.quote(pattern)}`);
      return { err: { status: 'error', message: NO_MESSAGE_HANDLER }, isDisposed: true };
    }
    const context = new BenUdpContext([request, name, receivedAt, this.signalOf]);
    return this.runBetweenHooks(context, () => this.run(handler, packet.data, context));
  }

  private async run(handler: MessageHandler, data: unknown, context: BenUdpContext): Promise<ResultPacket> {
    let result: unknown;
    try {
      result = await handler(data, context);
    } catch (error) {
      // Nest's exception layer turns a failure into a stream. If that layer rejects, an exception filter threw.
      return { err: this.hide(error, handler, context), isDisposed: true };
    }
    try {
      const response = isObservable(result) ? await this.takeLast(result, handler, context) : result;
      // The device does not get the result of an event handler. If it waits, it learns only that the handler ran.
      return { response: handler.isEventHandler ? undefined : response, isDisposed: true };
    } catch (error) {
      // Filters answer with plain objects, texts and RpcExceptions. Any other Error has passed no filter.
      if (isRpcException(error) && !isError(error.getError())) {
        return { err: answerOf(error), isDisposed: true };
      }
      if (isError(error)) {
        return { err: this.hide(error, handler, context), isDisposed: true };
      }
      if (isHiddenError(error)) {
        this.logHidden(handler, context);
      } else if (context.isReplyExpected()) {
        this.logErrorReply(error, handler, context);
      } else if (!this.isLoggedByNest(handler)) {
        this.logFailure(error, handler, context);
      }
      return { err: error, isDisposed: true };
    }
  }

  /** Names the device and the action of a hidden error, because Nest's own line names neither. */
  private logHidden(handler: MessageHandler, context: BenUdpContext): void {
    this.limitedLog.record(
      `hidden ${this.patterns.get(handler)}`,
      'warn',
      () =>
        `${this.describeRequest(context)} failed: ${HIDDEN_ERROR.message}. Nest logs the cause, unless it is an HttpException. ` +
        'A ValidationPipe throws one; give it an exceptionFactory that returns an RpcException',
    );
  }

  private describeRequest(context: BenUdpContext): string {
    const remote = { address: context.getRemoteAddress(), port: context.getRemotePort() };
    const what = context.isReplyExpected() ? 'Request' : 'Event';
    return `${what} ${this.quote(context.getPattern())} of ${describeSender(context.getDevice(), remote)}`;
  }

  /**
   * In a stream, rxjs turns an exception of a filter into an error like any other. So an object or a text may be an answer, or a mistake
   * that the device must not see: the log shows it. Nest's own answers are not mistakes.
   */
  private logErrorReply(error: unknown, handler: MessageHandler, context: BenUdpContext): void {
    if (!isNestAnswer(error)) {
      this.limitedLog.record(
        `error reply ${this.patterns.get(handler)}`,
        'debug',
        () => `${this.describeRequest(context)} got the error reply ${describeError(error)}`,
      );
    }
  }

  /** Logs the failure of an event handler, because no device learns of it. */
  private logFailure(error: unknown, handler: MessageHandler, context: BenUdpContext): void {
    this.limitedLog.record(
      `event ${this.patterns.get(handler)}`,
      'error',
      () => `${this.describeRequest(context)} failed: ${describeError(error)}`,
    );
  }

  /** The reply for an error that bypassed Nest's exception layer. Hides and logs the error, as that layer does. */
  private hide(error: unknown, handler: MessageHandler, context: BenUdpContext): unknown {
    this.limitedLog.record(
      `unhandled ${this.patterns.get(handler)}`,
      'error',
      () =>
        `An exception filter of ${this.quote(context.getPattern())} threw, or let an error through: ` +
        describeError(error),
    );
    return isRpcException(error) ? answerOf(error) : HIDDEN_ERROR;
  }

  private async takeLast(
    stream: Parameters<typeof lastValue>[0],
    handler: MessageHandler,
    context: BenUdpContext,
  ): Promise<unknown> {
    // Without this, each request would hold a stream that never ends. The stream of an event may run as long as the app.
    const giveUp = context.isReplyExpected()
      ? merge(this.streamsEnd, this.after(this.routing.timeout))
      : this.streamsEnd;
    const { value, count } = await lastValue(stream.pipe(takeUntil(giveUp)));
    if (count > 1 && context.isReplyExpected() && !this.warnedOfManyValues.has(handler)) {
      this.warnedOfManyValues.add(handler);
      this.logger.warn(
        `The handler of ${this.quote(context.getPattern())} emitted ${count} values; a device reads one reply and gets the last`,
      );
    }
    return value;
  }

  /** Ends the streams that handlers are still waiting for. */
  protected endStreams(): void {
    this.streamsEnd.next();
  }

  private after(ms: number): Observable<void> {
    return new Observable((subscriber) => this.platform.schedule(() => subscriber.next(), ms));
  }

  /** Logs the patterns at the start, so a missing or hidden handler is seen. */
  protected logHandlers(): void {
    const names = Array.from(this.messageHandlers).flatMap(([pattern, handler]) => {
      const name = this.quote(pattern);
      const event = `${name} (event)`;
      return handler.isEventHandler ? [event] : handler.next ? [name, event] : [name];
    });
    this.logger.log(names.length > 0 ? `Handles ${listSome(names)}` : 'Handles nothing: no handler is registered');
    if (this.duplicates.size > 0) {
      const patterns = Array.from(this.duplicates, (pattern) => this.quote(pattern));
      this.logger.warn(`Several handlers have the same pattern, and only the last answers: ${listSome(patterns)}`);
    }
  }

  private findHandler(pattern: unknown, isEvent: boolean): MessageHandler | undefined {
    const head = this.lookUp(pattern);
    return isEvent && head && !head.isEventHandler ? ((head.next as MessageHandler | undefined) ?? head) : head;
  }

  private lookUp(pattern: unknown): MessageHandler | undefined {
    if (typeof pattern !== 'string') {
      return isContainer(pattern) ? undefined : this.messageHandlers.get(this.normalizePattern(pattern as string));
    }
    const remembered = this.routes.get(pattern);
    if (remembered) {
      return remembered;
    }
    // Nest's lookup runs a JSON.parse that throws for almost every pattern, which costs as much as the decryption.
    const handler = this.getHandlerByPattern(pattern) ?? this.lookUpWildcard(pattern);
    if (handler && this.routes.size < MAX_REMEMBERED_ROUTES) {
      this.routes.set(pattern, handler);
    }
    return handler;
  }

  private lookUpWildcard(action: string): MessageHandler | undefined {
    const pattern = this.wildcards.find(action);
    return pattern === undefined ? undefined : this.messageHandlers.get(pattern);
  }

  private quote(pattern: unknown): string {
    return quotePattern(this.describePattern(pattern));
  }

  /** A pattern as a string: the string itself, its route, or a description if it has no route. */
  protected describePattern(pattern: unknown): string {
    if (typeof pattern === 'string') {
      return pattern;
    }
    return isContainer(pattern)
      ? inspect(pattern, { breakLength: Infinity })
      : String(this.normalizePattern(pattern as string));
  }

  /** Runs `work` between the hooks that tracing tools set, as Nest's own servers do from 11.1 on. */
  private runBetweenHooks(context: BenUdpContext, work: () => Promise<ResultPacket>): Promise<ResultPacket> {
    const { onProcessingStartHook, onProcessingEndHook } = this as unknown as ProcessingHooks;
    if (!onProcessingStartHook || (onProcessingStartHook === this.emptyStartHook && !onProcessingEndHook)) {
      return work();
    }
    return new Promise((resolve, reject) => {
      const done = async () => {
        const packet = await work();
        (this as unknown as ProcessingHooks).onProcessingEndHook?.(this.transportId, context);
        resolve(packet);
      };
      Promise.resolve(onProcessingStartHook.call(this, this.transportId, context, done)).catch(reject);
    });
  }

  /** From 12 on (`propagatesEventHandlerErrors`) Nest logs the exceptions of event handlers, `RpcException` included. */
  private isLoggedByNest(handler: MessageHandler): boolean {
    return handler.isEventHandler === true && 'propagatesEventHandlerErrors' in this;
  }
}

export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function';
}

/** A list, tuple, set, bytes, or a dict with a key that is not a str. Nest would route them by properties that they do not have. */
function isContainer(value: unknown): boolean {
  return Array.isArray(value) || value instanceof Map || value instanceof Set || value instanceof Uint8Array;
}
