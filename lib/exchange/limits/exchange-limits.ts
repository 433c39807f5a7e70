/**
 * How much the server lets itself be asked, each a number an operator may change.
 */
import type { BenUdpRate } from './rate-limit.js';

/** Rates: so many at once (`burst`), and so many a second after that (`perSecond`). */
export interface BenUdpLimits {
  /**
   * Hellos of one source (IPv4 address, IPv6 /64, or verified device) that no request has followed: how many are answered.
   * A network (IPv4 /24, IPv6 /48) may say 32 times as many. Default 20 a second, 40 at once.
   */
  readonly hellosPerSource: BenUdpRate;
  /** The same for all endpoints that never verified together, so that a flood can't occupy the server. Default 4000 a second, 10000 at once. */
  readonly hellosOfStrangers: BenUdpRate;
  /** Requests of one source that never verified: how many failures are looked at. Default 100 a second, 200 at once. */
  readonly failuresPerSource: BenUdpRate;
  /** Requests in the name of one verified device: how many failures are looked at. Default 500 a second, 1000 at once. */
  readonly failuresPerDevice: BenUdpRate;
  /** Requests of endpoints that neither verified nor said hello, all together: how many are looked at. Default 2000, 4000 at once. */
  readonly requestsOfStrangers: BenUdpRate;
  /**
   * Keys tried for requests whose key is not known yet and that do not verify; each counts once for every 2 KiB of data begun. Half
   * of what may be at once is kept for sources that had less than a fifth, and said hello. Default 50000 a second, 100000 at once.
   */
  readonly keyAttempts: BenUdpRate;
}

export const DEFAULT_LIMITS: BenUdpLimits = {
  hellosPerSource: { perSecond: 20, burst: 40 },
  hellosOfStrangers: { perSecond: 4000, burst: 10_000 },
  failuresPerSource: { perSecond: 100, burst: 200 },
  failuresPerDevice: { perSecond: 500, burst: 1000 },
  requestsOfStrangers: { perSecond: 2000, burst: 4000 },
  keyAttempts: { perSecond: 50_000, burst: 100_000 },
};

/** How many sources' hellos a network may say. */
export const SOURCES_PER_NETWORK = 32;
