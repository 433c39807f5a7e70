/**
 * When each device was last heard, and which have fallen silent.
 */
import type { Platform } from '../net/index.js';

/** A device as the registry knows it. */
export interface BenUdpDevice {
  /** Its name in the `keys` option; `address:port` for a device whose key has none. */
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

interface Entry {
  device: BenUdpDevice;
  /** On the monotonic clock: the wall clock may jump. */
  readonly seenAt: number;
}

export class DeviceRegistry {
  /** Least recently heard first. */
  private readonly devices = new Map<string, Entry>();
  private callOff: () => void = () => undefined;

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
  ) {
    if (silentAfterMs > 0) {
      this.watch();
    }
  }

  note(device: string | undefined, address: string, port: number): void {
    const name = device ?? `${address}:${port}`;
    const requests = (this.devices.get(name)?.device.requests ?? 0) + 1;
    this.devices.delete(name);
    if (this.devices.size >= this.capacity) {
      this.forgetOldest();
    }
    this.devices.set(name, {
      device: {
        name,
        isNamed: device !== undefined,
        address,
        port,
        requests,
        lastSeenAt: Date.now(),
        isSilent: false,
      },
      seenAt: this.platform.now(),
    });
  }

  list(): BenUdpDevice[] {
    return Array.from(this.devices.values(), ({ device }) => device);
  }

  stop(): void {
    this.callOff();
  }

  private forgetOldest(): void {
    for (const name of this.devices.keys()) {
      this.devices.delete(name);
      return;
    }
  }

  /** Looks at the devices as often as it takes to notice a silence within a tenth of it. */
  private watch(): void {
    this.callOff = this.platform.schedule(
      () => {
        this.reportSilent();
        this.watch();
      },
      Math.max(1, this.silentAfterMs / 10),
    );
  }

  private reportSilent(): void {
    const limit = this.platform.now() - this.silentAfterMs;
    for (const entry of this.devices.values()) {
      if (entry.seenAt > limit) {
        return;
      }
      if (!entry.device.isSilent) {
        entry.device = { ...entry.device, isSilent: true };
        this.onSilent(entry.device);
      }
    }
  }
}
