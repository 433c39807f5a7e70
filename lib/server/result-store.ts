/**
 * The results of requests that have an id, for retries in another session. A store outside the process keeps them beyond a restart of
 * the server.
 */
import { MONTH_MS } from '../constants.js';
import { OptionReader } from '../option-reader.js';
import { SizeClasses } from '../size-classes.js';

/** The entry that a store keeps for a request id. */
export interface BenUdpStoredResult {
  /** A SHA-256 of the request, as base64url: a request id belongs to one request. */
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
   * @param request a SHA-256 of it. Kept with the key.
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
   * Bytes of all results, 65536 to 1073741824. Default 4194304. Beyond it, one of the devices with the most bytes loses its oldest result,
   * and a retry of it runs again. Requests whose handlers run do not count: `maxInFlight` bounds them.
   */
  maxBytes?: number;
  /** Milliseconds for which a result is kept after its handler has ended, 1000 to 2678400000. Default 3600000, one hour. */
  maxAge?: number;
}

const DEFAULT_MAX_BYTES = 4_194_304;
const DEFAULT_MAX_AGE_MS = 3_600_000;

/** Memory of a result in addition to its texts. */
const OVERHEAD_BYTES = 256;

/** Devices of the largest size class that are compared, so room costs the same with 100,000 devices as with a few. */
const OWNERS_COMPARED = 32;

/** The results of a device, or of all unnamed keys. */
class Owner {
  bytes = 0;
  /** Oldest first. */
  readonly finished = new Map<string, Entry>();
}

interface Entry {
  readonly device: string | undefined;
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
  /** Those that have a result, so `maxBytes` bounds them too. */
  private readonly owners = new Map<string | undefined, Owner>();
  /** The same by their bytes. */
  private readonly classes = new SizeClasses<Owner>();
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

  /** The bytes of all results. */
  get bytes(): number {
    return this.total;
  }

  begin(key: string, request: string, device?: string): BenUdpStoredResult | undefined {
    this.forgetOld();
    const known = this.running.get(key) ?? this.finished.get(key);
    if (!known) {
      this.running.set(key, { device, request, result: undefined, endedAt: 0 });
    }
    return known;
  }

  end(key: string, request: string, result: BenUdpRequestResult): void {
    const entry = this.running.get(key);
    if (entry?.request !== request) {
      return;
    }
    this.running.delete(key);
    entry.result = result;
    entry.endedAt = this.now();
    this.finished.set(key, entry);
    const owner = this.owners.get(entry.device) ?? new Owner();
    this.owners.set(entry.device, owner);
    owner.finished.set(key, entry);
    this.count(owner, bytesOf(key, entry));
    this.makeRoom();
  }

  private count(owner: Owner, bytes: number): void {
    this.classes.move(owner, owner.bytes, owner.bytes + bytes);
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

  /** A device with the most bytes loses its oldest result, so one device can't evict the results of others. */
  private makeRoom(): void {
    while (this.total > this.maxBytes) {
      const [oldest] = this.findLargest().finished;
      this.forget(...oldest!);
    }
  }

  private findLargest(): Owner {
    const [owners] = this.classes.largestFirst();
    let largest: Owner | undefined;
    let left = OWNERS_COMPARED;
    for (const owner of owners!) {
      largest = !largest || owner.bytes > largest.bytes ? owner : largest;
      if (--left === 0) {
        break;
      }
    }
    return largest!;
  }

  private forget(key: string, entry: Entry): void {
    const owner = this.owners.get(entry.device)!;
    this.finished.delete(key);
    owner.finished.delete(key);
    this.count(owner, -bytesOf(key, entry));
    if (owner.finished.size === 0) {
      this.owners.delete(entry.device);
    }
  }
}

/** A character takes up to two bytes. */
function bytesOf(key: string, { request, result }: Entry): number {
  return OVERHEAD_BYTES + 2 * (key.length + request.length + (result?.reply.length ?? 0));
}
