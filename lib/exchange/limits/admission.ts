/**
 * Decides, before any cryptography, whether to process the datagrams of one endpoint. An endpoint that has verified has its own limits.
 * All others share budgets, because an attacker can choose any number of addresses and ports.
 */
import type { Endpoint } from '../endpoint.js';
import type { BenUdpRejection } from '../rejection.js';
import type { Sender } from '../remote.js';
import type { BenUdpLimits } from './exchange-limits.js';
import { type RateLimit, type RateTable, fullAfter, isWithinRate, refund } from './rate-limit.js';
import type { RequestCredits } from './request-credits.js';

export interface Admission {
  /** Counts a hello if every limit allows it. Otherwise counts nothing, and returns the limit that was reached. */
  admitHello(now: number): BenUdpRejection | undefined;
  /** A request has followed the hello and verified, so the hello does not count. */
  refundHello(now: number): void;
  /** The limit that a request has reached; `undefined` if it may be read. */
  admitRequest(now: number): BenUdpRejection | undefined;
  /** Counts a request that failed. */
  countFailure(now: number): void;
}

/** An endpoint that has verified. It holds its own limits, so they cost nothing until they are used. */
export class KnownAdmission implements Admission {
  constructor(
    private readonly endpoint: Endpoint,
    private readonly limits: BenUdpLimits,
  ) {}

  admitHello(now: number): BenUdpRejection | undefined {
    const { hellosPerSource } = this.limits;
    const { hellosFullAt = now } = this.endpoint;
    if (!isWithinRate(hellosPerSource, hellosFullAt, now)) {
      return 'hello-rate';
    }
    this.endpoint.hellosFullAt = fullAfter(hellosPerSource, hellosFullAt, now);
    return undefined;
  }

  refundHello(now: number): void {
    const fullAt = refund(this.limits.hellosPerSource, this.endpoint.hellosFullAt ?? now);
    this.endpoint.hellosFullAt = fullAt > now ? fullAt : undefined;
  }

  admitRequest(now: number): BenUdpRejection | undefined {
    const { failuresFullAt = now } = this.endpoint;
    return isWithinRate(this.limits.failuresPerDevice, failuresFullAt, now) ? undefined : 'request-rate';
  }

  countFailure(now: number): void {
    const { failuresFullAt = now } = this.endpoint;
    this.endpoint.failuresFullAt = fullAfter(this.limits.failuresPerDevice, failuresFullAt, now);
  }
}

/** The budgets that unverified endpoints share. */
export interface StrangerBudgets {
  readonly sources: RateTable;
  readonly networks: RateTable | undefined;
  readonly hellos: RateLimit;
  readonly requests: RateLimit;
  readonly failingSources: RateTable;
  readonly credits: RequestCredits;
}

/** An endpoint that has not verified. */
export class StrangerAdmission implements Admission {
  constructor(
    private readonly sender: Sender,
    private readonly budgets: StrangerBudgets,
  ) {}

  admitHello(now: number): BenUdpRejection | undefined {
    const { high, low, networkHigh, networkLow } = this.sender.prefix;
    const { sources, networks, hellos } = this.budgets;
    if (!sources.allows(high, low, now) || networks?.allows(networkHigh, networkLow, now) === false) {
      return 'hello-rate';
    }
    if (!hellos.allows(now)) {
      return 'hello-budget';
    }
    sources.take(high, low, now);
    networks?.take(networkHigh, networkLow, now);
    hellos.take(now);
    return undefined;
  }

  /** Otherwise a fleet behind one NAT would reach the limit of its address. */
  refundHello(): void {
    const { high, low, networkHigh, networkLow } = this.sender.prefix;
    const { sources, networks, hellos } = this.budgets;
    sources.refund(high, low);
    networks?.refund(networkHigh, networkLow);
    hellos.refund();
  }

  admitRequest(now: number): BenUdpRejection | undefined {
    const { credits, failingSources, requests } = this.budgets;
    if (credits.has(this.sender)) {
      return undefined;
    }
    const { high, low } = this.sender.prefix;
    if (!failingSources.allows(high, low, now)) {
      return 'request-rate';
    }
    if (!requests.allows(now)) {
      return 'request-budget';
    }
    requests.take(now);
    return undefined;
  }

  countFailure(now: number): void {
    const { credits, failingSources } = this.budgets;
    if (!credits.take(this.sender)) {
      const { high, low } = this.sender.prefix;
      failingSources.take(high, low, now);
    }
  }
}

/** This server's health probe, known by the port that it bound. It must not fail because of strangers. */
export const OWN_ADMISSION: Admission = {
  admitHello: () => undefined,
  refundHello: () => undefined,
  admitRequest: () => undefined,
  countFailure: () => undefined,
};
