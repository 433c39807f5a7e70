/**
 * The devices that have sent requests: when each sent its last one, and which are silent.
 */
import { type EndpointKey, type VerifiedRequest, remoteOfEndpoint } from '../exchange/index.js';
import { formatEndpoint } from '../format-endpoint.js';
import type { Platform } from '../net/index.js';

/** A device in the registry. */
export interface BenUdpDevice {
  /** Its name in the `keys` option. For a device whose key has no name: `address:port`, or `[address]:port` with IPv6. */
  readonly name: string;
  /** Whether `name` is from the `keys` option. */
  readonly isNamed: boolean;
  /** The address and port of its last request; `undefined` before its first request. */
  readonly address: string | undefined;
  readonly port: number | undefined;
  /** The time of its last request, in milliseconds since the epoch; `undefined` before its first request. */
  readonly lastSeenAt: number | undefined;
  /** Accepted requests since `listen`. */
  readonly requests: number;
  /** Whether its last request is older than `silentAfter`. False before its first request. */
  readonly isSilent: boolean;
}

/** A device that has sent a request. */
export interface BenUdpHeardDevice extends BenUdpDevice {
  readonly address: string;
  readonly port: number;
  readonly lastSeenAt: number;
}

/** Changed in place, because a busy device is recorded many times a second. */
interface Entry {
  /** The endpoint of its last request; `undefined` for an unnamed device, whose map key is its endpoint. */
  endpoint: EndpointKey | undefined;
  requests: number;
  /** On the monotonic clock, because the wall clock may jump. In whole milliseconds, because V8 stores a fraction as a separate object. */
  seenAt: number;
  isSilent: boolean;
}

export class DeviceRegistry {
  /** Least recently heard first. Together bounded by `capacity`, or by the number of keys if there are more. */
  private readonly named = new Map<string, Entry>();
  private readonly unnamed = new Map<EndpointKey, Entry>();
  private cancel: () => void = () => undefined;

  /**
   * @param capacity devices that are remembered, or as many as there are keys. Beyond it, the one with the longest silence is evicted,
   * unnamed ones first: the holder of a shared key can use any number of endpoints, and must not hide the silence of a named device.
   * @param silentAfterMs 0 for never.
   * @param onSilent called once each time a device becomes silent.
   * @param countKeys the keys that are accepted. Otherwise the silent devices of a larger fleet would be evicted, and never reported.
   */
  constructor(
    private readonly platform: Platform,
    private readonly capacity: number,
    private readonly silentAfterMs: number,
    private readonly onSilent: (device: BenUdpHeardDevice) => void,
    private readonly countKeys: () => number = () => 0,
  ) {}

  /** Begins to check for silent devices, until `stop`. */
  start(): void {
    if (this.silentAfterMs > 0) {
      this.watch();
    }
  }

  record({ device, endpoint }: Pick<VerifiedRequest, 'device' | 'endpoint'>): void {
    if (device === undefined) {
      this.recordIn(this.unnamed, endpoint, undefined);
    } else {
      this.recordIn(this.named, device, endpoint);
    }
  }

  /** Forgets the named devices but these: the silence of a device whose key was removed is no news. */
  retain(names: Iterable<string>): void {
    const retained = new Set(names);
    for (const name of this.named.keys()) {
      if (!retained.has(name)) {
        this.named.delete(name);
      }
    }
  }

  /**
   * Those without a request first, then the one with the longest silence.
   *
   * @param expected the names of all keys, heard or not.
   */
  list(expected: Iterable<string>): BenUdpDevice[] {
    const heard = [...this.named, ...this.unnamed]
      .toSorted(([, a], [, b]) => a.seenAt - b.seenAt)
      .map(([key, entry]) => this.describe(key, entry));
    const unheard = [...new Set(expected)].filter((name) => !this.named.has(name)).map(describeUnheard);
    return [...unheard, ...heard];
  }

  stop(): void {
    this.cancel();
  }

  private recordIn<Key>(devices: Map<Key, Entry>, key: Key, endpoint: EndpointKey | undefined): void {
    const entry = devices.get(key) ?? this.createEntry();
    entry.endpoint = endpoint;
    entry.requests++;
    entry.seenAt = Math.round(this.platform.now());
    entry.isSilent = false;
    devices.delete(key);
    devices.set(key, entry);
  }

  private createEntry(): Entry {
    if (this.named.size + this.unnamed.size >= Math.max(this.capacity, this.countKeys())) {
      forgetOldest(this.unnamed.size > 0 ? this.unnamed : this.named);
    }
    return { endpoint: undefined, requests: 0, seenAt: 0, isSilent: false };
  }

  /** Checks ten times per `silentAfter`, so a silence is noticed at most a tenth too late. */
  private watch(): void {
    this.cancel = this.platform.schedule(
      () => {
        this.reportSilent();
        this.watch();
      },
      Math.max(1, this.silentAfterMs / 10),
    );
  }

  private reportSilent(): void {
    const heardSince = this.platform.now() - this.silentAfterMs;
    for (const devices of [this.named, this.unnamed]) {
      for (const [key, entry] of devices) {
        if (entry.seenAt > heardSince) {
          break;
        }
        if (!entry.isSilent) {
          entry.isSilent = true;
          this.onSilent(this.describe(key, entry));
        }
      }
    }
  }

  /** @param key the name of the device, or its endpoint. */
  private describe(key: EndpointKey, { endpoint, requests, seenAt, isSilent }: Entry): BenUdpHeardDevice {
    const { address, port } = remoteOfEndpoint(endpoint ?? key);
    const ageMs = this.platform.now() - seenAt;
    return {
      name: endpoint === undefined ? formatEndpoint(address, port) : String(key),
      isNamed: endpoint !== undefined,
      address,
      port,
      lastSeenAt: this.platform.wallClock() - Math.round(ageMs),
      requests,
      isSilent,
    };
  }
}

function describeUnheard(name: string): BenUdpDevice {
  return {
    name,
    isNamed: true,
    address: undefined,
    port: undefined,
    lastSeenAt: undefined,
    requests: 0,
    isSilent: false,
  };
}

function forgetOldest(devices: Map<unknown, Entry>): void {
  const [oldest] = devices.keys();
  if (oldest !== undefined) {
    devices.delete(oldest);
  }
}
