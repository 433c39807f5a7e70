import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { TIDY_ROWS } from '../database/readings.sql.js';
import { Store } from '../database/store.js';

const MINUTE_MS = 60_000;
const MAINTAIN_EVERY = 60;

/** Moves readings of yesterday into hours, a few each minute, so that no insert waits long. */
@Injectable()
export class RetentionService implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('Retention');
  private timer: NodeJS.Timeout | undefined;
  private runs = 0;
  private isClosing = false;

  constructor(private readonly store: Store) {}

  onApplicationBootstrap(): void {
    this.schedule(MINUTE_MS);
  }

  onModuleDestroy(): void {
    this.isClosing = true;
    clearTimeout(this.timer);
  }

  private schedule(delayMs: number): void {
    this.timer = setTimeout(() => void this.run(), delayMs);
  }

  private async run(): Promise<void> {
    let isMore = false;
    try {
      const { toHours, deleted } = await this.store.tidy(Date.now());
      isMore = [toHours, ...deleted].includes(TIDY_ROWS);
      if (++this.runs % MAINTAIN_EVERY === 0) {
        await this.store.maintain();
      }
    } catch (error) {
      this.logger.error(error);
    }
    if (!this.isClosing) {
      // After a long pause of the app there is more to do; inserts get their turn in between.
      this.schedule(isMore ? 1000 : MINUTE_MS);
    }
  }
}
