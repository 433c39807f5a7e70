/**
 * Decides on a request whose search for id and key has ended: updates the state of its endpoint, consumes the id, opens the request, and
 * decides whether it can be answered.
 */
import type { RingKey } from '../keys/index.js';
import {
  BLOCK_BYTES,
  type Envelope,
  type OpenedRequest,
  REPLY_DATAGRAMS,
  type UnreadableRequest,
  openRequest,
} from '../protocol/index.js';
import { type RandomFill, randomBytes } from '../random.js';
import { type Arrival, type Decision, reject } from './decision.js';
import { Endpoint } from './endpoint.js';
import type { EndpointTable } from './endpoint-table.js';
import type { HelloResponder } from './hello-responder.js';
import { NO_BACKLOG, afterFailure, isDraining } from './ids/backlog.js';
import type { HelloCache } from './ids/hello-cache.js';
import type { IdCandidate } from './ids/id-candidate.js';
import type { Match, SearchResult } from './ids/key-search.js';
import { historyOf } from './ids/pair-history.js';
import { type Claim, isUsable } from './ids/verifier.js';
import type { KnownBoards } from './known-boards.js';
import type { Admissions } from './limits/admissions.js';
import { type Holders, holderKeyOf } from './limits/holder.js';
import type { InFlight } from './limits/in-flight.js';
import type { AttemptCharge } from './limits/key-attempt-budget.js';
import type { BenUdpRejection } from './rejection.js';
import type { Sender } from './remote.js';
import type { ReplySlot, ReplySlots } from './reply-slots.js';

/**
 * The share of the device timeout in which a reply may leave. The rest is for the network: a reply that arrives after the device gave
 * up stays in its socket and spoils the next exchange.
 */
const REPLY_SHARE = 0.9;

/** The same for a device whose requests come soon after their pairs. */
const LATEST_REPLY_SHARE = 0.98;

/** The rest of the timeout is at least this many times as long as the device takes from a pair to its request. */
const REPLY_MARGIN = 4;

/** The parts of the exchange that a request changes. */
export interface ExchangeParts {
  readonly holders: Holders;
  readonly endpoints: EndpointTable;
  readonly hellos: HelloCache;
  readonly admissions: Admissions;
  readonly responder: HelloResponder;
  readonly inFlight: InFlight;
  readonly slots: ReplySlots;
  readonly boards: KnownBoards;
}

/** A request whose hash is right. */
interface Verified extends ReplySlot {
  readonly arrivedAt: number;
  readonly pairSentAt: number;
  /** Datagrams that the device has not read. */
  readonly unread: number;
  /** Whether the id is live and unused. */
  readonly isLive: boolean;
  /** Whether a reply would leave too late. */
  readonly isLate: boolean;
}

export class RequestAcceptor {
  constructor(
    private readonly parts: ExchangeParts,
    private readonly deviceTimeoutMs: number,
    private readonly repair: boolean,
    private readonly random: RandomFill,
  ) {}

  /** Decides on a request whose search has ended. */
  conclude(result: SearchResult | 'search-budget', claim: Claim, arrival: Arrival, charge: AttemptCharge): Decision {
    return typeof result === 'string'
      ? this.rejectFailed(result, claim.known, arrival)
      : this.accept(result, claim, arrival, charge);
  }

  /** Rejects a request that did not verify, and counts it against its sender. */
  rejectFailed(reason: BenUdpRejection, known: Endpoint | undefined, arrival: Arrival): Decision {
    const { admissions, hellos } = this.parts;
    const { sender, now } = arrival;
    admissions.of(known, arrival).countFailure(now);
    if (reason !== 'bad-hash') {
      return reject(reason);
    }
    if (known) {
      known.backlog = afterFailure(known.backlog);
      return reject(this.repair && isDraining(known.backlog) ? 'out-of-step' : reason);
    }
    const hello = hellos.get(sender.name);
    if (hello) {
      hellos.setBacklog(sender.name, afterFailure(hello.backlog));
    }
    return reject(reason);
  }

  /**
   * Decides on a request whose key and id were found.
   *
   * @param charge the attempts that it has cost.
   */
  accept(match: Match, claim: Claim, arrival: Arrival, charge?: AttemptCharge): Decision {
    const { admissions, responder } = this.parts;
    const { key, id, candidate } = match;
    const { envelope, known } = claim;
    if (key.protocol === 'v2' && !arrival.isOwn) {
      id.fill(0);
      admissions.ofStranger(arrival.sender, false, arrival.now).countFailure(arrival.now);
      return reject('v1-refused', key);
    }
    const shortHash = shortHashOf(envelope.hash);
    const isReplay = known?.isReplay(shortHash) === true;
    const endpoint = isReplay ? undefined : (known ?? this.admit(match, claim, arrival));
    if (!endpoint) {
      id.fill(0);
      return reject(isReplay ? 'replayed' : 'table-full', key);
    }
    const isLive = isUsable(claim, candidate.uses);
    if (isLive) {
      charge?.refundAll();
      responder.recordUse(arrival.now);
      admissions.ofKnown(endpoint).refundHello(arrival.now);
    }
    if (endpoint.key !== key) {
      this.useKey(endpoint, key, arrival.sender);
    }
    endpoint.recordHash(candidate.uses, shortHash);
    const decision = this.open(envelope, match, isLive, endpoint, arrival);
    if (!('pending' in decision)) {
      id.fill(0);
    }
    return decision;
  }

  /** Remembers a stranger that has verified; `undefined` if there is no room. */
  private admit({ key, candidate }: Match, { sent }: Claim, arrival: Arrival): Endpoint | undefined {
    const { holders, endpoints, admissions } = this.parts;
    const { sender, slot, isOwn, now } = arrival;
    const history = sent ?? historyOf([candidate.uses.slot], -Infinity);
    const endpoint = new Endpoint(key, history, holders.of(holderKeyOf(key, sender)));
    if (!endpoints.add(sender.key, endpoint, slot, isOwn)) {
      return undefined;
    }
    admissions.of(undefined, arrival).refundHello(now);
    return endpoint;
  }

  private useKey(endpoint: Endpoint, key: RingKey, sender: Sender): void {
    const { holders, endpoints } = this.parts;
    const holderKey = holderKeyOf(key, sender);
    if (endpoint.holder.key !== holderKey) {
      endpoints.moveTo(holders.of(holderKey), sender.key, endpoint);
    }
    endpoint.key = key;
  }

  /**
   * Consumes the id, opens the request, and decides whether it can be answered.
   *
   * @param isLive whether the id is live and unused. If not, it only shows which device sent the request, and its unread datagrams.
   */
  private open(
    envelope: Envelope,
    { key, id, candidate }: Match,
    isLive: boolean,
    endpoint: Endpoint,
    arrival: Arrival,
  ): Decision {
    const { now, waited } = arrival;
    const { unread } = candidate;
    const arrivedAt = now - waited;
    const deadline = arrivedAt + this.replyWithin(endpoint);
    const isLate = now > deadline;
    const pairSentAt = learn(endpoint, candidate, isLive, arrivedAt);
    const verified = { endpoint, key, id, deadline, arrivedAt, pairSentAt, unread, isLive, isLate };
    if (isLive) {
      this.consume(endpoint, candidate, key, arrival);
    }
    const opened = openRequest(key.sealer, { ciphertext: envelope.data, iv: envelope.iv });
    if ('error' in opened) {
      return this.rejectUnreadable(opened, verified);
    }
    const { noreturn } = opened.request;
    // While a device waits for its reply, it reads the unread datagrams and takes them for the reply.
    endpoint.recordUnread(noreturn ? unread : Math.max(0, unread - REPLY_DATAGRAMS));
    if (!noreturn && unread > 0) {
      return this.rejectOutOfStep(verified);
    }
    if (!isLive) {
      return reject('expired', key);
    }
    return !noreturn && isLate ? reject('stale-request', key) : this.begin(opened, verified, arrival);
  }

  private rejectUnreadable({ reason, error, isNoreturn }: UnreadableRequest, verified: Verified): Decision {
    const { key, unread, isLive, isLate } = verified;
    const rejected = reject(reason, key, error);
    return isLive && unread === 0 && !isLate && !isNoreturn
      ? { ...rejected, pending: this.parts.slots.openRefusal(verified) }
      : rejected;
  }

  /** Rejects a request whose reply the device can't read. If it would wait for datagrams that are missing, it gets them. */
  private rejectOutOfStep({ endpoint, key, unread, isLive, isLate }: Verified): Decision {
    const missing = REPLY_DATAGRAMS - unread;
    if (missing >= 0) {
      endpoint.recordRead();
    }
    const rejected = reject(isLive ? 'out-of-step' : 'expired', key);
    return missing > 0 && !isLate ? { ...rejected, datagrams: this.endWait(missing) } : rejected;
  }

  /** Hands the request to a handler, if one may run. */
  private begin({ request, text }: OpenedRequest, verified: Verified, { sender, now, isOwn }: Arrival): Decision {
    const { endpoint, key, id, arrivedAt, pairSentAt } = verified;
    const { action, data, noreturn, metadata, droppedMetadata } = request;
    const { inFlight, slots } = this.parts;
    const handler = isOwn ? undefined : inFlight.begin(endpoint, noreturn, now);
    if (!handler && !isOwn) {
      const rejected = reject('busy', key);
      return noreturn ? rejected : { ...rejected, pending: slots.openRefusal(verified) };
    }
    if (noreturn) {
      id.fill(0);
    }
    return {
      kind: 'request',
      // Spelled out, because V8 makes a new hidden class for every object that is spread.
      request: {
        action,
        data,
        noreturn,
        metadata,
        droppedMetadata,
        // Under v1 it is a key of the application.
        rid: undefined,
        text,
        remote: sender.remote,
        endpoint: sender.key,
        device: key.device,
        protocol: 'v1',
        replyBytes: undefined,
        pairSentAt,
      },
      pending: slots.open(verified, noreturn ? undefined : arrivedAt, handler),
    };
  }

  private consume(endpoint: Endpoint, { uses }: IdCandidate, key: RingKey, { sender, slot, now }: Arrival): void {
    if (endpoint.consume(uses, slot)) {
      this.parts.boards.remove(sender.key);
      this.parts.endpoints.touch(sender.key, endpoint);
      this.parts.admissions.verifiedSources.record(sender.prefix, key, now);
    }
  }

  /** How long after its request a reply may leave. */
  private replyWithin({ requestMs }: Endpoint): number {
    const { deviceTimeoutMs } = this;
    const earliest = deviceTimeoutMs * REPLY_SHARE;
    return requestMs < 0
      ? earliest
      : Math.max(earliest, Math.min(deviceTimeoutMs * LATEST_REPLY_SHARE, deviceTimeoutMs - requestMs * REPLY_MARGIN));
  }

  /**
   * Datagrams that complete the supposed reply of the device. Its client then raises at once. Without them it would wait for its
   * timeout, and read the answers of further hellos meanwhile. They are random and not empty, so they verify as nothing.
   */
  private endWait(count: number): readonly Buffer[] {
    return Array.from({ length: count }, () => randomBytes(this.random, BLOCK_BYTES));
  }
}

/** 31 bits of a hash. V8 stores such a number without an object. */
export function shortHashOf(hash: Buffer): number {
  return hash.readUInt32BE(0) >>> 1;
}

/**
 * Records the state of the device that a verified request shows.
 *
 * @returns when the pair of the request was sent, or -Infinity.
 */
function learn(endpoint: Endpoint, { uses, unread }: IdCandidate, isLive: boolean, arrivedAt: number): number {
  const { sentAt } = endpoint;
  const wasWithheld = endpoint.withheld > 0;
  const usesLatest = isLive && unread === 0 && endpoint.isLatest(uses);
  endpoint.backlog = NO_BACKLOG;
  endpoint.withheld = 0;
  if (usesLatest && !wasWithheld) {
    endpoint.recordRequestTime(arrivedAt - sentAt);
  }
  if (unread > 1 || (usesLatest && wasWithheld && endpoint.isSuspect(arrivedAt))) {
    endpoint.suspect(arrivedAt);
  }
  return usesLatest && !wasWithheld ? sentAt : -Infinity;
}
