/**
 * How much the server accepts from strangers and from devices. Each limit is an option.
 */
import type { BenUdpRate } from './rate-limit.js';

/** Rate limits: `burst` at once, then `perSecond`; each 1 to 1000000000. */
export interface BenUdpLimits {
  /**
   * Hellos of one source without a request after them. A source is an IPv4 address, an IPv6 /64, or a verified endpoint (address and
   * port). A network (IPv4 /24, IPv6 /48) may send 32 times as many. Default 20 a second, 40 at once.
   */
  readonly hellosPerSource: BenUdpRate;
  /** Hellos of all endpoints together that have never verified. Default 4000 a second, 10000 at once. */
  readonly hellosOfStrangers: BenUdpRate;
  /**
   * Advanced. Hellos of one verified address without a request after them, from ports that have not verified: boards behind a NAT that
   * changes ports. An address stays verified for a day after its last request. The answer to each has 32 bytes. Default 300 a second,
   * 600 at once.
   */
  readonly hellosPerVerifiedSource: BenUdpRate;
  /** Advanced. The same for all verified addresses together. Default 4000 a second, 10000 at once. */
  readonly hellosOfVerifiedSources: BenUdpRate;
  /** Advanced. Hellos of all unverified endpoints in `reservedNetworks` together. Default 4000 a second, 10000 at once. */
  readonly hellosOfReserved: BenUdpRate;
  /**
   * Failed requests of all unverified endpoints of one IPv4 address or IPv6 /64. Each answered hello or opening pays for 4 more of its
   * port, so junk from a spoofed address can't take the requests of its boards. Default 100 a second, 200 at once.
   */
  readonly failuresPerSource: BenUdpRate;
  /** Advanced. Failed requests of one verified endpoint (address and port). Default 500 a second, 1000 at once. */
  readonly failuresPerDevice: BenUdpRate;
  /**
   * Advanced. Requests of all endpoints together that have not verified, and whose hello or opening was not answered. Verified addresses
   * and `reservedNetworks` each have the same budget again. Default 2000 a second, 4000 at once.
   */
  readonly requestsOfStrangers: BenUdpRate;
  /**
   * Advanced. Keys that are tried for requests that do not verify, if the key of the endpoint is unknown. One key counts once for
   * each 2 KiB of data. Half of `burst` is reserved for sources that sent a hello and used less than a fifth. The keys that verified
   * at the address of a request have the same budget again, with a half instead of a fifth. Default 50000 a second, 100000 at once.
   */
  readonly keyAttempts: BenUdpRate;
}

export const DEFAULT_LIMITS: BenUdpLimits = {
  hellosPerSource: { perSecond: 20, burst: 40 },
  hellosOfStrangers: { perSecond: 4000, burst: 10_000 },
  hellosPerVerifiedSource: { perSecond: 300, burst: 600 },
  hellosOfVerifiedSources: { perSecond: 4000, burst: 10_000 },
  hellosOfReserved: { perSecond: 4000, burst: 10_000 },
  failuresPerSource: { perSecond: 100, burst: 200 },
  failuresPerDevice: { perSecond: 500, burst: 1000 },
  requestsOfStrangers: { perSecond: 2000, burst: 4000 },
  keyAttempts: { perSecond: 50_000, burst: 100_000 },
};

/** A network may send the hellos of this many sources. */
export const SOURCES_PER_NETWORK = 32;
