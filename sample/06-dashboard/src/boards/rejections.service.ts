import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { type BenUdpRejectedDatagram, BenUdpTransport } from 'nestjs-ben-udp';
import { type RejectionCount, Store } from '../database/store.js';
import { StreamService } from '../page/stream.service.js';

const MINUTE_MS = 60_000;
const SAVE_MS = 5000;
const RECENT = 50;

/** Counts that wait for a database that does not answer. Further ones are lost. */
const MAX_UNSAVED = 10_000;

export interface RecentRejection {
  readonly at: number;
  readonly reason: string;
  readonly board: string;
  /** May be forged. */
  readonly address: string;
}

/**
 * Counts dropped datagrams. Strangers cause them as often as they like, so a datagram costs a count in memory. The rows in the database
 * are bounded, because they have no addresses: only a minute, a reason and the name of a key.
 */
@Injectable()
export class RejectionsService implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger('Rejections');
  private readonly recent: RecentRejection[] = [];
  private readonly counts = new Map<string, RejectionCount>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly transport: BenUdpTransport,
    private readonly store: Store,
    private readonly stream: StreamService,
  ) {}

  onModuleInit(): void {
    this.transport.on('rejected', (rejected) => this.note(rejected));
  }

  async onApplicationShutdown(): Promise<void> {
    clearTimeout(this.timer);
    await this.save();
  }

  /** The newest first. */
  listRecent(): RecentRejection[] {
    return this.recent.toReversed();
  }

  /** Stored counts, and those that are not stored yet. */
  async list(from: number, to: number, bucketMs: number): Promise<RejectionCount[]> {
    await this.save();
    return this.store.rejections(from, to, bucketMs);
  }

  private note({ reason, remote, device = '' }: BenUdpRejectedDatagram): void {
    const now = Date.now();
    this.count({ at: now - (now % MINUTE_MS), reason, board: device, count: 1 });
    const rejection = { at: now, reason, board: device, address: remote.address };
    this.recent.push(rejection);
    if (this.recent.length > RECENT) {
      this.recent.shift();
    }
    this.stream.publish('rejected', rejection);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.save().catch((error: unknown) => this.logger.error(error));
    }, SAVE_MS);
  }

  private count({ at, reason, board, count }: RejectionCount): void {
    const key = `${at} ${reason} ${board}`;
    const before = this.counts.get(key)?.count;
    if (before !== undefined || this.counts.size < MAX_UNSAVED) {
      this.counts.set(key, { at, reason, board, count: (before ?? 0) + count });
    }
  }

  private async save(): Promise<void> {
    const counts = [...this.counts.values()];
    this.counts.clear();
    try {
      await this.store.addRejections(counts);
    } catch (error) {
      counts.forEach((count) => this.count(count));
      throw error;
    }
  }
}
