/** The stream that edge and workers share, and its readings. */
import { DiscardPolicy, type JetStreamManager, RetentionPolicy, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/transport-node';

export const STREAM = 'readings';

/** One subject for all boards: a subject can't hold each name of a device, and a board must not choose a subject. */
export const SUBJECT = 'fleet.readings';

export interface Reading {
  readonly device: string | undefined;
  /** ISO 8601. */
  readonly receivedAt: string;
  readonly data: unknown;
}

/** Of readings that no worker has used. Further ones are refused, and boards that wait are told. */
const MAX_BYTES = 2 ** 30;

/** A reading that is published again within this time, because its acknowledgement was lost, is stored once. */
const DUPLICATE_WINDOW_MS = 120_000;

/** Makes the stream, or finds it: the first process makes it. */
export async function openStream(connection: NatsConnection, maxBytes = MAX_BYTES): Promise<JetStreamManager> {
  const manager = await jetstreamManager(connection);
  await manager.streams.add({
    name: STREAM,
    subjects: [SUBJECT],
    // A reading is kept until a worker has used it. By default, a full stream would delete the oldest readings, used or not.
    retention: RetentionPolicy.Workqueue,
    discard: DiscardPolicy.New,
    max_bytes: maxBytes,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
  });
  return manager;
}
