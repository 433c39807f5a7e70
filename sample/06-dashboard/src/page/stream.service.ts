import { Injectable, type MessageEvent, type OnModuleDestroy } from '@nestjs/common';
import { Observable, Subject, finalize } from 'rxjs';
import type { Command, ReadingBatch } from '../database/store.js';
import type { ExchangeRecord } from '../boards/exchanges.service.js';
import type { Heard } from '../boards/roster.service.js';
import type { RecentRejection } from '../boards/rejections.service.js';

/** A page is drawn at most four times a second, however many readings come. */
const FLUSH_MS = 250;

/** Items of one kind that a flush carries. A page that is told of more would only fall behind. */
const MAX_ITEMS = 2000;

/** Keeps proxies from closing a silent stream, and tells the page the time of the server. */
const PING_MS = 15_000;

/** News for the pages, by the name of the event. */
interface Items {
  reading: [board: string, metric: string, at: number, value: number];
  heard: Heard;
  rejected: RecentRejection;
  exchange: ExchangeRecord;
  command: Command;
}

type Kind = keyof Items;

/** Live news for all open pages. Each flush is turned into text once, not once for each page. */
@Injectable()
export class StreamService implements OnModuleDestroy {
  private readonly events = new Subject<MessageEvent>();
  private pages = 0;
  private pending = new Map<Kind, Map<unknown, unknown>>();
  private flushTimer: NodeJS.Timeout | undefined;
  private readonly pingTimer = setInterval(() => this.ping(), PING_MS).unref();

  /** Ends with the app: an open stream would hold up its shutdown. */
  onModuleDestroy(): void {
    clearInterval(this.pingTimer);
    clearTimeout(this.flushTimer);
    this.events.complete();
  }

  /** Begins with `begin`: everything that is published afterwards will come. */
  connect(): Observable<MessageEvent> {
    return new Observable<MessageEvent>((subscriber) => {
      this.pages++;
      subscriber.next({ type: 'begin', data: { now: Date.now() } });
      return this.events.pipe(finalize(() => this.pages--)).subscribe(subscriber);
    });
  }

  /** @param key replaces an item with the same key that no page has seen yet. */
  publish<K extends Kind>(kind: K, item: Items[K], key: unknown = item): void {
    if (this.pages === 0) {
      return;
    }
    const items = this.pending.get(kind) ?? new Map();
    this.pending.set(kind, items);
    if (items.size < MAX_ITEMS || items.has(key)) {
      items.set(key, item);
    }
    this.flushTimer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  publishReadings({ boards, metrics, times, values }: ReadingBatch): void {
    if (this.pages > 0) {
      boards.forEach((board, index) =>
        this.publish('reading', [board, metrics[index]!, times[index]!, values[index]!]),
      );
    }
  }

  private flush(): void {
    this.flushTimer = undefined;
    const { pending } = this;
    this.pending = new Map();
    for (const [type, items] of pending) {
      this.events.next({ type, data: JSON.stringify([...items.values()]) });
    }
  }

  private ping(): void {
    this.events.next({ type: 'ping', data: { now: Date.now() } });
  }
}
