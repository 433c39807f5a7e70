import { Injectable } from '@nestjs/common';
import type { DhtReading } from './dht-reading.dto.js';

/** Nothing was reported yet. */
export class NoReadingError extends Error {}

/** Keeps the latest reading of each device. */
@Injectable()
export class ReadingsService {
  private readonly latest = new Map<string, DhtReading>();

  save(device: string, reading: DhtReading): void {
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
