/**
 * Data, together with options for one request.
 */
import { type BenUdpRecordOptions, resolveRecordOptions } from './ben-udp.client-options.js';

/** Marks records. Every copy of this package uses the same symbol, so the copies recognise each other's records. */
const RECORD = Symbol.for('nestjs-ben-udp record');

/**
 * Data with options, for `send` and `emit`. Made by `BenUdpRecordBuilder`.
 *
 * @publicApi
 */
export class BenUdpRecord<Data = unknown> {
  readonly [RECORD] = true;

  constructor(
    /** `undefined` for a request without data: the handler is called without an argument. */
    readonly data: Data,
    readonly options: Readonly<BenUdpRecordOptions> = {},
  ) {}
}

/**
 * Builds a record:
 *
 *     client.send('measure', new BenUdpRecordBuilder({ samples: 5 }).setTimeout(2000).setRetries(2).build())
 *
 * Nest's `send` and `emit` accept neither `undefined` nor `null` as data. A record can carry both: `new BenUdpRecordBuilder().build()`
 * sends no data, and `new BenUdpRecordBuilder(null).build()` sends `None`.
 *
 * @publicApi
 */
export class BenUdpRecordBuilder<Data = undefined> {
  private options: BenUdpRecordOptions = {};

  constructor(private data?: Data) {}

  /** Replaces the data from the constructor. */
  setData(data: Data): this {
    this.data = data;
    return this;
  }

  /** As the client's option `timeout`. Like the other setters, it throws a TypeError or RangeError for a wrong value. */
  setTimeout(ms: number): this {
    return this.set({ timeout: ms });
  }

  /** As the client's option `retries`. */
  setRetries(retries: number): this {
    return this.set({ retries });
  }

  /** As the client's option `idempotent`. */
  setIdempotent(idempotent = true): this {
    return this.set({ idempotent });
  }

  /**
   * The id of the request, 1 to 64 characters, for clients with `protocol: 'v2'`: its handler runs once, for all copies of the request
   * in any session. `setRetries` then repeats it without `setIdempotent`.
   */
  setIdempotencyKey(key: string): this {
    return this.set({ idempotencyKey: key });
  }

  /** Returns the record. */
  build(): BenUdpRecord<Data> {
    return new BenUdpRecord(this.data as Data, this.options);
  }

  private set(options: BenUdpRecordOptions): this {
    resolveRecordOptions('BenUdpRecordBuilder', options);
    this.options = { ...this.options, ...options };
    return this;
  }
}

/** @internal */
export function isRecord(value: unknown): value is BenUdpRecord {
  return typeof value === 'object' && value !== null && RECORD in value;
}
