/** Readings on their way into JetStream. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { type JetStreamClient, jetstream } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { type Reading, SUBJECT, openStream } from '../readings/readings.js';
import { NATS_OPTIONS } from '../settings.js';

/** For the acknowledgement of JetStream. A board waits ten times as long, so it hears of a failure. */
const ACK_TIMEOUT_MS = 1000;

const RETRY_MS = 100;

/** Readings of boards that do not wait, while NATS is away. Each takes less than the 4 KiB of a request. */
export const MAX_HELD = 10_000;

@Injectable()
export class ReadingsStream implements OnModuleInit, OnApplicationShutdown {
  /** `undefined` until NATS is there. */
  private connection: NatsConnection | undefined;
  private jetStream!: JetStreamClient;
  private isConnected = true;
  private held = 0;

  async onModuleInit(): Promise<void> {
    const connection = await connect({ ...NATS_OPTIONS, waitOnFirstConnect: true });
    this.connection = connection;
    await openStream(connection);
    this.jetStream = jetstream(connection);
    void this.watch(connection);
  }

  /** Nest closes the transport first, which waits for handlers. So their readings are stored, if NATS takes them in time. */
  async onApplicationShutdown(): Promise<void> {
    await this.connection?.close();
  }

  /** For a board that waits. Resolves when the stream has the reading: "acknowledged" means "stored". */
  async store(reading: Reading): Promise<number> {
    const text = toText(reading);
    try {
      return await this.publish(text, randomUUID());
    } catch {
      // It may be stored anyway: perhaps only the acknowledgement was lost.
      throw new RpcException('unavailable: the reading could not be stored, send it again later');
    }
  }

  /**
   * For a board that does not wait, and so can't be told to send it again. Resolves when the stream has the reading, however long that
   * takes; the id makes sure that it is stored once.
   */
  async keep(reading: Reading): Promise<void> {
    if (this.held >= MAX_HELD) {
      throw new RpcException(`${MAX_HELD} readings wait for NATS, so this one is lost`);
    }
    const text = toText(reading);
    const id = randomUUID();
    this.held++;
    try {
      while (!(await this.isStored(text, id))) {
        await pause(RETRY_MS);
      }
    } finally {
      this.held--;
    }
  }

  private async isStored(text: string, id: string): Promise<boolean> {
    try {
      await this.publish(text, id);
      return true;
    } catch (error) {
      if (this.connection?.isClosed()) {
        throw error;
      }
      return false;
    }
  }

  /** Publishes only if NATS is connected, because the client would keep messages for it without a bound. */
  private async publish(text: string, msgID: string): Promise<number> {
    if (!this.isConnected) {
      throw new Error('NATS is away');
    }
    const { seq } = await this.jetStream.publish(SUBJECT, text, { msgID, timeout: ACK_TIMEOUT_MS });
    return seq;
  }

  private async watch(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect' || type === 'reconnect') {
        this.isConnected = type === 'reconnect';
      }
    }
  }
}

/** JSON has no huge integers, which become text, and neither maps nor sets, which become lists. A board can send them all. */
function toText(reading: Reading): string {
  return JSON.stringify(reading, (_key, value: unknown) => {
    if (typeof value === 'bigint') {
      return value.toString();
    }
    return value instanceof Map || value instanceof Set ? [...value] : value;
  });
}
