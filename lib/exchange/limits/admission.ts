/**
 * Decides, before any cryptography, whether a datagram is worth the work. Its memory has a fixed size of about 7 MiB.
 */
import { type RandomFill, systemRandom } from '../../random.js';
import type { Endpoint } from '../endpoint-table.js';
import type { BenUdpRejection } from '../rejection.js';
import type { BenUdpRemote, IpPrefix, Sender } from '../remote.js';
import { type BenUdpLimits, SOURCES_PER_NETWORK } from './exchange-limits.js';
import { KeyAttemptBudget } from './key-attempt-budget.js';
import { type BenUdpRate, RateLimit, RateTable, fullAfter, isWithinRate, refund } from './rate-limit.js';
import { VerifiedSources } from './verified-sources.js';

/** Entries of the rate tables; powers of two. */
const SOURCES = 262_144;
const NETWORKS = 65_536;
const VERIFIED_SOURCES = 65_536;
const FAILING_SOURCES = 65_536;

/** Whose budgets the datagrams of an unverified endpoint draw on. None of them authenticates anything. */
export type Origin =
  | 'stranger'
  /** A request from this address verified. */
  | 'verified-source'
  /** The address is in a reserved network. */
  | 'reserved'
  /** The own health probe, known by the port that it bound. It draws on no budget. */
  | 'own';

/** The budgets of one origin. */
interface Lane {
  readonly sources: RateTable;
  readonly networks: RateTable | undefined;
  readonly hellos: RateLimit;
  readonly requests: RateLimit;
}

export class Admission {
  private readonly lanes: Readonly<Record<Exclude<Origin, 'own'>, Lane>>;
  private readonly verifiedSources: VerifiedSources;
  private readonly failingSources: RateTable;
  readonly keyAttempts: KeyAttemptBudget;

  /** @param isReserved whether an address is in a reserved network. */
  constructor(
    private readonly limits: BenUdpLimits,
    private readonly isReserved: (remote: BenUdpRemote) => boolean = () => false,
    random: RandomFill = systemRandom,
  ) {
    const { hellosPerSource, hellosPerVerifiedSource, requestsOfStrangers } = limits;
    const sources = new RateTable(hellosPerSource, SOURCES, random);
    this.lanes = {
      stranger: {
        sources,
        networks: new RateTable(multiply(hellosPerSource, SOURCES_PER_NETWORK), NETWORKS, random),
        hellos: new RateLimit(limits.hellosOfStrangers),
        requests: new RateLimit(requestsOfStrangers),
      },
      'verified-source': {
        sources: new RateTable(hellosPerVerifiedSource, VERIFIED_SOURCES, random),
        networks: undefined,
        hellos: new RateLimit(limits.hellosOfVerifiedSources),
        requests: new RateLimit(requestsOfStrangers),
      },
      reserved: {
        sources,
        networks: undefined,
        hellos: new RateLimit(limits.hellosOfReserved),
        requests: new RateLimit(requestsOfStrangers),
      },
    };
    this.verifiedSources = new VerifiedSources(random);
    this.failingSources = new RateTable(limits.failuresPerSource, FAILING_SOURCES, random);
    this.keyAttempts = new KeyAttemptBudget(limits.keyAttempts, random);
  }

  /** The origin of an endpoint that has not verified. */
  originOf({ prefix, remote }: Sender, now: number): Origin {
    if (this.verifiedSources.has(prefix, now)) {
      return 'verified-source';
    }
    return this.isReserved(remote) ? 'reserved' : 'stranger';
  }

  /** Records that a request from this address has verified. */
  recordVerified({ prefix }: Sender, now: number): void {
    this.verifiedSources.record(prefix, now);
  }

  /** Counts the hello of an unverified endpoint if every limit allows it. Otherwise counts nothing, and returns the limit that was reached. */
  admitHello(
    { prefix: { high, low, networkHigh, networkLow } }: Sender,
    origin: Origin,
    now: number,
  ): BenUdpRejection | undefined {
    if (origin === 'own') {
      return undefined;
    }
    const { sources, networks, hellos } = this.lanes[origin];
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

  /** The endpoint has verified, so its hello does not count. Otherwise a fleet behind one NAT would reach the limit of its address. */
  refundHello({ prefix: { high, low, networkHigh, networkLow } }: Sender, origin: Origin): void {
    if (origin === 'own') {
      return;
    }
    const { sources, networks, hellos } = this.lanes[origin];
    sources.refund(high, low);
    networks?.refund(networkHigh, networkLow);
    hellos.refund();
  }

  /** @param saidHello whether the hello of this endpoint is remembered. */
  admitRequest(
    { prefix: { high, low } }: Sender,
    origin: Origin,
    saidHello: boolean,
    now: number,
  ): BenUdpRejection | undefined {
    if (origin === 'own') {
      return undefined;
    }
    if (!this.failingSources.allows(high, low, now)) {
      return 'request-rate';
    }
    if (saidHello) {
      return undefined;
    }
    const { requests } = this.lanes[origin];
    if (!requests.allows(now)) {
      return 'request-budget';
    }
    requests.take(now);
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
