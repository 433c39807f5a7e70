/**
 * Hands requests of boards to workers behind a broker, and their answers back.
 */
import { Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { Subscription, defer, lastValueFrom } from 'rxjs';
import { nodePlatform } from '../../net/index.js';
import { toJsonValue } from '../../protocol/index.js';
import type { BenUdpContext } from '../ben-udp.context.js';
import { LimitedLog } from '../limited-log.js';
import { describeError, quotePattern } from '../log-text.js';
import type { ResolvedRelayOptions } from './relay.options.js';
import type { RelayClient } from './relay-client.js';
import { identityOf } from './relay-identity.js';

/** What a board is told. The reason is in the log. */
const UNAVAILABLE = { status: 'error', message: 'unavailable: no worker could be asked, try again later' } as const;
const LATE = { status: 'error', message: 'unavailable: the worker did not answer in time' } as const;
const BUSY = { status: 'error', message: 'busy: too many requests wait for workers, try again later' } as const;

/** Nest's clients fail with this text, and not with an error, while they reconnect. */
const RECONNECTING = 'Error: Connection lost.';

export class Relay implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('BenUdpRelayModule');
  private readonly log = new LimitedLog(nodePlatform, (level, line) => this.logger[level](line));
  /** Fails each request that waits for its worker. Bounded by `maxPending`. */
  private readonly waiting = new Set<(error: RpcException) => void>();

  constructor(
    private readonly client: RelayClient,
    private readonly options: ResolvedRelayOptions,
  ) {
    // The answer to a request that was asked before does not arrive over a new connection.
    client.proxy.status.subscribe((status: string) => {
      if (status !== 'connected') {
        this.waiting.forEach((fail) => fail(new RpcException(UNAVAILABLE)));
      }
    });
  }

  async onApplicationBootstrap(): Promise<void> {
    if (!this.client.carriesIdentity) {
      this.logger.warn(
        'The identity of boards does not travel over this engine: @Device() and its siblings give undefined on the workers. ' +
          'It travels over NATS and Redis',
      );
    }
    try {
      await this.client.proxy.connect();
    } catch (error) {
      this.logger.warn(
        `The broker can't be reached, so boards get an error reply until it can: ${describeError(error)}`,
      );
    }
  }

  /** Nest closes the transport before this, so no board waits for the client any more. */
  async onApplicationShutdown(): Promise<void> {
    this.log.stop();
    await this.client.proxy.close();
  }

  /** Asks a worker. Resolves to its last answer, because a board reads one reply. */
  ask(pattern: string, data: unknown, context: BenUdpContext): Promise<unknown> {
    const { prefix, timeout, maxPending } = this.options;
    if (this.waiting.size >= maxPending) {
      return Promise.reject(new RpcException(BUSY));
    }
    return new Promise((resolve, reject) => {
      let answer: unknown;
      const fail = (error: RpcException) => {
        end();
        reject(error);
      };
      const cancelTimer = nodePlatform.schedule(() => fail(new RpcException(LATE)), timeout);
      this.waiting.add(fail);
      const subscription = new Subscription();
      const end = () => {
        cancelTimer();
        this.waiting.delete(fail);
        subscription.unsubscribe();
      };
      subscription.add(
        defer(() => this.client.proxy.send<unknown>(prefix + pattern, this.record(data, context))).subscribe({
          next: (value) => {
            answer = value;
          },
          error: (error: unknown) => fail(this.toException(error, pattern)),
          complete: () => {
            end();
            resolve(answer);
          },
        }),
      );
    });
  }

  /** Emits an event to workers. Resolves when the client has sent it. */
  async tell(pattern: string, data: unknown, context: BenUdpContext): Promise<void> {
    try {
      const sent = this.client.proxy.emit<unknown>(this.options.prefix + pattern, this.record(data, context));
      await lastValueFrom(sent, { defaultValue: undefined });
    } catch (error) {
      throw this.toException(error, pattern);
    }
  }

  private record(data: unknown, context: BenUdpContext): object {
    return this.client.record(toJsonValue(data), identityOf(context));
  }

  /** Errors of workers pass unchanged. They are no `Error`s: Nest has made them ready for the wire, and hidden what callers must not see. */
  private toException(error: unknown, pattern: string): RpcException {
    if (error instanceof RpcException) {
      return error;
    }
    if (error instanceof Error || (typeof error === 'string' && error.startsWith(RECONNECTING))) {
      this.log.record(
        'unavailable',
        'error',
        () => `${quotePattern(pattern)} was not relayed: ${describeError(error)}`,
      );
      return new RpcException(UNAVAILABLE);
    }
    return new RpcException(error as object | string);
  }
}
