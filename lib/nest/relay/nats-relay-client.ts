/**
 * Nest's client of NATS, which writes to its socket once for many requests, and has headers for each of them.
 */
import { AsyncResource } from 'node:async_hooks';
import { ClientNats, type NatsOptions, type PacketId, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import type { Platform } from '../../net/index.js';
import { UnsentError } from './unsent-error.js';

type Callback = (packet: WritePacket) => void;

/** The part of a message of NATS that Nest's type lacks. */
interface NatsMessage {
  readonly headers?: { readonly code: number };
}

interface Subscription {
  unsubscribe(): void;
}

/** The parts of the library's client that Nest's type lacks. */
interface Connection {
  subscribe(...args: unknown[]): Subscription;
  /** Resolves when NATS has all that was published, and rejects if the connection is lost. */
  flush(): Promise<void>;
}

/** The status of an answer that NATS itself sends. */
const NO_RESPONDERS = 503;

export class NatsRelayClient extends ClientNats {
  /** Requests of this turn of the event loop. Bounded by `maxPending`. */
  private readonly outgoing: Array<() => void> = [];
  /** The last one to the answer of a request. */
  private subscription: Subscription | undefined;
  /** Of the events of this turn. */
  private flushing: Promise<void> | undefined;

  constructor(
    options: Required<NatsOptions>['options'],
    private readonly platform: Pick<Platform, 'afterTurn'>,
  ) {
    super(options);
  }

  /** The library sends everything that is published in one turn with one write. A write costs more than all datagrams of an exchange. */
  protected override publish(request: ReadPacket, callback: Callback): () => void {
    let isWanted = true;
    let forget: (() => void) | undefined;
    // The turn of all of them runs in the scope of the first, but a serializer may read the store of its own request.
    const publish = AsyncResource.bind(() => {
      if (isWanted) {
        forget = this.publishNow(request, callback);
      }
    });
    if (this.outgoing.push(publish) === 1) {
      this.platform.afterTurn(() => this.outgoing.splice(0).forEach((each) => each()));
    }
    return () => {
      isWanted = false;
      forget?.();
    };
  }

  /** Nest calls back at once only if it could not publish, for example because NATS takes no request of this size. */
  private publishNow(request: ReadPacket, callback: Callback): () => void {
    let isPublished = false;
    this.subscription = undefined;
    const forget = super.publish(request, (packet) => {
      if (isPublished) {
        callback(packet);
        return;
      }
      // Nest forgets this one, and the connection would hold it for ever.
      this.subscription?.unsubscribe();
      callback({ err: new UnsentError((packet.err as Error).message) });
    });
    isPublished = true;
    return forget;
  }

  override async createClient(): Promise<Awaited<ReturnType<ClientNats['createClient']>>> {
    const client = await super.createClient();
    const connection = client as unknown as Connection;
    const subscribe = connection.subscribe.bind(connection);
    connection.subscribe = (...args) => (this.subscription = subscribe(...args));
    return client;
  }

  /** Resolves when NATS has the event. So the events that a frozen NATS does not take are bounded by `maxPending`. */
  protected override async dispatchEvent<Result>(packet: ReadPacket): Promise<Result> {
    const result = (await super.dispatchEvent(packet)) as Result;
    this.flushing ??= new Promise((resolve) => {
      this.platform.afterTurn(() => {
        this.flushing = undefined;
        resolve((this.natsClient as unknown as Connection).flush());
      });
    });
    await this.flushing;
    return result;
  }

  /** Nest rejects if an answer is not JSON, and an unhandled rejection would end the process. */
  override createSubscriptionHandler(
    packet: ReadPacket & PacketId,
    callback: Callback,
  ): ReturnType<ClientNats['createSubscriptionHandler']> {
    const handle = super.createSubscriptionHandler(packet, callback);
    return async (...answer) => {
      const [error, message] = answer;
      if (!error && (message as NatsMessage).headers?.code === NO_RESPONDERS) {
        callback({ err: new UnsentError('no worker listens') });
        return;
      }
      await handle(...answer).catch((err: unknown) => callback({ err }));
    };
  }

  /** Nest makes headers of the installed version of the library from its options, so the headers of a request go that way. */
  protected override mergeHeaders<Headers>(requestHeaders?: Headers): unknown {
    const headers = { ...(this.options as { headers?: object }).headers, ...requestHeaders };
    return super.mergeHeaders.call({ options: { headers } } as unknown as ClientNats, undefined);
  }
}
