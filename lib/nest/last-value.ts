/**
 * The last value of a stream, because a device reads exactly one reply.
 */
import type { Observable } from 'rxjs';

export interface LastValue {
  /** `undefined` if the stream had no value. */
  readonly value: unknown;
  /** The number of values. */
  readonly count: number;
}

/** Subscribes and resolves at the end of the stream, as Nest's HTTP adapters do. */
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
