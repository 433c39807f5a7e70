/**
 * The server's side of the exchange: what a datagram from an endpoint leads to. No socket, no timer; the clock is passed
 * in, so that a simulator can drive it.
 *
 * Checks go from cheap to dear, and until the hash has verified all of them end in silence and a counted reason:
 * exact hello, or size and first byte → limits → the envelope's three keys and sizes → ids it could be for, compared in
 * constant time → the id is burnt → decrypted → padding, UTF-8 and Python text, all strict.
 */
import { randomBytes } from 'node:crypto';
import { BenUdpProtocolError } from '../errors.js';
import {
  type Envelope,
  Hmac,
  type Request,
  decodeUtf8,
  digest,
  isHello,
  looksLikeEnvelope,
  looksLikeNoreturn,
  parseEnvelope,
  parseRequest,
  unpad,
} from '../protocol/index.js';
import { Endpoint, type EndpointKey, EndpointTable, endpointKey } from './endpoint-table.js';
import { Admission } from './limits/admission.js';
import { LIVE_SLOTS, derivePair, slotAt, toPair } from './ids/id-pair.js';
import type { KeyRing, RingKey } from '../keys/key-ring.js';
import type { BenUdpLimits } from './limits/exchange-limits.js';
import { HelloCache, type PairHistory, historyOf } from './ids/pair-history.js';
import { REJECTIONS, type BenUdpRejection } from './rejection.js';
import { type BenUdpRemote, endpointName, isSingleHost } from './limits/ip-prefix.js';
import { type Verified, Verifier } from './ids/verifier.js';
import { type Work, InFlight, type InFlightLimits } from './limits/in-flight.js';

const SECRET_BYTES = 32;

/** Endpoints that said hello and did not verify yet; 1.6 MiB. */
const HINTS = 65_536;

/** A second hello within this time is the first one again, made double by the network: answered, it would leave a pair unread. */
const DUPLICATE_HELLO_MS = 250;

/**
 * The share of a device's timeout in which a hello can't mean that it gave up: while a reply is owed it is a duplicate then,
 * or forged, and an answer would be read as the reply.
 */
const PATIENCE_SHARE = 0.1;

/**
 * The share of a device's timeout in which a reply may leave. The rest is for its way: a reply that arrives after the device
 * gave up stays in its socket and spoils the next exchange.
 */
const REPLY_SHARE = 0.9;

/** Datagrams 5 to 7. */
const REPLY_DATAGRAMS = 3;

/** How long after its pair a request may be expected: round trip and a slow board's cryptography. */
const REQUEST_DUE_MS = 1000;

/** The share of a device's timeout that a hello may have waited to be read. */
const STALE_SHARE = 0.2;

export interface ServerExchangeOptions {
  readonly keys: KeyRing;
  /** Longest datagram that is looked at, in bytes. */
  readonly maxDatagramBytes: number;
  /** How long a device waits for a datagram. */
  readonly deviceTimeoutMs: number;
  /** Verified endpoints that are remembered. */
  readonly maxEndpoints: number;
  readonly limits: BenUdpLimits;
  readonly workload: InFlightLimits;
  /** Whether devices that are out of step are heard and brought back. */
  readonly repair: boolean;
  /** Keys the id pairs; drawn anew by default, so that nothing recorded before a restart is valid after it. */
  readonly secret?: Uint8Array;
}

/** A request that verified, opened and could be read. */
export interface VerifiedRequest extends Request {
  readonly remote: BenUdpRemote;
  /** The device whose key verified; `undefined` for a shared key. */
  readonly device: string | undefined;
  /** The decrypted Python text. */
  readonly text: string;
}

/** The right to answer a request, once and in time. */
export interface ReplyTicket {
  readonly endpoint: Endpoint;
  readonly turn: number;
  readonly key: RingKey;
  readonly id: Buffer;
  readonly deadline: number;
}

/** What a datagram led to. */
export type Decision =
  /** The answer to a hello: datagrams 2 and 3, or 2 alone. */
  | { readonly kind: 'pair'; readonly datagrams: readonly Buffer[] }
  | {
      readonly kind: 'request';
      readonly request: VerifiedRequest;
      /** To be handed to `finish` when the handler has ended. */
      readonly work: Work;
      /** `undefined` where the device does not wait. */
      readonly ticket: ReplyTicket | undefined;
    }
  | {
      readonly kind: 'rejected';
      readonly reason: BenUdpRejection;
      /** Whose key verified, where one did. */
      readonly device?: string | undefined;
      /** What is wrong with the request, if its hash was right. */
      readonly error?: BenUdpProtocolError;
      /** Set if the device waits for a reply and can be told the error. */
      readonly ticket?: ReplyTicket;
    };

export type RejectedDecision = Extract<Decision, { kind: 'rejected' }>;

/** Why a reply was not sent although there was one. */
export type ReplyRefusal =
  /** The device has stopped waiting: its time has run out. */
  | 'late'
  /** The device has stopped waiting: it has said hello or sent a request since. Or it has its reply. */
  | 'superseded';

/** A request that verified, before it is decided whether it can be answered. */
interface OpenedRequest {
  readonly request: Request;
  readonly text: string;
}

/** A request whose hash is right, and whose text is not. */
interface UnreadableRequest {
  readonly reason: BenUdpRejection;
  readonly error: BenUdpProtocolError;
  readonly isNoreturn: boolean;
}

/** When and from whom a datagram came. */
interface Arrival {
  readonly remote: BenUdpRemote;
  readonly key: EndpointKey;
  readonly now: number;
  readonly slot: number;
  /** How long the datagram may have waited to be read. */
  readonly waited: number;
}

export class ServerExchange {
  keys: KeyRing;
  private readonly options: Omit<ServerExchangeOptions, 'keys' | 'secret'>;
  private readonly secret: Hmac;
  private readonly endpoints: EndpointTable;
  private readonly hints = new HelloCache(HINTS);
  private readonly gate: Admission;
  private readonly verifier: Verifier;
  private readonly workload: InFlight;
  /** The values of the envelope that is looked at; nothing keeps them longer. */
  private readonly envelopeBytes: Buffer;
  private isClosing = false;
  /** Pairs that were sent lately and no request has used. */
  private unusedPairs = 0;
  private lastPairAt = -Infinity;

  constructor({ keys, secret: given, ...options }: ServerExchangeOptions) {
    // Not the options whole: the first ring would be held after others have replaced it, and the secret beside its pads.
    this.options = options;
    this.keys = keys;
    const secret = given ?? randomBytes(SECRET_BYTES);
    this.secret = new Hmac(secret);
    if (!given) {
      secret.fill(0);
    }
    this.endpoints = new EndpointTable(options.maxEndpoints);
    this.gate = new Admission(options.limits);
    this.envelopeBytes = Buffer.allocUnsafeSlow(options.maxDatagramBytes);
    this.verifier = new Verifier(this.secret, options.repair);
    this.workload = new InFlight(options.workload, options.deviceTimeoutMs);
  }

  /** Verified endpoints that are remembered. */
  get knownEndpoints(): number {
    return this.endpoints.size;
  }

  /** Overwrites the pair secret: every id that was issued is void. */
  dispose(): void {
    this.secret.wipe();
  }

  /** Ids that are already issued stay valid, new ones are refused. */
  stopIssuing(): void {
    this.isClosing = true;
  }

  /** Whether a request may be under way for an id that was issued a moment ago. */
  awaitsRequests(now: number): boolean {
    return this.unusedPairs > 0 && now - this.lastPairAt < REQUEST_DUE_MS;
  }

  /**
   * @param now monotonic milliseconds.
   * @param waited how long the datagram may have waited to be read, in milliseconds.
   */
  receive(datagram: Buffer, remote: BenUdpRemote, now: number, waited = 0): Decision {
    if (!isSingleHost(remote)) {
      return reject('no-way-back');
    }
    const arrival = { remote, key: endpointKey(remote), now, slot: slotAt(now), waited };
    if (isHello(datagram)) {
      return this.receiveHello(arrival);
    }
    if (datagram.length > this.options.maxDatagramBytes) {
      return reject('too-large');
    }
    return looksLikeEnvelope(datagram) ? this.receiveEnvelope(datagram, arrival) : reject('unknown-datagram');
  }

  /** Datagrams 5 to 7, or why the device must not get them any more. */
  reply(ticket: ReplyTicket, text: string, now: number): readonly Buffer[] | ReplyRefusal {
    const { endpoint, key, id } = ticket;
    if (ticket.turn !== endpoint.turn) {
      return 'superseded';
    }
    endpoint.beginTurn(false, now);
    if (now > ticket.deadline) {
      return 'late';
    }
    const { ciphertext, iv } = key.sealer.seal(text);
    const hash = digest(id, ciphertext, iv);
    id.fill(0);
    return [hash, iv, ciphertext];
  }

  /** The handler of a request has ended, and its reply has been sent if there is one. */
  finish(work: Work, ticket: ReplyTicket | undefined, now: number): void {
    this.workload.end(work);
    ticket?.id.fill(0);
    if (ticket && ticket.turn === ticket.endpoint.turn) {
      ticket.endpoint.beginTurn(false, now);
    }
  }

  private receiveHello(arrival: Arrival): Decision {
    if (this.isClosing) {
      return reject('closing');
    }
    if (arrival.waited > this.options.deviceTimeoutMs * STALE_SHARE) {
      return reject('stale-hello');
    }
    const endpoint = this.endpoints.get(arrival.key);
    return endpoint ? this.answerKnown(endpoint, arrival) : this.answerStranger(arrival);
  }

  private answerStranger(arrival: Arrival): Decision {
    const { remote, now, slot } = arrival;
    const name = endpointName(remote);
    const hint = this.hints.get(name);
    const rejection =
      hint && this.isDuplicate(hint, now) ? 'duplicate-hello' : this.gate.admitHello(remote.address, now);
    if (rejection) {
      return reject(rejection);
    }
    this.hints.record(name, slot, now);
    return this.sendPair(derivePair(this.secret, name, slot, 0), false, now);
  }

  private answerKnown(endpoint: Endpoint, arrival: Arrival): Decision {
    const { now, slot } = arrival;
    const { waitingSince } = endpoint;
    const isReplyDue = waitingSince !== undefined && now - waitingSince < this.options.deviceTimeoutMs * PATIENCE_SHARE;
    const isDuplicate = isReplyDue || (!endpoint.isLatestUsed && this.isDuplicate(endpoint, now));
    const rejection = isDuplicate ? 'duplicate-hello' : this.gate.admitKnownHello(endpoint, now);
    if (rejection) {
      return reject(rejection);
    }
    endpoint.beginTurn(false, now);
    const answer = endpoint.takeAnswer(now);
    if (answer === 'nothing') {
      return reject('withheld');
    }
    const pair = { slot, n: endpoint.nextIn(slot) };
    endpoint.recordSent(pair, answer === 'single', now);
    endpoint.derived = derivePair(this.secret, endpointName(arrival.remote), slot, pair.n);
    return this.sendPair(endpoint.derived, answer === 'single', now);
  }

  private isDuplicate({ sentAt }: PairHistory, now: number): boolean {
    return now - sentAt < Math.min(DUPLICATE_HELLO_MS, this.options.deviceTimeoutMs * PATIENCE_SHARE);
  }

  private sendPair(derived: string, isSingle: boolean, now: number): Decision {
    this.unusedPairs = this.awaitsRequests(now) ? this.unusedPairs + 1 : 1;
    this.lastPairAt = now;
    const { ciphertext, iv } = toPair(derived);
    return { kind: 'pair', datagrams: isSingle ? [ciphertext] : [ciphertext, iv] };
  }

  private receiveEnvelope(datagram: Buffer, arrival: Arrival): Decision {
    const { key, remote, now, slot } = arrival;
    const known = this.endpoints.get(key);
    const hint = known ?? this.hints.get(endpointName(remote));
    const limit = known
      ? this.gate.admitKnownRequest(known, now)
      : this.gate.admitRequest(remote.address, hint !== undefined, now);
    if (limit) {
      return reject(limit);
    }
    const envelope = parseEnvelope(datagram, this.envelopeBytes);
    if (typeof envelope === 'string') {
      return this.fail(envelope, known, arrival);
    }
    const hashTag = tagOf(envelope.hash);
    if (known?.lastHash === hashTag) {
      return reject('replayed');
    }
    const attempts = this.gate.keyAttempts.open(remote.address, envelope.data.length, now);
    const verify = (history: PairHistory) =>
      this.verifier.verify(
        {
          envelope,
          remote,
          history,
          isRemembered: hint !== undefined,
          derived: known?.derived,
          isUsable: ({ slot: its, n }) => its > slot - LIVE_SLOTS && n >= (known?.usedIn(its) ?? 0),
          knownKey: known?.key,
          attempts,
        },
        this.keys,
      );
    let history = hint ?? historyOf([slot], -Infinity);
    let verified = verify(history);
    if (!verified && !hint) {
      // A hello that is not remembered may have come in the slot before.
      history = historyOf([slot - 1], -Infinity);
      verified = verify(history);
    }
    if (!verified || verified === 'key-attempt-budget') {
      return this.fail(verified ?? 'bad-hash', known, arrival);
    }
    const endpoint = known ?? this.admit(new Endpoint(verified.key, history), arrival);
    if (!endpoint) {
      return reject('table-full', verified.key);
    }
    if (verified.isLive) {
      attempts.refund();
    }
    endpoint.key = verified.key;
    endpoint.lastHash = hashTag;
    const decision = this.accept(envelope, verified, endpoint, arrival);
    if (!('ticket' in decision) || !decision.ticket) {
      verified.id.fill(0);
    }
    return decision;
  }

  /** Counts a request that did not verify against whoever it claims to come from. */
  private fail(reason: BenUdpRejection, known: Endpoint | undefined, { remote, now }: Arrival): Decision {
    if (known) {
      this.gate.countKnownFailure(known, now);
    } else {
      this.gate.countFailure(remote.address, now);
    }
    return reject(reason);
  }

  /** Remembers a stranger that has verified; `undefined` where there is no room. */
  private admit(endpoint: Endpoint, { key, remote, slot }: Arrival): Endpoint | undefined {
    if (!this.endpoints.add(key, endpoint, slot)) {
      return undefined;
    }
    this.gate.refundHello(remote.address);
    return endpoint;
  }

  /** Uses up the id, opens the request, and decides whether it can be answered. */
  private accept(
    envelope: Envelope,
    { key, id, candidate, isLive }: Verified,
    endpoint: Endpoint,
    arrival: Arrival,
  ): Decision {
    const { remote, now, slot, waited } = arrival;
    if (isLive) {
      if (endpoint.consume(candidate.uses, slot)) {
        this.endpoints.touch(arrival.key, endpoint);
      }
      this.unusedPairs--;
      this.gate.refundKnownHello(endpoint, now);
    }
    const deadline = now - waited + this.options.deviceTimeoutMs * REPLY_SHARE;
    const opened = openRequest(envelope, key);
    if ('error' in opened) {
      const { reason, error, isNoreturn } = opened;
      const canAnswer = isLive && candidate.unread === 0 && now <= deadline && !isNoreturn;
      const rejected = reject(reason, key, error);
      return canAnswer
        ? { ...rejected, ticket: { endpoint, turn: endpoint.beginTurn(false, now), key, id, deadline } }
        : rejected;
    }
    const { action, data, noreturn, metadata, droppedMetadata } = opened.request;
    // A device that waits for its reply reads what is left meanwhile, and takes it for the reply.
    endpoint.recordUnread(noreturn ? candidate.unread : Math.max(0, candidate.unread - REPLY_DATAGRAMS));
    if (!isLive) {
      return reject('expired', key);
    }
    if (!noreturn && candidate.unread > 0) {
      return reject('out-of-step', key);
    }
    if (!noreturn && now > deadline) {
      return reject('stale-request', key);
    }
    const work = this.workload.begin(endpoint, now);
    if (!work) {
      return reject('busy', key);
    }
    const turn = endpoint.beginTurn(!noreturn, now);
    return {
      kind: 'request',
      // Spelled out: V8 makes a new hidden class for every object that is spread.
      request: {
        action,
        data,
        noreturn,
        metadata,
        droppedMetadata,
        text: opened.text,
        remote,
        device: key.device,
      },
      work,
      ticket: noreturn ? undefined : { endpoint, turn, key, id, deadline },
    };
  }
}

/** 31 bits of a hash: what V8 keeps in place of a pointer. */
function tagOf(hash: Buffer): number {
  return hash.readUInt32BE(0) >>> 1;
}

/** Decrypts and reads a request that has verified. Strict, because SHA-256 lets a hash be extended to more data. */
function openRequest({ data, iv }: Envelope, key: RingKey): OpenedRequest | UnreadableRequest {
  const plaintext = key.sealer.open(data, iv);
  const unreadable = (reason: BenUdpRejection, error: BenUdpProtocolError): UnreadableRequest => ({
    reason,
    error,
    isNoreturn: looksLikeNoreturn(plaintext),
  });
  const bytes = unpad(plaintext);
  if (!bytes) {
    return unreadable('bad-padding', new BenUdpProtocolError('BEN_BAD_REQUEST', REJECTIONS['bad-padding']));
  }
  const text = decodeUtf8(bytes);
  if (text === undefined) {
    return unreadable('bad-utf8', new BenUdpProtocolError('BEN_BAD_REQUEST', REJECTIONS['bad-utf8']));
  }
  try {
    return { request: parseRequest(text), text };
  } catch (error) {
    if (error instanceof BenUdpProtocolError) {
      return unreadable(error.code === 'BEN_BAD_REQUEST' ? 'bad-request' : 'bad-text', error);
    }
    throw error;
  }
}

function reject(reason: BenUdpRejection, key?: RingKey, error?: BenUdpProtocolError): RejectedDecision {
  return { kind: 'rejected', reason, device: key?.device, ...(error && { error }) };
}
