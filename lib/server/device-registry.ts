/**
 * When each device was last heard, and which have fallen silent.
 */
import { formatEndpoint } from '../format-endpoint.js';
import { type EndpointKey, type BenUdpRemote, endpointKey } from '../exchange/index.js';
import type { Platform } from '../net/index.js';

/** A device as the registry knows it. */
export interface BenUdpDevice {
  /** Its name in the `keys` option; `address:port`, `[address]:port` with IPv6, for a device whose key has none. */
  readonly name: string;
  /** Whether `name` is from the `keys` option. */
  readonly isNamed: boolean;
  /** Where it was last heard from. */
  readonly address: string;
  readonly port: number;
  /** Milliseconds since the epoch. */
  readonly lastSeenAt: number;
  /** Requests that were accepted since `listen`. */
  readonly requests: number;
  /** Whether it has not been heard for longer than `silentAfter`. */
  readonly isSilent: boolean;
}

/** Changed in place: a device in use is noted many times a second. */
interface Entry {
  readonly device: string | undefined;
  address: string;
  port: number;
  requests: number;
  /** On the monotonic clock: the wall clock may jump. */
  seenAt: number;
  isSilent: boolean;
}

export class DeviceRegistry {
  /** Least recently heard first. */
  private readonly devices = new Map<EndpointKey, Entry>();
  private cancel: () => void = () => undefined;

  /**
   * @param capacity devices that are remembered; beyond it the one heard longest ago is forgotten.
   * @param silentAfterMs 0 for never.
   * @param onSilent called once each time a device falls silent.
   */
  constructor(
    private readonly platform: Platform,
    private readonly capacity: number,
    private readonly silentAfterMs: number,
    private readonly onSilent: (device: BenUdpDevice) => void,
  ) {}

  /** Begins to look for silent devices, until `stop`. */
  start(): void {
    if (this.silentAfterMs > 0) {
      this.watch();
    }
  }

  record(device: string | undefined, remote: BenUdpRemote): void {
    const key = device ?? endpointKey(remote);
    const entry = this.devices.get(key) ?? this.createEntry(device, remote);
    entry.address = remote.address;
    entry.port = remote.port;
    entry.requests++;
    entry.seenAt = this.platform.now();
    entry.isSilent = false;
    this.devices.delete(key);
    this.devices.set(key, entry);
  }

  list(): BenUdpDevice[] {
    const now = this.platform.now();
    return Array.from(this.devices.values(), (entry) => describe(entry, now));
  }

  stop(): void {
    this.cancel();
  }

  private createEntry(device: string | undefined, { address, port }: BenUdpRemote): Entry {
    if (this.devices.size >= this.capacity) {
      this.forgetOldest();
    }
    return { device, address, port, requests: 0, seenAt: 0, isSilent: false };
  }

  private forgetOldest(): void {
    for (const key of this.devices.keys()) {
      this.devices.delete(key);
      return;
    }
  }

  /** Looks at the devices as often as it takes to notice a silence within a tenth of it. */
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
    const now = this.platform.now();
    for (const entry of this.devices.values()) {
      if (entry.seenAt > now - this.silentAfterMs) {
        return;
      }
      if (!entry.isSilent) {
        entry.isSilent = true;
        this.onSilent(describe(entry, now));
      }
    }
  }
}

function describe({ device, address, port, requests, seenAt, isSilent }: Entry, now: number): BenUdpDevice {
  return {
    name: device ?? formatEndpoint(address, port),
    isNamed: device !== undefined,
    address,
    port,
    lastSeenAt: Date.now() - Math.round(now - seenAt),
    requests,
    isSilent,
  };
}
