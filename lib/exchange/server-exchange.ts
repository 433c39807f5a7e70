/**
 * The server's side of the exchange: the decision on each datagram. It has no socket and no timer, and the clock is passed in, so a
 * simulator can drive it.
 *
 * The checks run cheapest first. Until the hash has verified, each of them ends in silence and a counted reason:
 * exact hello, or size and first byte → limits → the envelope's three keys and sizes → the candidate ids, compared in constant
 * time → the id is consumed → decryption → padding, UTF-8 and Python text, all strict.
 */
import type { BenUdpProtocolError } from '../errors.js';
import type { KeyRing, RingKey } from '../keys/index.js';
import {
  BLOCK_BYTES,
  type Envelope,
  Hmac,
  REPLY_DATAGRAMS,
  type Request,
  digest,
  isHello,
  looksLikeEnvelope,
  openRequest,
  parseEnvelope,
} from '../protocol/index.js';
import { type RandomFill, randomBytes, systemRandom } from '../random.js';
import { DUPLICATE_HELLO_MS, Endpoint, EndpointTable, type HelloAnswer, MAX_STRAYS } from './endpoint-table.js';
import { NO_BACKLOG, afterFailure, afterHello, awaitsRequest, isDraining, isWithheld } from './ids/backlog.js';
import { HelloCache } from './ids/hello-cache.js';
import type { IdCandidate } from './ids/id-candidate.js';
import { LIVE_SLOTS, derivePair, slotAt, toPair } from './ids/id-pair.js';
import { type PairHistory, historyOf, isSamePair } from './ids/pair-history.js';
import { type Verified, Verifier } from './ids/verifier.js';
import { Admission, type Origin } from './limits/admission.js';
import { Holders, holderKeyOf } from './limits/holder.js';
import type { BenUdpLimits } from './limits/exchange-limits.js';
import { InFlight, type InFlightHandler, type InFlightLimits } from './limits/in-flight.js';
import type { BenUdpRejection } from './rejection.js';
import { type BenUdpRemote, type EndpointKey, Sender } from './remote.js';

const SECRET_BYTES = 32;

/** Endpoints that sent a hello and did not verify yet; 1.6 MiB. */
const REMEMBERED_HELLOS = 65_536;

/**
 * The share of the device timeout in which a hello can't mean that the device gave up. If a reply is due in this time, the hello is
 * a copy or forged, and the device would read its answer as the reply.
 */
const PATIENCE_SHARE = 0.1;

/**
 * The share of the device timeout in which a reply may leave. The rest is for its way: a reply that arrives after the device gave
 * up stays in its socket and spoils the next exchange.
 */
const REPLY_SHARE = 0.9;

/** The same for a device whose requests come soon after their pairs. */
const LATEST_REPLY_SHARE = 0.98;

/** The rest of the timeout is at least this many times as long as the device takes from a pair to its request. */
const REPLY_MARGIN = 4;

/** How long after its pair a request may arrive: the round trip, and the cryptography of a slow board. */
const REQUEST_DUE_MS = 1000;

/** The share of the device timeout for which a hello may wait to be read. */
const STALE_SHARE = 0.2;

export interface ServerExchangeOptions {
  readonly keys: KeyRing;
  /** Longest datagram that is read, in bytes. */
  readonly maxDatagramBytes: number;
  /** How long a device waits for a datagram. */
  readonly deviceTimeoutMs: number;
  /** Verified endpoints that are remembered. */
  readonly maxEndpoints: number;
  readonly limits: BenUdpLimits;
  readonly inFlight: InFlightLimits;
  /** Whether requests of devices that are out of step are accepted, and the devices brought back. */
  readonly repair: boolean;
  /** Whether an address is in a network with a budget of its own. Default: none is. */
  readonly isReserved?: (remote: BenUdpRemote) => boolean;
  readonly random?: RandomFill;
  /** Keys the id pairs. Default: random, so nothing recorded before a restart is valid after it. */
  readonly secret?: Uint8Array;
}

/** A request that verified and could be read. */
export interface VerifiedRequest extends Request {
  readonly remote: BenUdpRemote;
  readonly endpoint: EndpointKey;
  /** The device whose key verified; `undefined` for a shared key. */
  readonly device: string | undefined;
  /** The decrypted Python text. */
  readonly text: string;
  readonly protocol: BenUdpProtocol;
  /** The longest sealed reply that the device can receive, in bytes; `undefined` if it did not tell. */
  readonly replyBytes: number | undefined;
}

/** The version of the protocol. */
export type BenUdpProtocol = 'v1' | 'v2';

declare const PENDING: unique symbol;

/** An accepted request that has not ended: a token for `reply` and `finish`. */
export interface PendingRequest {
  readonly [PENDING]: true;
}

/** The content of the token. */
interface PendingState {
  readonly endpoint: Endpoint;
  readonly turn: number;
  readonly isReplyDue: boolean;
  readonly key: RingKey;
  readonly id: Buffer;
  /** The reply must leave before this. */
  readonly deadline: number;
  /** `undefined` for a request that runs no handler. */
  readonly handler: InFlightHandler | undefined;
}

/** The decision on a datagram. */
export type Decision =
  /** A hello is answered: datagrams 2 and 3, or 2 alone. */
  | { readonly kind: 'pair'; readonly datagrams: readonly Buffer[] }
  /** An opening of protocol v2 is answered. */
  | { readonly kind: 'grant'; readonly datagrams: readonly Buffer[] }
  /** The kept reply to a copy of a request is sent again. */
  | { readonly kind: 'resent'; readonly datagrams: readonly Buffer[] }
  | AcceptedDecision
  | RejectedDecision;

/** A request is accepted. Each `pending` must be passed to `finish`. */
export interface AcceptedDecision {
  readonly kind: 'request';
  readonly request: VerifiedRequest;
  readonly pending: PendingRequest;
  /** Sent at once: an acknowledgement. */
  readonly datagrams?: readonly Buffer[];
}

/** A datagram is dropped. */
export interface RejectedDecision {
  readonly kind: 'rejected';
  readonly reason: BenUdpRejection;
  /** The device whose key verified, if one did. */
  readonly device?: string | undefined;
  /** The mistake in the request, if its hash was right. */
  readonly error?: BenUdpProtocolError;
  /** Sent at once. They end the wait of a device that could not read a reply. */
  readonly datagrams?: readonly Buffer[];
  /** Set if the device waits for a reply and can be told the reason. Must be passed to `finish`. */
  readonly pending?: PendingRequest;
}

/** Why a reply is not sent. */
export type UnsentReply =
  /** The device has given up: its timeout has passed. */
  | 'late'
  /** The device does not wait: it has sent a hello or a request since, it has its reply, or it sent `noreturn`. */
  | 'superseded';

/** A datagram that arrived. */
interface Arrival {
  readonly sender: Sender;
  readonly now: number;
  readonly slot: number;
  /** How long the datagram may have waited to be read. */
  readonly waited: number;
  /** Whether the own health probe sent it. */
  readonly isOwn: boolean;
}

export class ServerExchange {
  private keys: KeyRing;
  private readonly options: Omit<ServerExchangeOptions, 'keys' | 'secret'>;
  private readonly random: RandomFill;
  private readonly secret: Hmac;
  readonly holders = new Holders();
  private readonly endpoints: EndpointTable;
  private readonly hellos: HelloCache;
  readonly admission: Admission;
  private readonly verifier: Verifier;
  readonly inFlight: InFlight;
  /** Told when the device of a running handler no longer waits. Holds only the handlers that asked: bounded by `maxInFlight`. */
  private readonly watches = new Map<Endpoint, () => void>();
  /** The values of the current envelope. Nothing keeps them longer. */
  private readonly envelopeBytes: Buffer;
  private isClosing = false;
  /** Pairs that were sent in the last second and are unused. */
  private unusedPairs = 0;
  private lastPairAt = -Infinity;

  constructor({ keys, secret: given, ...options }: ServerExchangeOptions) {
    // The options without keys and secret: otherwise this would hold the first ring after a reload, and a second copy of the secret.
    this.options = options;
    this.keys = keys;
    const { random = systemRandom } = options;
    this.random = random;
    const secret = given ?? randomBytes(random, SECRET_BYTES);
    this.secret = new Hmac(secret);
    if (!given) {
      secret.fill(0);
    }
    this.endpoints = new EndpointTable(options.maxEndpoints, this.holders);
    this.hellos = new HelloCache(REMEMBERED_HELLOS, random);
    this.admission = new Admission(options.limits, options.isReserved, random);
    this.envelopeBytes = Buffer.allocUnsafeSlow(options.maxDatagramBytes);
    this.verifier = new Verifier(this.secret, options.repair);
    this.inFlight = new InFlight(options.inFlight, options.deviceTimeoutMs, this.holders);
  }

  /** Verified endpoints that are remembered. */
  get knownEndpoints(): number {
    return this.endpoints.size;
  }

  /** Accepts these keys from now on. An issued id is good for every key, so exchanges under way go on. */
  useKeys(keys: KeyRing): void {
    this.keys = keys;
  }

  /** Overwrites the secret of the pairs. All issued ids become void. */
  dispose(): void {
    this.secret.wipe();
  }

  /** Refuses new ids. Issued ids stay valid. */
  stopIssuing(): void {
    this.isClosing = true;
  }

  /** Whether a request may be on its way for an id that was issued a moment ago. */
  awaitsRequests(now: number): boolean {
    return this.unusedPairs > 0 && now - this.lastPairAt < REQUEST_DUE_MS;
  }

  /**
   * @param now monotonic milliseconds.
   * @param waited how long the datagram may have waited to be read, in milliseconds.
   * @param isOwn whether the own health probe sent it. The probe must not fail because of strangers or devices.
   */
  receive(datagram: Buffer, remote: BenUdpRemote, now: number, waited = 0, isOwn = false): Decision {
    const sender = new Sender(remote);
    if (!sender.isSingleHost) {
      return reject('no-way-back');
    }
    const arrival = { sender, now, slot: slotAt(now), waited, isOwn };
    if (isHello(datagram)) {
      return this.receiveHello(arrival);
    }
    if (datagram.length > this.options.maxDatagramBytes) {
      return reject('too-large');
    }
    return looksLikeEnvelope(datagram) ? this.receiveEnvelope(datagram, arrival) : reject('unknown-datagram');
  }

  /** Datagrams 5 to 7, or the reason not to send them. */
  reply(pending: PendingRequest, text: string, now: number): readonly Buffer[] | UnsentReply {
    const { endpoint, turn, isReplyDue, key, id, deadline } = stateOf(pending);
    if (!isReplyDue || turn !== endpoint.turn) {
      return 'superseded';
    }
    this.watches.delete(endpoint);
    endpoint.beginTurn(false, now);
    if (now > deadline) {
      return 'late';
    }
    const { ciphertext, iv } = key.sealer.seal(text);
    const hash = digest(id, ciphertext, iv);
    id.fill(0);
    return [hash, iv, ciphertext];
  }

  /** Ends a request: its handler has ended, and its reply has been sent if there is one. */
  finish(pending: PendingRequest, now: number): void {
    const { endpoint, turn, id, handler } = stateOf(pending);
    id.fill(0);
    if (turn === endpoint.turn) {
      this.watches.delete(endpoint);
      endpoint.beginTurn(false, now);
    }
    if (handler) {
      this.inFlight.end(handler, now);
    }
  }

  /**
   * Watches whether the device of a request still waits.
   *
   * @param onSuperseded called once if the device sends its next hello or request first.
   * @returns the time until which a reply may be sent: -Infinity if the device no longer waits, Infinity if it never did.
   */
  watch(pending: PendingRequest, onSuperseded: () => void): number {
    const { endpoint, turn, isReplyDue, deadline } = stateOf(pending);
    if (!isReplyDue) {
      return Infinity;
    }
    if (turn !== endpoint.turn) {
      return -Infinity;
    }
    this.watches.set(endpoint, onSuperseded);
    return deadline;
  }

  /** Calls `start` when the handler of a request may run: at once, or when earlier handlers of its device have ended. */
  whenFree(pending: PendingRequest, start: () => void): void {
    const { handler } = stateOf(pending);
    if (handler?.isQueued) {
      handler.start = start;
    } else {
      start();
    }
  }

  private receiveHello(arrival: Arrival): Decision {
    if (this.isClosing) {
      return reject('closing');
    }
    if (arrival.waited > this.options.deviceTimeoutMs * STALE_SHARE) {
      return reject('stale-hello');
    }
    const endpoint = this.endpoints.get(arrival.sender.key);
    return endpoint ? this.answerKnown(endpoint, arrival) : this.answerStranger(arrival);
  }

  private originOf({ sender, now, isOwn }: Arrival): Origin {
    return isOwn ? 'own' : this.admission.originOf(sender, now);
  }

  private answerStranger(arrival: Arrival): Decision {
    const { sender, now, slot } = arrival;
    const { name } = sender;
    const hello = this.hellos.get(name);
    const rejection =
      hello && this.isDuplicate(hello, DUPLICATE_HELLO_MS, now)
        ? 'duplicate-hello'
        : this.admission.admitHello(sender, this.originOf(arrival), now);
    if (rejection) {
      return reject(rejection);
    }
    const backlog = this.options.repair && hello ? hello.backlog : NO_BACKLOG;
    if (isWithheld(backlog)) {
      this.hellos.withhold(name, now);
    } else {
      this.hellos.record(name, slot, now);
    }
    this.hellos.setBacklog(name, afterHello(backlog));
    return isWithheld(backlog) ? reject('withheld') : this.sendPair(derivePair(this.secret, name, slot, 0), false, now);
  }

  private answerKnown(endpoint: Endpoint, { sender, now, slot }: Arrival): Decision {
    const isAwaited = !endpoint.isLatestUsed || awaitsRequest(endpoint.backlog);
    const isDuplicate =
      this.isReplyDue(endpoint, now) || (isAwaited && this.isDuplicate(endpoint, endpoint.duplicateMs, now));
    const rejection = isDuplicate ? 'duplicate-hello' : this.admission.admitKnownHello(endpoint, now);
    if (rejection) {
      return reject(rejection);
    }
    const isStray = this.isStray(endpoint, slot, now);
    this.supersede(endpoint);
    endpoint.beginTurn(false, now);
    const answer = isStray ? 'nothing' : this.answerTo(endpoint, now);
    endpoint.backlog = afterHello(endpoint.backlog);
    if (answer === 'nothing') {
      endpoint.recordWithheld(now);
      return reject('withheld');
    }
    const pair = { slot, n: endpoint.nextIn(slot) };
    endpoint.recordSent(pair, answer === 'single', now);
    endpoint.derived = derivePair(this.secret, sender.name, slot, pair.n);
    return this.sendPair(endpoint.derived, answer === 'single', now);
  }

  /**
   * Whether the device waits for its reply, so the hello is a copy or forged, and the device would read its answer as the reply. Its
   * timeout may be shorter than ours, so this only lasts for long if hellos were forged lately.
   */
  private isReplyDue(endpoint: Endpoint, now: number): boolean {
    const { waitingSince } = endpoint;
    const share = endpoint.isSuspect(now) ? REPLY_SHARE : PATIENCE_SHARE;
    return waitingSince !== undefined && now - waitingSince < this.options.deviceTimeoutMs * share;
  }

  /** Whether the device seems to have the latest pair unread. Then it can use that pair, and an answer would only add another. */
  private isStray(endpoint: Endpoint, slot: number, now: number): boolean {
    const { latest, isLatestUsed, sentAt } = endpoint;
    return (
      endpoint.isSuspect(now) &&
      !endpoint.hasUnread &&
      endpoint.withheld < MAX_STRAYS &&
      !isLatestUsed &&
      latest !== undefined &&
      !latest.isSingle &&
      latest.slot > slot - LIVE_SLOTS &&
      // Later, the device may have given up.
      now - sentAt < this.options.deviceTimeoutMs * REPLY_SHARE
    );
  }

  private answerTo(endpoint: Endpoint, now: number): HelloAnswer {
    if (!this.options.repair) {
      return 'pair';
    }
    return isWithheld(endpoint.backlog) ? 'nothing' : endpoint.takeAnswer(now);
  }

  private isDuplicate({ sentAt }: PairHistory, within: number, now: number): boolean {
    return now - sentAt < Math.min(within, this.options.deviceTimeoutMs * PATIENCE_SHARE);
  }

  private sendPair(derived: string, isSingle: boolean, now: number): Decision {
    this.unusedPairs = this.awaitsRequests(now) ? this.unusedPairs + 1 : 1;
    this.lastPairAt = now;
    const { ciphertext, iv } = toPair(derived);
    return { kind: 'pair', datagrams: isSingle ? [ciphertext] : [ciphertext, iv] };
  }

  private receiveEnvelope(datagram: Buffer, arrival: Arrival): Decision {
    const { sender, now, slot } = arrival;
    const known = this.endpoints.get(sender.key);
    const hello = known ?? this.hellos.get(sender.name);
    const limit = known
      ? this.admission.admitKnownRequest(known, now)
      : this.admission.admitRequest(sender, this.originOf(arrival), hello !== undefined, now);
    // The key of a known device is tried for each request, so that junk in its name does not cost it one.
    if (limit && !known) {
      return reject(limit);
    }
    const envelope = parseEnvelope(datagram, this.envelopeBytes);
    if (typeof envelope === 'string') {
      return limit ? reject(limit) : this.fail(envelope, known, arrival);
    }
    const hashTag = tagOf(envelope.hash);
    if (known?.isReplay(hashTag)) {
      return reject('replayed');
    }
    const attempts = this.admission.keyAttempts.open(sender.prefix, envelope.data.length, now, arrival.isOwn);
    const verify = (history: PairHistory) =>
      this.verifier.verify(
        {
          envelope,
          sender,
          history,
          isRemembered: hello !== undefined,
          derived: known?.derived,
          isUsable: ({ slot: its, n }) => its > slot - LIVE_SLOTS && n >= (known?.usedIn(its) ?? 0),
          knownKey: known?.key,
          isFreeOnly: limit !== undefined,
          attempts,
        },
        this.keys,
      );
    let history = hello ?? historyOf([slot], -Infinity);
    let verified = verify(history);
    if (!verified && !hello) {
      // If no hello is remembered, it may have come in the slot before.
      history = historyOf([slot - 1], -Infinity);
      verified = verify(history);
    }
    if (!verified && limit) {
      return reject(limit);
    }
    if (!verified || verified === 'key-attempt-budget') {
      return this.fail(verified ?? 'bad-hash', known, arrival);
    }
    if (verified.key.protocol === 'v2' && !arrival.isOwn) {
      this.admission.countFailure(sender.prefix, now);
      verified.id.fill(0);
      return reject('v1-refused', verified.key);
    }
    const endpoint = known ?? this.admit(verified.key, history, arrival);
    if (!endpoint) {
      verified.id.fill(0);
      return reject('table-full', verified.key);
    }
    if (verified.isLive) {
      attempts.refund();
    }
    if (endpoint.key !== verified.key) {
      this.useKey(endpoint, verified.key, sender);
    }
    endpoint.recordTag(verified.candidate.uses, hashTag);
    const decision = this.accept(envelope, verified, endpoint, arrival);
    if (!('pending' in decision)) {
      verified.id.fill(0);
    }
    return decision;
  }

  /** Counts a failed request against its sender. */
  private fail(reason: BenUdpRejection, known: Endpoint | undefined, { sender, now }: Arrival): Decision {
    if (!known) {
      this.admission.countFailure(sender.prefix, now);
      const hello = reason === 'bad-hash' ? this.hellos.get(sender.name) : undefined;
      if (hello) {
        this.hellos.setBacklog(sender.name, afterFailure(hello.backlog));
      }
      return reject(reason);
    }
    this.admission.countKnownFailure(known, now);
    if (reason !== 'bad-hash') {
      return reject(reason);
    }
    known.backlog = afterFailure(known.backlog);
    return reject(this.options.repair && isDraining(known.backlog) ? 'out-of-step' : reason);
  }

  /** Remembers a stranger that has verified; `undefined` if there is no room. */
  private admit(key: RingKey, history: PairHistory, arrival: Arrival): Endpoint | undefined {
    const { sender, slot, isOwn } = arrival;
    const endpoint = new Endpoint(key, history, this.holders.of(holderKeyOf(key.device, sender)));
    if (!this.endpoints.add(sender.key, endpoint, slot, isOwn)) {
      return undefined;
    }
    this.admission.refundHello(sender, this.originOf(arrival));
    return endpoint;
  }

  /** How long after its request a reply may leave. */
  private replyWithin({ requestMs }: Endpoint): number {
    const { deviceTimeoutMs } = this.options;
    const earliest = deviceTimeoutMs * REPLY_SHARE;
    return requestMs < 0
      ? earliest
      : Math.max(earliest, Math.min(deviceTimeoutMs * LATEST_REPLY_SHARE, deviceTimeoutMs - requestMs * REPLY_MARGIN));
  }

  /** Records the state of the device that a verified request shows. */
  private learn(endpoint: Endpoint, { uses, unread }: IdCandidate, isLive: boolean, arrivedAt: number): void {
    const { latest } = endpoint;
    const wasWithheld = endpoint.withheld > 0;
    const usesLatest = isLive && unread === 0 && latest !== undefined && isSamePair(uses, latest);
    endpoint.backlog = NO_BACKLOG;
    endpoint.withheld = 0;
    if (usesLatest && !wasWithheld) {
      endpoint.recordRequestTime(arrivedAt - endpoint.sentAt);
    }
    if (unread > 1 || (usesLatest && wasWithheld && endpoint.isSuspect(arrivedAt))) {
      endpoint.suspect(arrivedAt);
    }
  }

  /**
   * Datagrams that complete the supposed reply of the device. Its client then raises at once. Without them it would wait for its
   * timeout, and read the answers of further hellos meanwhile. They are random and not empty, so they verify as nothing.
   */
  private endWait(count: number): readonly Buffer[] {
    return Array.from({ length: count }, () => randomBytes(this.random, BLOCK_BYTES));
  }

  /** The token of a request that has no handler, and is told why. */
  private awaitReply(state: Omit<PendingState, 'turn' | 'isReplyDue' | 'handler'>, now: number): PendingRequest {
    this.supersede(state.endpoint);
    return pendingOf({ ...state, turn: state.endpoint.beginTurn(false, now), isReplyDue: true, handler: undefined });
  }

  /** The device no longer waits for the reply to an earlier request. */
  private supersede(endpoint: Endpoint): void {
    if (this.watches.size > 0) {
      const onSuperseded = this.watches.get(endpoint);
      this.watches.delete(endpoint);
      onSuperseded?.();
    }
  }

  private useKey(endpoint: Endpoint, key: RingKey, sender: Sender): void {
    if (endpoint.key.device !== key.device) {
      this.endpoints.moveTo(this.holders.of(holderKeyOf(key.device, sender)), sender.key, endpoint);
    }
    endpoint.key = key;
  }

  /** Consumes the id, opens the request, and decides whether it can be answered. */
  private accept(
    envelope: Envelope,
    { key, id, candidate, isLive }: Verified,
    endpoint: Endpoint,
    { sender, now, slot, waited, isOwn }: Arrival,
  ): Decision {
    const { uses, unread } = candidate;
    const rest = REPLY_DATAGRAMS - unread;
    const deadline = now - waited + this.replyWithin(endpoint);
    this.learn(endpoint, candidate, isLive, now - waited);
    if (isLive) {
      if (endpoint.consume(uses, slot)) {
        this.endpoints.touch(sender.key, endpoint);
        this.admission.recordVerified(sender, now);
      }
      this.unusedPairs--;
      this.admission.refundKnownHello(endpoint, now);
    }
    const opened = openRequest(key.sealer, { ciphertext: envelope.data, iv: envelope.iv });
    if ('error' in opened) {
      const { reason, error, isNoreturn } = opened;
      const canAnswer = isLive && unread === 0 && now <= deadline && !isNoreturn;
      const rejected = reject(reason, key, error);
      return canAnswer ? { ...rejected, pending: this.awaitReply({ endpoint, key, id, deadline }, now) } : rejected;
    }
    const { action, data, noreturn, metadata, droppedMetadata } = opened.request;
    // While a device waits for its reply, it reads the unread datagrams and takes them for the reply.
    endpoint.recordUnread(noreturn ? unread : Math.max(0, -rest));
    if (!noreturn && unread > 0) {
      if (rest >= 0) {
        endpoint.recordRead();
      }
      const rejected = reject(isLive ? 'out-of-step' : 'expired', key);
      return rest > 0 && now <= deadline ? { ...rejected, datagrams: this.endWait(rest) } : rejected;
    }
    if (!isLive) {
      return reject('expired', key);
    }
    if (!noreturn && now > deadline) {
      return reject('stale-request', key);
    }
    const handler = isOwn ? undefined : this.inFlight.begin(endpoint, noreturn, now);
    if (!handler && !isOwn) {
      const rejected = reject('busy', key);
      return noreturn ? rejected : { ...rejected, pending: this.awaitReply({ endpoint, key, id, deadline }, now) };
    }
    if (noreturn) {
      id.fill(0);
    }
    this.supersede(endpoint);
    const turn = endpoint.beginTurn(!noreturn, now);
    return {
      kind: 'request',
      // Spelled out, because V8 makes a new hidden class for every object that is spread.
      request: {
        action,
        data,
        noreturn,
        metadata,
        droppedMetadata,
        text: opened.text,
        remote: sender.remote,
        endpoint: sender.key,
        device: key.device,
        protocol: 'v1',
        replyBytes: undefined,
      },
      pending: pendingOf({ endpoint, turn, isReplyDue: !noreturn, key, id, deadline, handler }),
    };
  }
}

function pendingOf(state: PendingState): PendingRequest {
  return state as unknown as PendingRequest;
}

function stateOf(pending: PendingRequest): PendingState {
  return pending as unknown as PendingState;
}

/** 31 bits of a hash. V8 stores such a number without an object. */
function tagOf(hash: Buffer): number {
  return hash.readUInt32BE(0) >>> 1;
}

function reject(reason: BenUdpRejection, key?: RingKey, error?: BenUdpProtocolError): RejectedDecision {
  return { kind: 'rejected', reason, device: key?.device, ...(error && { error }) };
}
