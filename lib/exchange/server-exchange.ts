/**
 * The server side of the exchange: the decision on each datagram. It has no socket and no timer, and the clock is passed in, so a
 * simulator can drive it.
 *
 * The checks run cheapest first. Until the hash has verified, each of them ends in silence and a counted reason:
 * exact hello, or size and first byte → limits → the envelope's three keys and sizes → the likely ids and keys, compared in constant
 * time → a search among all keys, in steps if there are many → the id is consumed → decryption → padding, UTF-8 and Python text, all
 * strict.
 */
import type { KeyRing, RingKey } from '../keys/index.js';
import { type Envelope, Hmac, isHello, looksLikeEnvelope, parseEnvelope } from '../protocol/index.js';
import { type RandomFill, randomBytes, systemRandom } from '../random.js';
import { type Arrival, type Decision, type LateDecision, reject } from './decision.js';
import { EndpointTable } from './endpoint-table.js';
import { HelloResponder } from './hello-responder.js';
import { HelloCache } from './ids/hello-cache.js';
import { slotAt } from './ids/id-pair.js';
import type { KeySearch, SearchResult } from './ids/key-search.js';
import { SearchQueue } from './ids/search-queue.js';
import { type Claim, Verifier, historiesOf } from './ids/verifier.js';
import { Admissions } from './limits/admissions.js';
import type { BenUdpLimits } from './limits/exchange-limits.js';
import { Holders } from './limits/holder.js';
import { InFlight, type InFlightLimits } from './limits/in-flight.js';
import type { AttemptCharge } from './limits/key-attempt-budget.js';
import { type KnownBoard, KnownBoards } from './known-boards.js';
import { type BenUdpRemote, Sender, remoteOfEndpoint } from './remote.js';
import { type PendingRequest, ReplySlots, type UnsentReply } from './reply-slots.js';
import { type ExchangeParts, RequestAcceptor, shortHashOf } from './request-acceptor.js';

const SECRET_BYTES = 32;

/** Endpoints that sent a hello and did not verify yet; 1.6 MiB. */
const REMEMBERED_HELLOS = 65_536;

/**
 * Keys that are tried at once, and in each step: about a tenth of a millisecond, and 5 ms before V8 has compiled the code. With long data,
 * fewer are tried, but at least one.
 */
export const KEYS_PER_STEP = 50;

/** The share of the device timeout in which a key must be found. The rest is for the handler. */
const SEARCH_SHARE = 0.5;

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
  /** Whether a sender is in a network with its own budget. Default: none is. */
  readonly isReserved?: (sender: Sender) => boolean;
  readonly random?: RandomFill;
  /** Keys the id pairs. Default: random, so nothing recorded before a restart is valid after it. */
  readonly secret?: Uint8Array;
}

/** A request whose key is searched for. */
interface PendingSearch {
  readonly sender: Sender;
  readonly claim: Claim;
  readonly arrival: Arrival;
  readonly search: KeySearch;
  readonly charge: AttemptCharge;
  readonly deadline: number;
  /** A hello of the same endpoint that arrived meanwhile. The pair for its answer depends on the result of the search. */
  hello: Arrival | undefined;
}

const SEARCHING: Decision = { kind: 'searching' };

export class ServerExchange {
  private keys: KeyRing;
  private readonly options: Omit<ServerExchangeOptions, 'keys' | 'secret'>;
  private readonly secret: Hmac;
  /** Shared with protocol v2, because one attacker may use both. */
  readonly parts: ExchangeParts;
  private readonly verifier: Verifier;
  private readonly requests: RequestAcceptor;
  private readonly searches = new SearchQueue<PendingSearch>();
  /** The values of the current envelope. A search gets a copy. */
  private readonly envelopeBytes: Buffer;

  constructor({ keys, secret: given, ...options }: ServerExchangeOptions) {
    // The options without keys and secret: otherwise this would hold the first ring after a reload, and a second copy of the secret.
    this.options = options;
    this.keys = keys;
    const { random = systemRandom, deviceTimeoutMs, repair } = options;
    const secret = given ?? randomBytes(random, SECRET_BYTES);
    this.secret = new Hmac(secret);
    if (!given) {
      secret.fill(0);
    }
    this.envelopeBytes = Buffer.allocUnsafeSlow(options.maxDatagramBytes);
    const holders = new Holders();
    const hellos = new HelloCache(REMEMBERED_HELLOS, random);
    const admissions = new Admissions(options.limits, options.isReserved, random);
    const endpoints = new EndpointTable(options.maxEndpoints, holders);
    const inFlight = new InFlight(options.inFlight, deviceTimeoutMs, holders);
    const slots = new ReplySlots(inFlight);
    const responder = new HelloResponder(this.secret, hellos, admissions, slots, deviceTimeoutMs, repair);
    const boards = new KnownBoards(options.maxEndpoints);
    this.parts = { holders, endpoints, hellos, admissions, responder, inFlight, slots, boards };
    this.verifier = new Verifier(this.secret, repair);
    this.requests = new RequestAcceptor(this.parts, deviceTimeoutMs, repair, random);
  }

  /** Verified endpoints that are remembered. */
  get knownEndpoints(): number {
    return this.parts.endpoints.size;
  }

  /** Whether `step` has work. */
  get isSearching(): boolean {
    return this.searches.size > 0;
  }

  /** Accepts these keys from now on. An issued id is valid for every key, so exchanges under way continue. */
  useKeys(keys: KeyRing): void {
    this.keys = keys;
    this.parts.admissions.verifiedSources.retain(keys);
    this.parts.boards.retain(keys);
  }

  /** Adds a board that verified before a restart, as a hint. Its requests must verify like any others. */
  remember(board: KnownBoard): void {
    const { key, prefix } = new Sender(board.remote);
    this.parts.boards.add(key, board);
    this.parts.admissions.verifiedSources.record(prefix, board.key, board.heardAt);
  }

  /**
   * The boards that have verified, at most `maxEndpoints`, the latest last. May be read in parts while datagrams arrive.
   *
   * @param others boards of protocol v2. They come before those that verified only before a restart.
   */
  *knownBoards(others = 0): Generator<KnownBoard> {
    const { endpoints } = this.parts;
    const keys = endpoints.keys();
    yield* this.parts.boards.list().slice(0, Math.max(0, this.options.maxEndpoints - keys.length - others));
    for (const endpointKey of keys) {
      const { key, heardAt } = endpoints.get(endpointKey) ?? {};
      if (key && heardAt !== undefined) {
        yield { remote: remoteOfEndpoint(endpointKey), key, heardAt };
      }
    }
  }

  /** Overwrites the secret of the pairs. All issued ids become void. */
  dispose(): void {
    this.secret.wipe();
  }

  /** Refuses new ids. Issued ids stay valid. */
  stopIssuing(): void {
    this.parts.responder.stop();
  }

  /** Whether a request may be on its way for an id that was issued a moment ago, or its key is searched for. */
  awaitsRequests(now: number): boolean {
    return this.isSearching || this.parts.responder.awaitsRequests(now);
  }

  /**
   * @param now monotonic milliseconds.
   * @param waited how long the datagram may have waited to be read, in milliseconds.
   * @param isOwn whether this server's health probe sent it. The probe must not fail because of strangers or devices.
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

  /**
   * Continues a search. Tries at most `KEYS_PER_STEP` keys.
   *
   * @returns the decisions on the request and on a hello that waited for it.
   */
  step(now: number): readonly LateDecision[] {
    const pending = this.searches.current;
    if (!pending) {
      return [];
    }
    const result = now > pending.deadline ? 'search-budget' : pending.search.run(KEYS_PER_STEP);
    return result === undefined ? [] : this.end(pending, result, now);
  }

  /** Datagrams 5 to 7, or the reason not to send them. */
  reply(pending: PendingRequest, text: string, now: number): readonly Buffer[] | UnsentReply {
    return this.parts.slots.seal(pending, text, now);
  }

  /** Ends a request: its handler has ended, and its reply has been sent if there is one. */
  finish(pending: PendingRequest, now: number): void {
    this.parts.slots.close(pending, now);
  }

  /** As `ReplySlots#watch`. */
  watch(pending: PendingRequest, onSuperseded: () => void): number {
    return this.parts.slots.watch(pending, onSuperseded);
  }

  /** As `ReplySlots#whenFree`. */
  whenFree(pending: PendingRequest, start: () => void): void {
    this.parts.slots.whenFree(pending, start);
  }

  private receiveHello(arrival: Arrival): Decision {
    const pending = this.searches.of(arrival.sender)[0];
    if (!pending) {
      return this.parts.responder.answer(arrival, this.parts.endpoints.get(arrival.sender.key));
    }
    if (pending.hello) {
      return reject('duplicate-hello');
    }
    pending.hello = arrival;
    return SEARCHING;
  }

  private receiveEnvelope(datagram: Buffer, arrival: Arrival): Decision {
    const { sender, now, slot } = arrival;
    const known = this.parts.endpoints.get(sender.key);
    const sent = known ?? this.parts.hellos.get(sender.name);
    const limit = this.parts.admissions.of(known, arrival).admitRequest(now);
    // The key of a known device is tried for each request, so junk from a spoofed address can't lock it out.
    if (limit && !known) {
      return reject(limit);
    }
    const envelope = parseEnvelope(datagram, this.envelopeBytes);
    if (typeof envelope === 'string') {
      return limit ? reject(limit) : this.requests.rejectFailed(envelope, known, arrival);
    }
    if (known?.isReplay(shortHashOf(envelope.hash)) || this.isSearchedFor(envelope, sender)) {
      return reject('replayed');
    }
    const claim = { envelope, sender, slot, known, sent };
    const likely = this.likelyKeys(claim);
    const match = this.verifier.tryLikely(claim, likely);
    if (match) {
      return this.requests.accept(match, claim, arrival);
    }
    return limit ? reject(limit) : (this.tryAddressKeys(likely, claim, arrival) ?? this.search(claim, arrival));
  }

  private isSearchedFor({ hash }: Envelope, sender: Sender): boolean {
    return this.searches.of(sender).some(({ claim }) => claim.envelope.hash.equals(hash));
  }

  /** The key that verified last for this endpoint, and the one for this address. A key that has left the ring is not tried. */
  private likelyKeys({ known, sender }: Claim): readonly RingKey[] {
    if (known) {
      return this.keys.has(known.key) ? [known.key] : [];
    }
    const { boards, admissions } = this.parts;
    const hints = new Set([boards.keyOf(sender.key), admissions.verifiedSources.keyOf(sender.prefix)]);
    return Array.from(hints).filter((key): key is RingKey => key !== undefined && this.keys.has(key));
  }

  /**
   * Tries the keys that have verified at this address, for boards behind a NAT that changes ports. Otherwise each of their requests would
   * need a search among all keys, and junk in the name of the NAT would use up the attempts for that. About a tenth of a millisecond.
   */
  private tryAddressKeys(tried: readonly RingKey[], claim: Claim, arrival: Arrival): Decision | undefined {
    const { admissions } = this.parts;
    const { sender, envelope, sent } = claim;
    const keys = admissions.verifiedSources
      .keysOf(sender.prefix)
      .filter((key) => !tried.includes(key) && this.keys.has(key));
    const source = sent && sender.prefix;
    const charge = admissions.addressKeyAttempts.open(source, envelope.data.length, arrival.now, arrival.isOwn);
    if (keys.length === 0 || !charge.take(keys.length * historiesOf(claim).length, false)) {
      return undefined;
    }
    const match = this.verifier.tryLikely(claim, keys);
    return match && this.requests.accept(match, claim, arrival, charge);
  }

  /** Begins a search, and mostly ends it at once. */
  private search(claim: Claim, arrival: Arrival): Decision {
    const { sender, now, waited, isOwn } = arrival;
    const source = claim.sent && sender.prefix;
    const charge = this.parts.admissions.keyAttempts.open(source, claim.envelope.data.length, now, isOwn);
    const search = this.verifier.search(claim, this.keys, charge);
    const result = search.run(KEYS_PER_STEP);
    if (result !== undefined) {
      return this.requests.conclude(result, claim, arrival, charge);
    }
    const kept = { ...claim, envelope: search.keepEnvelope() };
    const deadline = now - waited + this.options.deviceTimeoutMs * SEARCH_SHARE;
    const isQueued = this.searches.add({ sender, claim: kept, arrival, search, charge, deadline, hello: undefined });
    if (isQueued) {
      return SEARCHING;
    }
    search.abandon();
    return this.requests.rejectFailed('search-budget', claim.known, arrival);
  }

  private end(pending: PendingSearch, result: SearchResult | 'search-budget', now: number): LateDecision[] {
    const { sender, claim, arrival, search, charge, hello } = pending;
    this.searches.remove(pending);
    search.abandon();
    // Meanwhile the key may have left the ring, the id may have expired, or another request may have used it.
    const found = typeof result !== 'string' && !this.keys.has(result.key) ? 'bad-hash' : result;
    const slot = slotAt(now);
    const late = (earlier: Arrival): Arrival => ({ ...earlier, now, slot, waited: earlier.waited + now - earlier.now });
    const claimNow = { ...claim, slot, known: this.parts.endpoints.get(sender.key) };
    const decision = this.requests.conclude(found, claimNow, late(arrival), charge);
    return [
      { decision, remote: sender.remote, receivedAt: arrival.now },
      ...(hello ? [{ decision: this.receiveHello(late(hello)), remote: sender.remote, receivedAt: hello.now }] : []),
    ];
  }
}
