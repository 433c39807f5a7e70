/**
 * Passes requests of boards to workers behind a broker, and returns their answers.
 */
import { Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { Subscription, defer, lastValueFrom, mergeAll } from 'rxjs';
import { BenUdpError, isError } from '../../errors.js';
import type { Platform } from '../../net/index.js';
import { toJsonValue } from '../../protocol/index.js';
import type { BenUdpContext } from '../ben-udp.context.js';
import { LimitedLog } from '../limited-log.js';
import { describeError, quotePattern } from '../log-text.js';
import type { ResolvedRelayOptions } from './relay-options.js';
import type { RelayClient } from './relay-client.js';
import { identityOf } from './relay-identity.js';
import { UnsentError } from './unsent-error.js';

/** Texts for boards. The reason is in the log. */
const UNAVAILABLE = { status: 'error', message: 'unavailable: no worker could be asked, try again later' } as const;
const LOST = {
  status: 'error',
  message: 'unavailable: the answer of the worker was lost, the request may have run',
} as const;
const LATE = {
  status: 'error',
  message: 'unavailable: the worker did not answer in time, the request may have run',
} as const;
const FULL = { status: 'error', message: 'busy: too many events wait for the broker, this one is lost' } as const;
const BUSY = { status: 'error', message: 'busy: too many requests wait for workers, try again later' } as const;

/** Nest's clients fail with this text, and not with an error, while they reconnect. */
const RECONNECTING = 'Error: Connection lost.';

/** A frozen broker accepts a connection and says nothing. Neither a board nor the start of the edge may wait for it. */
const CONNECT_WITHIN_MS = 800;

/** A frozen broker does not say goodbye either. */
const CLOSE_WITHIN_MS = 3000;

export class Relay implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('BenUdpRelayModule');
  private readonly log: LimitedLog;
  /** Fails each request that waits for its worker, because the connection is lost. Bounded by `maxPending`. */
  private readonly waiting = new Set<() => void>();
  /** Events that the broker does not have yet. Bounded by `maxPending`. */
  private telling = 0;
  private isConnected = false;

  constructor(
    private readonly client: RelayClient,
    private readonly options: ResolvedRelayOptions,
    private readonly platform: Platform,
  ) {
    this.log = new LimitedLog(platform, (level, line) => this.logger[level](line));
    // A new connection does not deliver answers to earlier requests.
    client.proxy.status.subscribe((status: string) => {
      this.isConnected = status === 'connected';
      if (!this.isConnected) {
        this.waiting.forEach((lose) => lose());
      }
    });
  }

  async onApplicationBootstrap(): Promise<void> {
    if (!this.client.carriesIdentity) {
      this.logger.warn(
        'The identity of boards does not travel over this broker: @Device() and its siblings give undefined on the workers. ' +
          'It travels over NATS and Redis',
      );
    }
    const { messages, prefix } = this.options;
    messages.forEach((pattern) => this.client.proxy.subscribeToResponseOf?.(prefix + pattern));
    try {
      await this.connect();
    } catch (error) {
      this.logger.warn(
        `The broker can't be reached, so boards get an error reply until it can: ${describeError(error)}`,
      );
    }
  }

  /** Nest closes the transport before this, so no board waits for the client any more. */
  async onApplicationShutdown(): Promise<void> {
    this.log.stop();
    const close = () => this.client.proxy.close() as unknown;
    await this.within(CLOSE_WITHIN_MS, close, 'it has not said goodbye').catch((error: unknown) =>
      this.logger.warn(`The client of the broker did not close: ${describeError(error)}`),
    );
  }

  /** Asks a worker. Resolves to its last answer, because a board reads one reply. */
  ask(pattern: string, data: unknown, context: BenUdpContext): Promise<unknown> {
    const { prefix, timeout, maxPending } = this.options;
    if (this.waiting.size >= maxPending) {
      return Promise.reject(new RpcException(BUSY));
    }
    let isSent = false;
    const asked = new Promise((resolve, reject) => {
      let answer: unknown;
      const fail = (error: unknown) => {
        end();
        reject(error);
      };
      const lose = () => fail(new RpcException(isSent ? LOST : UNAVAILABLE));
      const cancelTimer = this.platform.schedule(() => fail(new RpcException(isSent ? LATE : UNAVAILABLE)), timeout);
      this.waiting.add(lose);
      const subscription = new Subscription();
      const end = () => {
        cancelTimer();
        this.waiting.delete(lose);
        subscription.unsubscribe();
      };
      const send = () => {
        const record = this.record(data, context);
        isSent = true;
        return this.client.proxy.send<unknown>(prefix + pattern, record);
      };
      // `send` would connect too, but would not tell a request that was never sent from one whose answer was lost.
      const connectAndSend = () => this.connect().then(send);
      subscription.add(
        (this.isConnected ? defer(send) : defer(connectAndSend).pipe(mergeAll())).subscribe({
          next: (value) => {
            answer = value;
          },
          error: fail,
          complete: () => {
            end();
            resolve(answer);
          },
        }),
      );
    });
    // Not in a callback of rxjs: a client may fail with an object that throws when it is read, which would end the process there.
    return asked.catch((error: unknown) => {
      throw this.toException(error, pattern, isSent);
    });
  }

  /** Emits an event to workers. Resolves when the broker has it, if the client learns that. */
  async tell(pattern: string, data: unknown, context: BenUdpContext): Promise<void> {
    if (this.telling >= this.options.maxPending) {
      throw new RpcException(FULL);
    }
    this.telling++;
    try {
      const sent = this.client.proxy.emit<unknown>(this.options.prefix + pattern, this.record(data, context));
      await lastValueFrom(sent, { defaultValue: undefined });
    } catch (error) {
      throw this.toException(error, pattern, false);
    } finally {
      this.telling--;
    }
  }

  private connect(): Promise<unknown> {
    return this.within(CONNECT_WITHIN_MS, () => this.client.proxy.connect(), 'it does not answer');
  }

  /** As the method of a client, which may return nothing or throw, or rejects with this text. */
  private within(ms: number, method: () => unknown, text: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const cancel = this.platform.schedule(() => reject(new UnsentError(`${text} within ${ms} ms`)), ms);
      new Promise((settle) => settle(method())).then(resolve, reject).finally(cancel);
    });
  }

  private record(data: unknown, context: BenUdpContext): object {
    return this.client.record(toJsonValue(data), identityOf(context));
  }

  /** Errors of workers pass unchanged. They are not `Error`s: Nest has already serialized them, and hidden what clients must not see. */
  private toException(error: unknown, pattern: string, isSent: boolean): RpcException {
    if (error instanceof RpcException) {
      return error;
    }
    if (error instanceof BenUdpError && error.code === 'BEN_UNSERIALIZABLE') {
      // A retry would not help.
      return new RpcException({ status: 'error', message: error.message });
    }
    // A worker in another language may answer with the text of Nest's clients.
    const mayHaveRun = isSent && !(error instanceof UnsentError);
    if (isError(error) || (typeof error === 'string' && error.startsWith(RECONNECTING))) {
      this.log.record(mayHaveRun ? 'lost' : 'unavailable', 'error', () => {
        const what = mayHaveRun ? 'got no answer, and may have run' : 'was not relayed';
        return `${quotePattern(pattern)} ${what}: ${describeError(error)}`;
      });
      return new RpcException(mayHaveRun ? LOST : UNAVAILABLE);
    }
    return new RpcException(error as object | string);
  }
}
