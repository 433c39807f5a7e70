import { Injectable, type OnModuleInit } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { type LatestReading, type ReadingBatch, Store } from '../database/store.js';
import { StreamService } from '../page/stream.service.js';

/** Series of one board. The holder of a key can't fill the database with names. */
export const MAX_SERIES = 32;

/**
 * Stores readings. While one batch is being written, the next one collects: under load few statements carry many readings, and a single
 * reading waits for nothing.
 */
@Injectable()
export class IngestService implements OnModuleInit {
  /** The newest reading by board and metric, so that an overview costs no query: `undefined` before the first is stored. */
  private readonly newest = new Map<string, Map<string, LatestReading | undefined>>();
  private batch = emptyBatch();
  private writing: Promise<unknown> = Promise.resolve();
  private next: Promise<void> | undefined;

  constructor(
    private readonly store: Store,
    private readonly stream: StreamService,
  ) {}

  async onModuleInit(): Promise<void> {
    for (const reading of await this.store.latestReadings()) {
      this.newestOf(reading.board).set(reading.metric, reading);
    }
  }

  /** The newest reading of each series, in no order. */
  latest(): LatestReading[] {
    return [...this.newest.values()].flatMap((readings) => [...readings.values()].filter((each) => each !== undefined));
  }

  /**
   * Resolves when the readings are in the database.
   *
   * @throws RpcException if the board reports too many different metrics.
   */
  async add(board: string, at: number, readings: ReadonlyMap<string, number>): Promise<void> {
    const known = this.newestOf(board);
    const added = [...readings.keys()].filter((metric) => !known.has(metric));
    if (known.size + added.length > MAX_SERIES) {
      throw new RpcException(`a board has at most ${MAX_SERIES} metrics, and "${added[0]}" would be one too many`);
    }
    added.forEach((metric) => known.set(metric, undefined));
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
    this.keepNewest(batch);
    this.stream.publishReadings(batch);
  }

  private keepNewest({ boards, metrics, times, values }: ReadingBatch): void {
    boards.forEach((board, index) => {
      const [metric, at, value] = [metrics[index]!, times[index]!, values[index]!];
      const readings = this.newestOf(board);
      if (at >= (readings.get(metric)?.at ?? 0)) {
        readings.set(metric, { board, metric, at, value });
      }
    });
  }

  private newestOf(board: string): Map<string, LatestReading | undefined> {
    const readings = this.newest.get(board) ?? new Map<string, LatestReading | undefined>();
    this.newest.set(board, readings);
    return readings;
  }
}

function emptyBatch(): ReadingBatch {
  return { boards: [], metrics: [], times: [], values: [] };
}
