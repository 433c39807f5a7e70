/**
 * The results of requests that have an id, for retries in another session. A store outside the process keeps them beyond a restart of
 * the server.
 */
import { MONTH_MS } from '../constants.js';
import { OptionReader } from '../option-reader.js';

/** The entry that a store keeps for a request id. */
export interface BenUdpStoredResult {
  /** The SHA-256 of the text of the request, as base64url: a request id belongs to one request. */
  readonly request: string;
  /** The result; `undefined` while the handler runs, and permanently if its process ended first. */
  readonly result?: BenUdpRequestResult | undefined;
}

/** The result of a request, as the device gets it. */
export interface BenUdpRequestResult {
  /** The text of the reply; empty if there is none, as for events. */
  readonly reply: string;
  readonly isError: boolean;
}

/** Keeps the results of requests that have an id (`rid`). All processes that answer the same boards must use the same store. */
export interface BenUdpResultStore {
  /**
   * Claims a request id before its handler runs. Must be atomic: of several calls with one key, a single one gets `undefined`.
   *
   * @param key names the device and its request id, at most 1 KiB.
   * @param request the SHA-256 of its text. Kept with the key.
   * @param device the name of the device; `undefined` for all keys without a name. For quotas: `key` contains it.
   * @returns `undefined` if the key was free. Otherwise the kept entry, and the handler does not run.
   * @throws if the store fails. The handler does not run then.
   */
  begin(
    key: string,
    request: string,
    device?: string,
  ): Promise<BenUdpStoredResult | undefined> | BenUdpStoredResult | undefined;
  /**
   * Keeps the result of a claimed request. The result is sent only after this has resolved.
   *
   * @param request as `begin` got it.
   */
  end(key: string, request: string, result: BenUdpRequestResult): Promise<void> | void;
}

/** Options of `BenUdpMemoryResultStore`. */
export interface BenUdpMemoryResultStoreOptions {
  /**
   * Bytes of all results, 65536 to 1073741824. Default 4194304. Beyond it, the device with the most bytes loses its oldest result, and a
   * retry of it runs again.
   */
  maxBytes?: number;
  /** Milliseconds for which a result is kept after its handler has ended, 1000 to 2678400000. Default 3600000, one hour. */
  maxAge?: number;
}

const DEFAULT_MAX_BYTES = 4_194_304;
const DEFAULT_MAX_AGE_MS = 3_600_000;

/** Memory of a result in addition to its texts. */
const OVERHEAD_BYTES = 256;

/** The request ids of a device, or of all unnamed keys. */
class Owner {
  bytes = 0;
  /** Its finished requests, oldest first. */
  readonly finished = new Map<string, Entry>();

  constructor(readonly device: string | undefined) {}
}

interface Entry {
  readonly owner: Owner;
  readonly request: string;
  result: BenUdpRequestResult | undefined;
  endedAt: number;
}

/**
 * Keeps results in the memory of the process, for retries after a lost session or a restart of the board. A restart of the server loses
 * them.
 *
 * @publicApi
 */
export class BenUdpMemoryResultStore implements BenUdpResultStore {
  /** Requests whose handlers run. Bounded by `maxInFlight`. */
  private readonly running = new Map<string, Entry>();
  /** Finished requests, oldest first. Bounded by `maxBytes`. */
  private readonly finished = new Map<string, Entry>();
  /** Those that have an entry. */
  private readonly owners = new Map<string | undefined, Owner>();
  private readonly maxBytes: number;
  private readonly maxAge: number;
  private readonly now: () => number;
  private total = 0;

  /** @throws TypeError, RangeError naming the option. */
  constructor(options?: BenUdpMemoryResultStoreOptions);
  /**
   * @internal
   * @param now monotonic milliseconds.
   */
  constructor(options: BenUdpMemoryResultStoreOptions, now: () => number);
  constructor(options: BenUdpMemoryResultStoreOptions = {}, now: () => number = () => performance.now()) {
    this.now = now;
    const reader = new OptionReader('BenUdpMemoryResultStore', options, ['maxBytes', 'maxAge']);
    this.maxBytes = reader.integer('maxBytes', DEFAULT_MAX_BYTES, 65_536, 1_073_741_824);
    this.maxAge = reader.integer('maxAge', DEFAULT_MAX_AGE_MS, 1000, MONTH_MS);
  }

  /** The bytes that are counted. */
  get bytes(): number {
    return this.total;
  }

  begin(key: string, request: string, device?: string): BenUdpStoredResult | undefined {
    this.forgetOld();
    const known = this.running.get(key) ?? this.finished.get(key);
    if (known) {
      return known;
    }
    const owner = this.owners.get(device) ?? new Owner(device);
    this.owners.set(device, owner);
    const entry: Entry = { owner, request, result: undefined, endedAt: 0 };
    this.running.set(key, entry);
    this.count(entry, bytesOf(key, entry));
    this.makeRoom();
    return undefined;
  }

  end(key: string, request: string, result: BenUdpRequestResult): void {
    const entry = this.running.get(key);
    if (entry?.request === request) {
      this.count(entry, -bytesOf(key, entry));
      entry.result = result;
      entry.endedAt = this.now();
      this.count(entry, bytesOf(key, entry));
      this.running.delete(key);
      this.finished.set(key, entry);
      entry.owner.finished.set(key, entry);
      this.makeRoom();
    }
  }

  private count({ owner }: Entry, bytes: number): void {
    owner.bytes += bytes;
    this.total += bytes;
  }

  private forgetOld(): void {
    const oldest = this.now() - this.maxAge;
    for (const [key, entry] of this.finished) {
      if (entry.endedAt >= oldest) {
        return;
      }
      this.forget(key, entry);
    }
  }

  /** The device with the most bytes loses its oldest result, so one device can't evict the results of others. */
  private makeRoom(): void {
    while (this.total > this.maxBytes && this.finished.size > 0) {
      let largest: Owner | undefined;
      for (const owner of this.owners.values()) {
        if (owner.finished.size > 0 && owner.bytes > (largest?.bytes ?? 0)) {
          largest = owner;
        }
      }
      const [[key, entry]] = largest!.finished as unknown as [[string, Entry]];
      this.forget(key, entry);
    }
  }

  private forget(key: string, entry: Entry): void {
    this.count(entry, -bytesOf(key, entry));
    this.finished.delete(key);
    entry.owner.finished.delete(key);
    if (entry.owner.bytes === 0) {
      this.owners.delete(entry.owner.device);
    }
  }
}

/** A character takes up to two bytes. */
function bytesOf(key: string, { request, result }: Entry): number {
  return OVERHEAD_BYTES + 2 * (key.length + request.length + (result?.reply.length ?? 0));
}
