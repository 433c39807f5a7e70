/** Takes readings from the stream. The workers share one durable consumer: NATS remembers which readings they have acknowledged. */
import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { AckPolicy, type ConsumerMessages, jetstream } from '@nats-io/jetstream';
import { type NatsConnection, connect, nanos } from '@nats-io/transport-node';
import { type Reading, STREAM, openStream } from '../readings/readings.js';
import { NATS_OPTIONS } from '../settings.js';

const CONSUMER = 'workers';

/** A reading that a worker took and did not acknowledge, because it was killed, is given to another one after this. */
const ACK_WAIT_MS = 2000;

/** Readings that a worker takes ahead. */
const MAX_TAKEN = 50;

@Injectable()
export class ReadingsConsumer implements OnApplicationBootstrap, OnApplicationShutdown {
  /** `undefined` until NATS is there, as are the others. */
  private connection: NatsConnection | undefined;
  private messages: ConsumerMessages | undefined;
  private consuming: Promise<void> | undefined;

  async onApplicationBootstrap(): Promise<void> {
    const connection = await connect({ ...NATS_OPTIONS, waitOnFirstConnect: true });
    this.connection = connection;
    const manager = await openStream(connection);
    await manager.consumers.add(STREAM, {
      durable_name: CONSUMER,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
    });
    const consumer = await jetstream(connection).consumers.get(STREAM, CONSUMER);
    this.messages = await consumer.consume({ max_messages: MAX_TAKEN });
    this.consuming = this.consume(this.messages);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.messages?.close();
    await this.consuming;
    await this.connection?.close();
  }

  private async consume(messages: ConsumerMessages): Promise<void> {
    for await (const message of messages) {
      this.use(message.seq, message.json<Reading>());
      // Behind its use: a worker that is killed before has not used it for sure.
      message.ack();
    }
  }

  /**
   * Stands for a database. A reading comes again if its worker was killed between use and acknowledgement. Its number stays the same,
   * so take that as the key of the row.
   */
  private use(number: number, { device, data }: Reading): void {
    console.log(`Worker ${process.pid} has reading ${number} of ${device}: ${JSON.stringify(data)}`);
  }
}
