/**
 * Decides, before any crypto, whether a datagram is worth the work. All memory is of fixed size, about 5 MiB.
 */
import type { Endpoint } from './endpoint-table.js';
import { KeyTrials } from './key-trials.js';
import { type ExchangeLimits, SOURCES_PER_NETWORK } from './limits.js';
import { type Rate, RateLimit, RateTable, fullAfter, giveBack, isWithinRate } from './rate-limit.js';
import type { Rejection } from './rejection.js';
import { readSource } from './source.js';

/** Sources and networks whose rates are kept; powers of two. */
const SOURCES = 262_144;
const NETWORKS = 65_536;
const FAILING_SOURCES = 65_536;

export class Gate {
  private readonly sources: RateTable;
  private readonly networks: RateTable;
  private readonly strangersHellos: RateLimit;
  private readonly failingSources: RateTable;
  private readonly strangersRequests: RateLimit;
  readonly trials: KeyTrials;

  constructor(private readonly limits: ExchangeLimits) {
    const { hellosPerSource } = limits;
    this.sources = new RateTable(hellosPerSource, SOURCES);
    this.networks = new RateTable(multiply(hellosPerSource, SOURCES_PER_NETWORK), NETWORKS);
    this.strangersHellos = new RateLimit(limits.hellosOfStrangers);
    this.failingSources = new RateTable(limits.failuresPerSource, FAILING_SOURCES);
    this.strangersRequests = new RateLimit(limits.requestsOfStrangers);
    this.trials = new KeyTrials(limits.keyTrials);
  }

  /** Counts the hello of a stranger where every limit allows it; else counts nothing and names the limit. */
  admitHello(address: string, now: number): Rejection | undefined {
    const { high, low, networkHigh, networkLow } = readSource(address);
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
  giveBackHello(address: string): void {
    const { high, low, networkHigh, networkLow } = readSource(address);
    this.sources.giveBack(high, low);
    this.networks.giveBack(networkHigh, networkLow);
    this.strangersHellos.giveBack();
  }

  /** @param saidHello whether a hello of the stranger is remembered. */
  admitRequest(address: string, saidHello: boolean, now: number): Rejection | undefined {
    const { high, low } = readSource(address);
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
    const { high, low } = readSource(address);
    this.failingSources.take(high, low, now);
  }

  /** Counts the hello of a known endpoint where its limit allows it. */
  admitKnownHello(endpoint: Endpoint, now: number): Rejection | undefined {
    const { hellosPerSource } = this.limits;
    const { hellosFullAt = now } = endpoint;
    if (!isWithinRate(hellosPerSource, hellosFullAt, now)) {
      return 'hello-rate';
    }
    endpoint.hellosFullAt = fullAfter(hellosPerSource, hellosFullAt, now);
    return undefined;
  }

  giveBackKnownHello(endpoint: Endpoint, now: number): void {
    const fullAt = giveBack(this.limits.hellosPerSource, endpoint.hellosFullAt ?? now);
    endpoint.hellosFullAt = fullAt > now ? fullAt : undefined;
  }

  admitKnownRequest(endpoint: Endpoint, now: number): Rejection | undefined {
    const { failuresFullAt = now } = endpoint;
    return isWithinRate(this.limits.failuresPerDevice, failuresFullAt, now) ? undefined : 'request-rate';
  }

  countKnownFailure(endpoint: Endpoint, now: number): void {
    endpoint.failuresFullAt = fullAfter(this.limits.failuresPerDevice, endpoint.failuresFullAt ?? now, now);
  }
}

function multiply({ perSecond, burst }: Rate, factor: number): Rate {
  return { perSecond: perSecond * factor, burst: burst * factor };
}
