/**
 * Decides, before any crypto, whether a datagram is worth the work. All memory is of fixed size, about 5 MiB.
 */
import type { Endpoint } from '../endpoint-table.js';
import { KeyAttemptBudget } from './key-attempt-budget.js';
import { type BenUdpLimits, SOURCES_PER_NETWORK } from './exchange-limits.js';
import { type BenUdpRate, RateLimit, RateTable, fullAfter, refund, isWithinRate } from './rate-limit.js';
import type { BenUdpRejection } from '../rejection.js';
import { readIpPrefix } from './ip-prefix.js';

/** Sources and networks whose rates are kept; powers of two. */
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

  constructor(private readonly limits: BenUdpLimits) {
    const { hellosPerSource } = limits;
    this.sources = new RateTable(hellosPerSource, SOURCES);
    this.networks = new RateTable(multiply(hellosPerSource, SOURCES_PER_NETWORK), NETWORKS);
    this.strangersHellos = new RateLimit(limits.hellosOfStrangers);
    this.failingSources = new RateTable(limits.failuresPerSource, FAILING_SOURCES);
    this.strangersRequests = new RateLimit(limits.requestsOfStrangers);
    this.keyAttempts = new KeyAttemptBudget(limits.keyAttempts);
  }

  /** Counts the hello of a stranger where every limit allows it; else counts nothing and names the limit. */
  admitHello(address: string, now: number): BenUdpRejection | undefined {
    const { high, low, networkHigh, networkLow } = readIpPrefix(address);
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

  /** The stranger has become known: its hello is not held against its source, so a fleet behind one NAT gets in. */
  refundHello(address: string): void {
    const { high, low, networkHigh, networkLow } = readIpPrefix(address);
    this.sources.refund(high, low);
    this.networks.refund(networkHigh, networkLow);
    this.strangersHellos.refund();
  }

  /** @param saidHello whether a hello of the stranger is remembered. */
  admitRequest(address: string, saidHello: boolean, now: number): BenUdpRejection | undefined {
    const { high, low } = readIpPrefix(address);
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

  countFailure(address: string, now: number): void {
    const { high, low } = readIpPrefix(address);
    this.failingSources.take(high, low, now);
  }

  /** Counts the hello of a known endpoint where its limit allows it. */
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
