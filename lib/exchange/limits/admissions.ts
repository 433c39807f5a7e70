/**
 * The limits of a server: finds those that an endpoint is subject to. Its memory has a fixed size of about 9 MiB, and that of the
 * keys of an address with more than one: 8 bytes each, up to 128 for each of 65,536 addresses.
 */
import { type RandomFill, systemRandom } from '../../random.js';
import type { Arrival } from '../decision.js';
import type { Endpoint } from '../endpoint.js';
import type { Sender } from '../remote.js';
import { type Admission, KnownAdmission, OWN_ADMISSION, StrangerAdmission, type StrangerBudgets } from './admission.js';
import { type BenUdpLimits, SOURCES_PER_NETWORK } from './exchange-limits.js';
import { KeyAttemptBudget, SHARE_OF_AN_ADDRESS } from './key-attempt-budget.js';
import { type BenUdpRate, RateLimit, RateTable } from './rate-limit.js';
import { RequestCredits } from './request-credits.js';
import { VerifiedSources } from './verified-sources.js';

/** Entries of the rate tables; powers of two. */
const SOURCES = 262_144;
const NETWORKS = 65_536;
const VERIFIED_SOURCES = 65_536;
const FAILING_SOURCES = 65_536;

export class Admissions {
  private readonly strangers: StrangerBudgets;
  /** For addresses from which a request verified. They authenticate nothing. */
  private readonly verified: StrangerBudgets;
  /** For addresses in a reserved network. They authenticate nothing either. */
  private readonly reserved: StrangerBudgets;
  readonly keyAttempts: KeyAttemptBudget;
  /** For the keys that verified at the address of a request, so a search among all keys takes nothing from them. */
  readonly addressKeyAttempts: KeyAttemptBudget;
  readonly credits: RequestCredits;
  readonly verifiedSources: VerifiedSources;

  /** @param isReserved whether a sender is in a reserved network. */
  constructor(
    private readonly limits: BenUdpLimits,
    private readonly isReserved: (sender: Sender) => boolean = () => false,
    random: RandomFill = systemRandom,
  ) {
    const { hellosPerSource, hellosPerVerifiedSource, requestsOfStrangers } = limits;
    const sources = new RateTable(hellosPerSource, SOURCES, random);
    const failingSources = new RateTable(limits.failuresPerSource, FAILING_SOURCES, random);
    this.credits = new RequestCredits(random);
    const budgetsFor = (hellos: BenUdpRate, perSource: RateTable, networks?: RateTable): StrangerBudgets => ({
      sources: perSource,
      networks,
      hellos: new RateLimit(hellos),
      requests: new RateLimit(requestsOfStrangers),
      failingSources,
      credits: this.credits,
    });
    this.strangers = budgetsFor(
      limits.hellosOfStrangers,
      sources,
      new RateTable(multiply(hellosPerSource, SOURCES_PER_NETWORK), NETWORKS, random),
    );
    this.verified = budgetsFor(
      limits.hellosOfVerifiedSources,
      new RateTable(hellosPerVerifiedSource, VERIFIED_SOURCES, random),
    );
    this.reserved = budgetsFor(limits.hellosOfReserved, sources);
    this.verifiedSources = new VerifiedSources(random);
    this.keyAttempts = new KeyAttemptBudget(limits.keyAttempts, random);
    this.addressKeyAttempts = new KeyAttemptBudget(limits.keyAttempts, random, SHARE_OF_AN_ADDRESS);
  }

  of(known: Endpoint | undefined, { sender, now, isOwn }: Arrival): Admission {
    return known ? this.ofKnown(known) : this.ofStranger(sender, isOwn, now);
  }

  ofKnown(endpoint: Endpoint): Admission {
    return new KnownAdmission(endpoint, this.limits);
  }

  ofStranger(sender: Sender, isOwn: boolean, now: number): Admission {
    return isOwn ? OWN_ADMISSION : new StrangerAdmission(sender, this.budgetsOf(sender, now));
  }

  private budgetsOf(sender: Sender, now: number): StrangerBudgets {
    if (this.verifiedSources.has(sender.prefix, now)) {
      return this.verified;
    }
    return this.isReserved(sender) ? this.reserved : this.strangers;
  }
}

function multiply({ perSecond, burst }: BenUdpRate, factor: number): BenUdpRate {
  return { perSecond: perSecond * factor, burst: burst * factor };
}
