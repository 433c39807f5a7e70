import { Injectable, type OnModuleInit } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { type ReadingBatch, Store } from '../database/store.js';
import { StreamService } from '../page/stream.service.js';

/** Series of one board. The holder of a key can't fill the database with names. */
export const MAX_SERIES = 32;

/**
 * Stores readings. While one batch is being written, the next one collects: under load few statements carry many readings, and a single
 * reading waits for nothing.
 */
@Injectable()
export class IngestService implements OnModuleInit {
  private readonly metrics = new Map<string, Set<string>>();
  private batch = emptyBatch();
  private writing: Promise<unknown> = Promise.resolve();
  private next: Promise<void> | undefined;

  constructor(
    private readonly store: Store,
    private readonly stream: StreamService,
  ) {}

  async onModuleInit(): Promise<void> {
    for (const { board, metric } of await this.store.latestReadings()) {
      this.metricsOf(board).add(metric);
    }
  }

  /**
   * Resolves when the readings are in the database.
   *
   * @throws RpcException if the board reports too many different metrics.
   */
  async add(board: string, at: number, readings: ReadonlyMap<string, number>): Promise<void> {
    const known = this.metricsOf(board);
    const added = [...readings.keys()].filter((metric) => !known.has(metric));
    if (known.size + added.length > MAX_SERIES) {
      throw new RpcException(`a board has at most ${MAX_SERIES} metrics, and "${added[0]}" would be one too many`);
    }
    added.forEach((metric) => known.add(metric));
    for (const [metric, value] of readings) {
      this.batch.boards.push(board);
      this.batch.metrics.push(metric);
      this.batch.times.push(at);
      this.batch.values.push(value);
    }
    this.next ??= this.writing.then(() => this.write());
    await this.next;
  }

  private async write(): Promise<void> {
    const { batch } = this;
    this.batch = emptyBatch();
    this.next = undefined;
    const stored = this.store.addReadings(batch);
    // The boards of a batch that failed learn of it; the next batch is another matter.
    this.writing = stored.catch(() => undefined);
    await stored;
    this.stream.publishReadings(batch);
  }

  private metricsOf(board: string): Set<string> {
    const metrics = this.metrics.get(board) ?? new Set();
    this.metrics.set(board, metrics);
    return metrics;
  }
}

function emptyBatch(): ReadingBatch {
  return { boards: [], metrics: [], times: [], values: [] };
}
