/**
 * A session of protocol v2: one device, one request at a time. At most 512 bytes without its reply, keys and tables included.
 */
import type { RingKey } from '../../keys/index.js';
import type { SessionCiphers } from '../../protocol/v2/index.js';
import { Holder } from '../limits/holder.js';
import type { InFlightOwner } from '../limits/in-flight.js';
import type { AddressKey, EndpointKey } from '../remote.js';
import type { KeptReply } from './kept-replies.js';

/** Delay above which a request is refused, in milliseconds. */
export const LATE_MS = 20_000;

/** The rate at which the clock of a device may fall behind. */
export const DRIFT = 200e-6;

/** The holder of a session except while a handler begins. */
export const NOBODY = new Holder('nobody');

export class Session implements InFlightOwner {
  /** The holder of the next handler, only while it begins: the handler keeps it. */
  holder: Holder = NOBODY;
  running = 0;
  /** The number of the last request; 0 before the first. */
  ctr = 0;
  /** The tag of the last request, as Latin-1. */
  tag = '';
  isRunning = false;
  isEnded = false;
  /** The reply to the last request; `undefined` while its handler runs, if it had none, and after it was evicted. */
  reply: KeptReply | undefined = undefined;
  /** When the last request arrived. */
  lastAt = 0;
  /** The source of the last request. */
  endpoint: EndpointKey = 0;
  /** The ciphers, if the session is one of those that set them up last. */
  ciphers: SessionCiphers | undefined = undefined;
  /** The least delay of a request, as it would be at time 0: it rises with time, because the clock of the device may fall behind. */
  private leastDelay = Infinity;

  /**
   * @param id the part of the session id behind the route, as a number.
   * @param address from which a session of a shared key was opened; `undefined` for the key of a device.
   * @param place of its keys.
   */
  constructor(
    readonly id: number,
    readonly key: RingKey,
    readonly address: AddressKey | undefined,
    readonly place: number,
  ) {}

  /** Whether a request was delayed too long, if it was sent at `t` by the clock of the device. */
  isLate(t: number, now: number): boolean {
    return now - t - (this.leastDelay + now * DRIFT) > LATE_MS;
  }

  /** Records the delay of a request that is executed. */
  recordDelay(t: number, now: number): void {
    const delay = now - t - now * DRIFT;
    if (delay < this.leastDelay) {
      this.leastDelay = delay;
    }
  }
}
