/**
 * Nest's client of Redis, which also notices that no worker receives a request. Redis keeps nothing for workers that are offline.
 */
import { ClientRedis, type PacketId, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import { UnsentError } from './unsent-error.js';

/** The parts of a client of ioredis that this needs. Nest has it as `any`. */
interface Redis {
  readonly status: string;
  readonly options: { maxRetriesPerRequest: number | null };
  subscribe(channel: string): Promise<unknown>;
  /** @returns the number of clients that received it. */
  publish(channel: string, message: string): Promise<number>;
  /** Closes the connection, after 2 s without the peer. */
  disconnect(): void;
}

/** The name of an error that Redis itself answers, for example if a user may not publish. */
const REFUSAL = 'ReplyError';

export class RedisRelayClient extends ClientRedis {
  /** Channels of answers. Bounded by the names that are relayed. */
  private readonly heard = new Map<string, Promise<unknown>>();
  private heardBy: Redis | undefined;

  /** Nest ignores the number of receivers, so a board would wait until the timeout of the relay. */
  protected override publish(request: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const packet = this.assignPacketId(request);
    this.routingMap.set(packet.id, callback);
    this.ask(packet).catch((err: unknown) => callback({ err }));
    return () => void this.routingMap.delete(packet.id);
  }

  /**
   * When its connection breaks, ioredis sends again what Redis has not answered, so workers would run a request or an event twice. With
   * no retries, its promises are rejected at once. Nest makes the publisher first. The subscriber must retry: ioredis does not handle the
   * rejection when it subscribes again.
   */
  override async createClient(): Promise<Redis> {
    const isPublisher = !this.pubClient;
    const connection = (await super.createClient()) as Redis;
    if (isPublisher) {
      connection.options.maxRetriesPerRequest = 0;
    }
    return connection;
  }

  /** Nest waits for the answer to QUIT, which a frozen Redis never sends. */
  override async close(): Promise<void> {
    const connections = [this.pubClient, this.subClient] as ReadonlyArray<Redis | null | undefined>;
    const closing = super.close();
    connections.forEach((connection) => connection?.disconnect());
    // QUIT fails on a connection that was closed first.
    await closing.catch(() => undefined);
  }

  private async ask(packet: ReadPacket & PacketId): Promise<void> {
    const [publisher, subscriber] = [this.pubClient, this.subClient] as readonly Redis[];
    // Each of the two reconnects independently. One that is not ready would send the request later, when the board has given up.
    if (publisher?.status !== 'ready' || subscriber?.status !== 'ready') {
      throw new UnsentError('the connection to Redis is lost');
    }
    const channel = this.normalizePattern(packet.pattern);
    try {
      await this.hear(subscriber, this.getReplyPattern(channel));
    } catch (error) {
      throw new UnsentError((error as Error).message);
    }
    if (!this.routingMap.has(packet.id)) {
      return;
    }
    const message = JSON.stringify(this.serializer.serialize(packet));
    const receivers = await publisher.publish(this.getRequestPattern(channel), message).catch((error: Error) => {
      throw error.name === REFUSAL ? new UnsentError(error.message) : error;
    });
    if (receivers === 0) {
      throw new UnsentError('no worker listens');
    }
  }

  /** Subscribes once. ioredis does it again whenever it has reconnected. */
  private hear(subscriber: Redis, channel: string): Promise<unknown> {
    if (this.heardBy !== subscriber) {
      this.heardBy = subscriber;
      this.heard.clear();
    }
    let subscribed = this.heard.get(channel);
    if (!subscribed) {
      subscribed = subscriber.subscribe(channel);
      subscribed.catch(() => this.heard.delete(channel));
      this.heard.set(channel, subscribed);
    }
    return subscribed;
  }
}
