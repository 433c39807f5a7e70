/** The relay's client of Redis, over a Redis that the test plays. */
import { EventEmitter } from 'node:events';
import { Logger } from '@nestjs/common';
import { firstValueFrom } from 'rxjs';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { UnsentError } from '../../../lib/nest/relay/unsent-error.js';
import { RedisRelayClient } from '../../../lib/nest/relay/redis-relay-client.js';

class PlayedRedis extends EventEmitter {
  status = 'ready';
  readonly options = { maxRetriesPerRequest: null };
  receivers = 1;
  readonly published: Array<{ pattern: string; data: unknown; id: string }> = [];
  readonly subscribed: string[] = [];
  subscribing: Promise<unknown> = Promise.resolve();

  async connect(): Promise<void> {
    this.emit('ready');
  }

  /** Fails the QUIT of a Redis that does not answer. */
  disconnect: () => void = () => undefined;
  isFrozen = false;

  async quit(): Promise<void> {
    if (this.isFrozen) {
      await new Promise((_resolve, reject) => {
        this.disconnect = () => reject(new Error('Connection is closed.'));
      });
    }
  }

  subscribe(channel: string): Promise<unknown> {
    this.subscribed.push(channel);
    return this.subscribing;
  }

  async publish(_channel: string, message: string): Promise<number> {
    this.published.push(JSON.parse(message) as (typeof this.published)[number]);
    return this.receivers;
  }

  /** The answer to the request that was published last. */
  answer(response: unknown): void {
    this.emit('message', 'led.reply', JSON.stringify({ id: this.published.at(-1)!.id, response, isDisposed: true }));
  }
}

async function start(): Promise<{ client: RedisRelayClient; redis: PlayedRedis }> {
  // Nest has one client for requests and another for answers. Here both are the same.
  const redis = new PlayedRedis();
  class PlayedClient extends RedisRelayClient {
    override async createClient(): Promise<PlayedRedis> {
      return redis;
    }
  }
  const client = new PlayedClient({});
  await client.connect();
  onTestFinished(() => client.close());
  return { client, redis };
}

describe('RedisRelayClient', () => {
  beforeAll(() => Logger.overrideLogger(false));

  it('publishes requests, and subscribes once to the answers of a name', async () => {
    const { client, redis } = await start();
    for (const data of [1, 2]) {
      const answer = firstValueFrom(client.send('led', data));
      await expect.poll(() => redis.published).toHaveLength(data);
      redis.answer(10 * data);
      expect(await answer).toBe(10 * data);
    }
    expect(redis.published).toMatchObject([
      { pattern: 'led', data: 1 },
      { pattern: 'led', data: 2 },
    ]);
    expect(redis.subscribed).toEqual(['led.reply']);
  });

  it('fails at once if no worker listens', async () => {
    const { client, redis } = await start();
    redis.receivers = 0;
    await expect(firstValueFrom(client.send('led', 1))).rejects.toThrow(new UnsentError('no worker listens'));
  });

  it('fails at once while a connection is not ready, and publishes nothing later', async () => {
    const { client, redis } = await start();
    redis.status = 'reconnecting';
    await expect(firstValueFrom(client.send('led', 1))).rejects.toThrow(
      new UnsentError('the connection to Redis is lost'),
    );
    expect(redis.published).toEqual([]);
  });

  it('fails if Redis refuses the subscription, and tries again for the next request', async () => {
    const { client, redis } = await start();
    redis.subscribing = Promise.reject(new Error('NOPERM'));
    await expect(firstValueFrom(client.send('led', 1))).rejects.toThrow(new UnsentError('NOPERM'));
    expect(redis.published).toEqual([]);
    redis.subscribing = Promise.resolve();
    const answer = firstValueFrom(client.send('led', 2));
    await expect.poll(() => redis.published).toHaveLength(1);
    redis.answer('on');
    expect(await answer).toBe('on');
  });

  it('does not call a request unsent if the connection is lost while Redis has it', async () => {
    const { client, redis } = await start();
    redis.publish = () => Promise.reject(new Error('Connection is closed.'));
    await expect(firstValueFrom(client.send('led', 1))).rejects.not.toBeInstanceOf(UnsentError);
  });

  it('calls a request unsent if Redis refuses it', async () => {
    const { client, redis } = await start();
    const refusal = Object.assign(new Error('NOPERM this user has no permissions'), { name: 'ReplyError' });
    redis.publish = () => Promise.reject(refusal);
    await expect(firstValueFrom(client.send('led', 1))).rejects.toBeInstanceOf(UnsentError);
  });

  it('does not publish a request that was given up before the subscription', async () => {
    const { client, redis } = await start();
    let subscribe!: () => void;
    redis.subscribing = new Promise<void>((resolve) => (subscribe = resolve));
    const given = client.send('led', 1).subscribe();
    await expect.poll(() => redis.subscribed).toHaveLength(1);
    given.unsubscribe();
    subscribe();
    const answer = firstValueFrom(client.send('led', 2));
    await expect.poll(() => redis.published).toHaveLength(1);
    redis.answer('second');
    expect(await answer).toBe('second');
    expect(redis.published).toMatchObject([{ data: 2 }]);
  });

  it('closes its connections if Redis does not answer', async () => {
    const { client, redis } = await start();
    redis.isFrozen = true;
    await expect(client.close()).resolves.toBeUndefined();
  });
});
