/**
 * The server side of protocol v2: the decision on each datagram. `docs/protocol-v2.md` is the specification. It has no socket and no
 * timer.
 *
 * The checks run in the order of that page: source, size and shape → limits → key id or session id → the tag, in constant time → only
 * then the state of the session. Nothing is kept for an opening, except a hint for the limits.
 */
import type { KeyRing, RingKey } from '../../keys/index.js';
import { readRequest, sealedLength } from '../../protocol/index.js';
import {
  ALIVE,
  FLAGS_AT,
  NORETURN_FLAG,
  NO_SESSION,
  REPLY_KIND,
  REPLY_OVERHEAD_BYTES,
  ROUTE_BYTES,
  type ReplyKind,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  formatAgain,
  formatV2Reply,
  isRequestOf,
  readCookie,
  readCtr,
  readRequestTag,
  readSealed,
  readSessionId,
  readTime,
  receivableBytes,
  sessionIdOf,
  shapeOf,
} from '../../protocol/v2/index.js';
import { randomBytes, systemRandom } from '../../random.js';
import { type Decision, reject } from '../decision.js';
import { keyOfDevice } from '../limits/holder.js';
import { type InFlightHandler, whenFree } from '../limits/in-flight.js';
import type { BenUdpRejection } from '../rejection.js';
import { type BenUdpRemote, Sender } from '../remote.js';
import type { UnsentReply } from '../reply-slots.js';
import { ReplyWatches } from '../reply-watches.js';
import { Cookies } from './cookies.js';
import { KeptReplies, MAX_RESENDS } from './kept-replies.js';
import { Openings, type V2Arrival, type VerifiedFirst } from './openings.js';
import { V2Pending } from './pending.js';
import { SHARED_ROUTE, type SharedLimits, type V2ServerOptions } from './server-options.js';
import { SessionKeys } from './session-keys.js';
import { MAX_SESSIONS, QUIET_MS, SessionTable } from './session-table.js';
import { NOBODY, Session } from './session.js';

const SECRET_BYTES = 32;

/** After this time a device has made all its transmissions and waited for the last one, in milliseconds. */
const GIVE_UP_MS = 18_750;

/** How often the address of a session is recorded, in milliseconds. */
const RECORD_MS = 10_000;

/** Replaces a reply that the device can't receive. */
const TOO_LONG =
  '{"data":null,"error":{"status":"error","message":"the reply is longer than the buffer of the device"}}';

/** A request whose tag is right. */
interface NumberedRequest {
  readonly session: Session;
  readonly ctr: number;
  /** The time at which it was sent, by the clock of the device. */
  readonly t: number;
  /** The tag, as Latin-1. */
  readonly tag: string;
  readonly flagsAt: number;
  /** Whether the session is not in the table yet. */
  readonly isNew: boolean;
}

export class V2ServerExchange {
  private readonly options: Omit<V2ServerOptions, 'keys' | 'secret'>;
  private readonly cookies: Cookies;
  private readonly sessionKeys = new SessionKeys();
  private readonly replies: KeptReplies;
  private readonly sessions: SessionTable;
  private readonly openings: Openings;
  private readonly watches = new ReplyWatches<Session>();

  constructor(
    { keys, secret, ...options }: V2ServerOptions,
    private readonly limits: SharedLimits,
  ) {
    this.options = options;
    const drawn = secret ?? randomBytes(options.random ?? systemRandom, SECRET_BYTES);
    this.cookies = new Cookies(drawn, options.route);
    if (!secret) {
      drawn.fill(0);
    }
    this.openings = new Openings(keys, this.cookies, limits.admissions);
    this.replies = new KeptReplies(options.maxResultBytes);
    this.sessions = new SessionTable((session) => this.forget(session), options.maxSessions ?? MAX_SESSIONS);
  }

  get sessionCount(): number {
    return this.sessions.size;
  }

  /** Bytes of the replies that are kept. */
  get keptBytes(): number {
    return this.replies.bytes;
  }

  /**
   * The sessions with the latest requests, at most `limit`, the latest last.
   *
   * @param perHolder the most that a named key, or an address with a shared key, gets, its endpoints of v1 included.
   */
  latest(limit: number, perHolder: number): readonly Session[] {
    return this.sessions.latest(limit, (holder) => perHolder - this.limits.holders.sizeOf(holder));
  }

  /** Must be called when the socket is bound: the process does not know what ran before that. */
  start(now: number): void {
    this.cookies.startedAt = now;
  }

  /** Accepts these keys from now on. Sessions of other keys end. */
  useKeys(keys: KeyRing, now: number): void {
    this.openings.useKeys(keys, now);
    this.sessions.keep((key) => keys.has(key));
  }

  /** Whether a REQ1 may be on its way for a GRANT that was sent a moment ago. */
  awaitsRequests(now: number): boolean {
    return this.openings.awaitsRequests(now);
  }

  /** Refuses new requests. Replies are still sent. */
  stopIssuing(): void {
    this.openings.isClosing = true;
  }

  /** Overwrites the secret and the keys of all sessions. */
  dispose(): void {
    this.cookies.wipe();
    this.sessionKeys.wipe();
  }

  /** @param now monotonic milliseconds. */
  receive(datagram: Buffer, remote: BenUdpRemote, now: number): Decision {
    const sender = new Sender(remote);
    if (!sender.isSingleHost) {
      return reject('no-way-back');
    }
    if (datagram.length > this.options.maxDatagramBytes) {
      return reject('too-large');
    }
    const arrival = { datagram, sender, now };
    switch (shapeOf(datagram)) {
      case 'open':
        return this.openings.answer(arrival, (key, old) => this.quietOf(key, old, now));
      case 'first':
        return this.receiveFirst(arrival);
      case 'further':
        return this.receiveFurther(arrival);
      default:
        return reject('bad-shape');
    }
  }

  /** The reply, or the reason not to send it. It is kept, to be sent again. */
  reply(pending: V2Pending, text: string, now: number): readonly Buffer[] | UnsentReply {
    const { session, ctr, flags } = pending;
    if (!pending.isCurrent) {
      return 'superseded';
    }
    const isTooLong = sealedLength(Buffer.byteLength(text)) > roomFor(flags);
    return [this.answer(session, ctr, REPLY_KIND.reply, now, isTooLong ? TOO_LONG : text)];
  }

  /** Ends a request: its handler has ended, and its reply has been sent if there is one. */
  finish(pending: V2Pending, now: number): void {
    const { session, handler } = pending;
    this.endHandler(handler, now);
    if (pending.isCurrent) {
      this.watches.end(session);
      session.isRunning = false;
    }
  }

  /**
   * Watches whether the device of a request still waits.
   *
   * @param onSuperseded called once if the device sends its next request first, or if its session ends.
   * @returns the time at which a device gives up: -Infinity if it no longer waits, Infinity if it never did. A later reply is still
   * sent, because it does no harm.
   */
  watch(pending: V2Pending, onSuperseded: () => void): number {
    const { session, flags, arrivedAt } = pending;
    if ((flags & NORETURN_FLAG) !== 0) {
      return Infinity;
    }
    if (!pending.isCurrent) {
      return -Infinity;
    }
    this.watches.begin(session, onSuperseded);
    return arrivedAt + GIVE_UP_MS;
  }

  /** Calls `start` when the handler of a request may run: at once, or when earlier handlers of its session have ended. */
  whenFree({ handler }: V2Pending, start: () => void): void {
    whenFree(handler, start);
  }

  /** For how long the session that a device asks about has executed nothing. */
  private quietOf(key: RingKey, old: Buffer, now: number): number {
    if (old.equals(NO_SESSION) || !this.cookies.isOwnRoute(old)) {
      return 0;
    }
    if (this.sessions.get(numberOf(old), now)?.key === key) {
      return ALIVE;
    }
    return this.options.route === SHARED_ROUTE ? 0 : Math.floor(Math.min(QUIET_MS, now - this.openings.beganAt(key)));
  }

  private receiveFirst(arrival: V2Arrival): Decision {
    const verified = this.openings.verify(arrival);
    if ('reason' in verified) {
      return verified;
    }
    const decision = this.acceptFirst(verified, arrival);
    verified.secret.fill(0);
    return decision;
  }

  private acceptFirst({ key, secret, admission, isKeyOldEnough }: VerifiedFirst, arrival: V2Arrival): Decision {
    const { datagram, sender, now } = arrival;
    const sid = sessionIdOf(secret, readCookie(datagram));
    const id = numberOf(sid);
    const known = this.sessions.get(id, now);
    if (sid.equals(NO_SESSION) || (known && !this.isSameSession(known, key, datagram))) {
      return reject('session-collision', key);
    }
    if (known) {
      return this.accept(firstOf(known, datagram, false), arrival);
    }
    this.openings.recordUse(now);
    if (!isKeyOldEnough) {
      return reject('expired', key);
    }
    const address = key.shared ? sender.addressKey : undefined;
    const session = new Session(id, key, address, this.sessionKeys.take(secret));
    const decision = this.accept(firstOf(session, datagram, true), arrival);
    if (session.ctr === 0) {
      this.sessionKeys.release(session);
    } else {
      admission.refundHello(now);
    }
    return decision;
  }

  private receiveFurther(arrival: V2Arrival): Decision {
    const { datagram, sender, now } = arrival;
    const session = this.cookies.isOwnRoute(datagram, SESSION_ID_AT)
      ? this.sessions.get(numberOf(datagram, SESSION_ID_AT), now)
      : undefined;
    if (!session) {
      return this.limits.admissions.ofStranger(sender, false, now).admitHello(now)
        ? reject('again-rate')
        : { ...reject('unknown-session'), datagrams: [formatAgain(readSessionId(datagram))] };
    }
    if (!isRequestOf(this.sessionKeys.requestTagKey(session), datagram)) {
      return reject('bad-tag');
    }
    const ctr = readCtr(datagram);
    const tag = readRequestTag(datagram);
    const request = { session, ctr, t: readTime(datagram), tag, flagsAt: FLAGS_AT.further, isNew: false };
    return this.accept(request, arrival);
  }

  private accept(request: NumberedRequest, { datagram, sender, now }: V2Arrival): Decision {
    const { session, ctr, t, flagsAt, isNew } = request;
    const { key } = session;
    if (ctr <= session.ctr) {
      return ctr < session.ctr ? reject('replayed', key) : this.repeat(request, now);
    }
    const refusal = this.openings.isClosing ? 'closing' : session.isLate(t, now) ? 'late-request' : undefined;
    if (refusal) {
      return this.refuse(request, refusal, now);
    }
    const flags = datagram[flagsAt]!;
    const noreturn = (flags & NORETURN_FLAG) !== 0;
    const handler = this.beginHandler(session, noreturn, now);
    if (isNew && !this.sessions.add(session, now)) {
      this.endHandler(handler, now);
      return reject('session-quota', key);
    }
    session.recordDelay(t, now);
    this.recordAddress(session, sender, now);
    this.useNumber(request, now);
    session.isRunning = true;
    if (!handler) {
      // The device waits, so it gets an answer. Its number is used up, so a later copy can't run after that answer.
      return { ...reject('busy', key), pending: new V2Pending(session, ctr, flags, now, undefined) };
    }
    const { texts } = this.sessionKeys.ciphersOf(session).requests;
    const opened = readRequest(texts.open(ctr, readSealed(datagram, flagsAt)));
    if ('error' in opened) {
      this.endHandler(handler, now);
      const pending = new V2Pending(session, ctr, flags, now, undefined);
      return { ...reject(opened.reason, key, opened.error), pending };
    }
    const { action, data, metadata, droppedMetadata, rid } = opened.request;
    return {
      kind: 'request',
      request: {
        action,
        data,
        noreturn,
        metadata,
        droppedMetadata,
        rid,
        text: opened.text,
        remote: sender.remote,
        endpoint: sender.key,
        device: key.device,
        protocol: 'v2',
        replyBytes: roomFor(flags),
        // Protocol v2 has no pairs.
        pairSentAt: -Infinity,
      },
      pending: new V2Pending(session, ctr, flags, now, handler),
      // The device has no result to wait for, and learns at once that the server has its request.
      ...(noreturn && { datagrams: [this.answer(session, ctr, REPLY_KIND.acknowledgement, now)] }),
    };
  }

  /** Records the address of a request, once in a while: a session lasts for a day, and its board may move. */
  private recordAddress(session: Session, sender: Sender, now: number): void {
    const { boards, admissions } = this.limits;
    if (session.endpoint !== sender.key || intervalAt(session.lastAt) !== intervalAt(now)) {
      session.endpoint = sender.key;
      boards.remove(sender.key);
      admissions.verifiedSources.record(sender.prefix, session.key, now);
    }
  }

  private beginHandler(session: Session, noreturn: boolean, now: number): InFlightHandler | undefined {
    const { inFlight, holders } = this.limits;
    // Not the address of this request, which anybody with the key can forge. That of the opening was proven by its cookie.
    const holder = holders.of(session.address ?? keyOfDevice(session.key.device!));
    session.holder = holder;
    const handler = inFlight.begin(session, noreturn, now);
    session.holder = NOBODY;
    if (!handler) {
      holders.release(holder);
    }
    return handler;
  }

  /** Frees the handler of a request, if it got one. */
  private endHandler(handler: InFlightHandler | undefined, now: number): void {
    if (handler) {
      this.limits.inFlight.end(handler, now);
    }
  }

  /** Decides on a copy of the last request. */
  private repeat({ session, tag }: NumberedRequest, now: number): Decision {
    const { key } = session;
    if (tag !== session.tag) {
      return reject('counter-reused', key);
    }
    if (session.isRunning && !session.reply) {
      return reject('duplicate-request', key);
    }
    const reply = this.replies.find(session, now);
    if (!reply) {
      return reject('reply-forgotten', key);
    }
    return reply.resends++ < MAX_RESENDS
      ? { kind: 'resent', datagrams: [reply.datagram] }
      : reject('resend-limit', key);
  }

  /** Tells a device that its request was not executed and never will be. */
  private refuse(request: NumberedRequest, reason: BenUdpRejection, now: number): Decision {
    const { session, ctr, tag, isNew } = request;
    if (isNew) {
      const { replies } = this.sessionKeys.ciphersOf(session);
      return {
        ...reject(reason, session.key),
        datagrams: [formatV2Reply({ ctr, requestTag: tag }, REPLY_KIND.refusal, '', replies)],
      };
    }
    this.useNumber(request, now);
    return {
      ...reject(reason, session.key),
      datagrams: [this.answer(session, ctr, REPLY_KIND.refusal, now)],
    };
  }

  private useNumber({ session, ctr, tag }: NumberedRequest, now: number): void {
    this.watches.supersede(session);
    this.replies.forget(session);
    session.isRunning = false;
    session.ctr = ctr;
    session.tag = tag;
    this.sessions.touch(session, now);
  }

  /** Seals an answer to the last request, and keeps it. */
  private answer(session: Session, ctr: number, kind: ReplyKind, now: number, text = ''): Buffer {
    const { replies } = this.sessionKeys.ciphersOf(session);
    const datagram = formatV2Reply({ ctr, requestTag: session.tag }, kind, text, replies);
    this.replies.keep(session, datagram, now);
    return datagram;
  }

  private isSameSession(session: Session, key: RingKey, datagram: Buffer): boolean {
    return session.key === key && isRequestOf(this.sessionKeys.requestTagKey(session), datagram);
  }

  private forget(session: Session): void {
    this.watches.supersede(session);
    this.replies.forget(session);
    this.sessionKeys.release(session);
  }
}

function firstOf(session: Session, datagram: Buffer, isNew: boolean): NumberedRequest {
  return { session, ctr: 1, t: 0, tag: readRequestTag(datagram), flagsAt: FLAGS_AT.first, isNew };
}

/** The part behind the route of the session id at `at`. */
function numberOf(bytes: Buffer, at = 0): number {
  return bytes.readUIntBE(at + ROUTE_BYTES, SESSION_ID_BYTES - ROUTE_BYTES);
}

/** The longest sealed text that the sender of a request can receive, in bytes. */
function roomFor(flags: number): number {
  return receivableBytes(flags) - REPLY_OVERHEAD_BYTES;
}

function intervalAt(now: number): number {
  return Math.floor(now / RECORD_MS);
}
