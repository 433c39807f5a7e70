/**
 * Decides, before any cryptography, whether a datagram is worth the work. Its memory has a fixed size of about 5 MiB.
 */
import { type RandomFill, systemRandom } from '../../random.js';
import type { Endpoint } from '../endpoint-table.js';
import type { BenUdpRejection } from '../rejection.js';
import type { IpPrefix } from '../remote.js';
import { type BenUdpLimits, SOURCES_PER_NETWORK } from './exchange-limits.js';
import { KeyAttemptBudget } from './key-attempt-budget.js';
import { type BenUdpRate, RateLimit, RateTable, fullAfter, isWithinRate, refund } from './rate-limit.js';

/** Entries of the rate tables; powers of two. */
const SOURCES = 262_144;
const NETWORKS = 65_536;
const FAILING_SOURCES = 65_536;

export class Admission {
  private readonly sources: RateTable;
  private readonly networks: RateTable;
  private readonly strangersHellos: RateLimit;
  private readonly failingSources: RateTable;
  private readonly strangersRequests: RateLimit;
  readonly keyAttempts: KeyAttemptBudget;

  constructor(
    private readonly limits: BenUdpLimits,
    random: RandomFill = systemRandom,
  ) {
    const { hellosPerSource } = limits;
    this.sources = new RateTable(hellosPerSource, SOURCES, random);
    this.networks = new RateTable(multiply(hellosPerSource, SOURCES_PER_NETWORK), NETWORKS, random);
    this.strangersHellos = new RateLimit(limits.hellosOfStrangers);
    this.failingSources = new RateTable(limits.failuresPerSource, FAILING_SOURCES, random);
    this.strangersRequests = new RateLimit(limits.requestsOfStrangers);
    this.keyAttempts = new KeyAttemptBudget(limits.keyAttempts, random);
  }

  /** Counts the hello of a stranger if every limit allows it. Otherwise counts nothing, and returns the limit that was reached. */
  admitHello({ high, low, networkHigh, networkLow }: IpPrefix, now: number): BenUdpRejection | undefined {
    if (!this.sources.allows(high, low, now) || !this.networks.allows(networkHigh, networkLow, now)) {
      return 'hello-rate';
    }
    if (!this.strangersHellos.allows(now)) {
      return 'hello-budget';
    }
    this.sources.take(high, low, now);
    this.networks.take(networkHigh, networkLow, now);
    this.strangersHellos.take(now);
    return undefined;
  }

  /** The stranger has verified, so its hello does not count. Otherwise a fleet behind one NAT would reach the limit of its address. */
  refundHello({ high, low, networkHigh, networkLow }: IpPrefix): void {
    this.sources.refund(high, low);
    this.networks.refund(networkHigh, networkLow);
    this.strangersHellos.refund();
  }

  /** @param saidHello whether the hello of this stranger is remembered. */
  admitRequest({ high, low }: IpPrefix, saidHello: boolean, now: number): BenUdpRejection | undefined {
    if (!this.failingSources.allows(high, low, now)) {
      return 'request-rate';
    }
    if (saidHello) {
      return undefined;
    }
    if (!this.strangersRequests.allows(now)) {
      return 'request-budget';
    }
    this.strangersRequests.take(now);
    return undefined;
  }

  countFailure({ high, low }: IpPrefix, now: number): void {
    this.failingSources.take(high, low, now);
  }

  /** Counts the hello of a known endpoint if its own limit allows it. */
  admitKnownHello(endpoint: Endpoint, now: number): BenUdpRejection | undefined {
    const { hellosPerSource } = this.limits;
    const { hellosFullAt = now } = endpoint;
    if (!isWithinRate(hellosPerSource, hellosFullAt, now)) {
      return 'hello-rate';
    }
    endpoint.hellosFullAt = fullAfter(hellosPerSource, hellosFullAt, now);
    return undefined;
  }

  refundKnownHello(endpoint: Endpoint, now: number): void {
    const fullAt = refund(this.limits.hellosPerSource, endpoint.hellosFullAt ?? now);
    endpoint.hellosFullAt = fullAt > now ? fullAt : undefined;
  }

  admitKnownRequest(endpoint: Endpoint, now: number): BenUdpRejection | undefined {
    const { failuresFullAt = now } = endpoint;
    return isWithinRate(this.limits.failuresPerDevice, failuresFullAt, now) ? undefined : 'request-rate';
  }

  countKnownFailure(endpoint: Endpoint, now: number): void {
    endpoint.failuresFullAt = fullAfter(this.limits.failuresPerDevice, endpoint.failuresFullAt ?? now, now);
  }
}

function multiply({ perSecond, burst }: BenUdpRate, factor: number): BenUdpRate {
  return { perSecond: perSecond * factor, burst: burst * factor };
}
