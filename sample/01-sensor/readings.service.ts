import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { DhtReading } from './dht-reading.dto.js';

/** Nothing was reported yet. */
export class NoReadingError extends Error {}

/** Keeps the latest reading of each device. */
@Injectable()
export class ReadingsService implements OnApplicationShutdown {
  private readonly latest = new Map<string, DhtReading>();
  private isClosed = false;

  /**
   * Close a database here, not in onModuleDestroy: Nest runs that first, then awaits the handlers that still run, then runs this.
   */
  onApplicationShutdown(): void {
    this.isClosed = true;
  }

  save(device: string, reading: DhtReading): void {
    if (this.isClosed) {
      throw new Error('the store of readings is closed');
    }
    this.latest.set(device, reading);
  }

  get(device: string): DhtReading {
    const reading = this.latest.get(device);
    if (!reading) {
      throw new NoReadingError(`${device} has not reported yet`);
    }
    return reading;
  }
}
