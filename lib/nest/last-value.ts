/**
 * The last value of a stream: a device reads exactly one reply.
 */
import type { Observable } from 'rxjs';

export interface LastValue {
  /** `undefined` where there was none. */
  readonly value: unknown;
  /** How many values there were. */
  readonly count: number;
}

/** Subscribes and waits for the end, as Nest's HTTP adapters do. */
export function lastValue(stream: Observable<unknown>): Promise<LastValue> {
  return new Promise((resolve, reject) => {
    let value: unknown;
    let count = 0;
    stream.subscribe({
      next: (next) => {
        value = next;
        count++;
      },
      error: reject,
      complete: () => resolve({ value, count }),
    });
  });
}
