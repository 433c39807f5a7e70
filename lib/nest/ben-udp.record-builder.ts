/**
 * Data together with options for the one request that carries it.
 */
import { type BenUdpCallOptions, resolveCallOptions } from './ben-udp.client-options.js';

/** Marks records. The same symbol in every copy of this package, so that they know each other's. */
const RECORD = Symbol.for('nestjs-ben-udp record');

/**
 * What `send` and `emit` take in place of data, made by `BenUdpRecordBuilder`.
 *
 * @publicApi
 */
export class BenUdpRecord<Data = unknown> {
  readonly [RECORD] = true;

  constructor(
    /** `undefined` for a request without data: the handler is called with no argument. */
    readonly data: Data,
    readonly options: Readonly<BenUdpCallOptions> = {},
  ) {}
}

/**
 * Builds a record:
 *
 *     client.send('measure', new BenUdpRecordBuilder({ samples: 5 }).setTimeout(2000).setRetries(2).build())
 *
 * Nest's `send` and `emit` take no `undefined` and no `null` as data. A record carries them: `new BenUdpRecordBuilder().build()`
 * sends no data at all, and `new BenUdpRecordBuilder(null).build()` sends `None`.
 *
 * @publicApi
 */
export class BenUdpRecordBuilder<Data = undefined> {
  private options: BenUdpCallOptions = {};

  constructor(private data?: Data) {}

  /** Replaces the data of the constructor. */
  setData(data: Data): this {
    this.data = data;
    return this;
  }

  /** As the client's option `timeout`. Throws a TypeError or RangeError, as the other setters do. */
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

  /** The record, with what was set so far. */
  build(): BenUdpRecord<Data> {
    return new BenUdpRecord(this.data as Data, this.options);
  }

  private set(options: BenUdpCallOptions): this {
    resolveCallOptions('BenUdpRecordBuilder', options);
    this.options = { ...this.options, ...options };
    return this;
  }
}

/** @internal */
export function isRecord(value: unknown): value is BenUdpRecord {
  return typeof value === 'object' && value !== null && RECORD in value;
}
