/**
 * The server's side of protocol v2, beside that of v1: the decision on each datagram. `docs/protocol-v2.md` is the specification. It
 * has no socket and no timer.
 *
 * The checks run in the order of that page: source, size and shape → limits → key id or session id → the tag, in constant time → only
 * then the state of the session. Nothing is kept for an opening.
 */
import type { BenUdpProtocolError } from '../../errors.js';
import type { KeyRing, RingKey } from '../../keys/index.js';
import { readRequest, sealedLength } from '../../protocol/index.js';
import {
  ALIVE,
  FLAGS_AT,
  NORETURN_FLAG,
  NO_SESSION,
  REPLY_KIND,
  REPLY_OVERHEAD_BYTES,
  type ReplyKind,
  TAG_BYTES,
  formatAgain,
  formatV2Reply,
  isRequestOf,
  readRequestTag,
  receivableBytes,
  sessionIdOf,
  shapeOf,
} from '../../protocol/v2/index.js';
import { randomBytes, systemRandom } from '../../random.js';
import type { Decision, RejectedDecision } from '../decision.js';
import { holderKeyOf } from '../limits/holder.js';
import type { BenUdpRejection } from '../rejection.js';
import { type BenUdpRemote, Sender } from '../remote.js';
import type { UnsentReply } from '../reply-slots.js';
import { Cookies, ROUTE_BYTES } from './cookies.js';
import { KeptReplies, MAX_RESENDS } from './kept-replies.js';
import { type Arrival, Openings, type VerifiedFirst } from './openings.js';
import { V2Pending } from './pending.js';
import type { SharedLimits, V2ServerOptions } from './server-options.js';
import { SessionKeys } from './session-keys.js';
import { MAX_SESSIONS, QUIET_MS, SessionTable } from './session-table.js';
import { Session } from './session.js';

const SECRET_BYTES = 32;

/** After this time a device has made all its transmissions and waited for the last one, in milliseconds. */
export const GIVE_UP_MS = 18_750;

/** Replaces a reply that the device can't receive. */
const TOO_LONG =
  '{"data":null,"error":{"status":"error","message":"the reply is longer than the buffer of the device"}}';

/** A request whose tag is right. */
interface Numbered {
  readonly ctr: number;
  /** The time at which it was sent, by the clock of the device. */
  readonly t: number;
  readonly flagsAt: number;
}

const FIRST: Numbered = { ctr: 1, t: 0, flagsAt: FLAGS_AT.first };

export class V2ServerExchange {
  private readonly options: Omit<V2ServerOptions, 'keys' | 'secret'>;
  private readonly cookies: Cookies;
  private readonly sessionKeys = new SessionKeys();
  private readonly replies: KeptReplies;
  private readonly sessions: SessionTable;
  private readonly openings: Openings;
  /** Told when the device of a running handler no longer waits. Holds only the handlers that asked: bounded by `maxInFlight`. */
  private readonly watches = new Map<Session, () => void>();

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
    this.openings = new Openings(keys, this.cookies, limits.gate);
    this.replies = new KeptReplies(options.maxResultBytes);
    this.sessions = new SessionTable(
      options.maxSessionsPerAddress,
      (session) => this.forget(session),
      options.maxSessions ?? MAX_SESSIONS,
    );
  }

  get sessionCount(): number {
    return this.sessions.size;
  }

  /** Bytes of the replies that are kept. */
  get keptBytes(): number {
    return this.replies.bytes;
  }

  /** Must be called when the socket is bound: what happened before, this process can't know. */
  start(now: number): void {
    this.cookies.startedAt = now;
  }

  /** Accepts these keys from now on. Sessions of other keys end. */
  useKeys(keys: KeyRing, now: number): void {
    this.openings.useKeys(keys, now);
    this.sessions.keep((key) => keys.has(key));
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
    if (handler) {
      session.handlers--;
      this.limits.inFlight.end(handler, now);
      session.release();
    }
    if (pending.isCurrent) {
      this.watches.delete(session);
      session.isRunning = false;
    }
  }

  /**
   * Watches whether the device of a request still waits.
   *
   * @param onSuperseded called once if the device sends its next request first, or if its session ends.
   * @returns the time at which a device gives up: -Infinity if it no longer waits, Infinity if it never did. A reply after that is sent
   * too, because it does no harm.
   */
  watch(pending: V2Pending, onSuperseded: () => void): number {
    const { session, flags, arrivedAt } = pending;
    if ((flags & NORETURN_FLAG) !== 0) {
      return Infinity;
    }
    if (!pending.isCurrent) {
      return -Infinity;
    }
    this.watches.set(session, onSuperseded);
    return arrivedAt + GIVE_UP_MS;
  }

  /** Calls `start` when the handler of a request may run: at once, or when earlier handlers of its session have ended. */
  whenFree({ handler }: V2Pending, start: () => void): void {
    if (handler?.isQueued) {
      handler.start = start;
    } else {
      start();
    }
  }

  /** For how long the session that a device asks about has executed nothing. */
  private quietOf(key: RingKey, old: Buffer, now: number): number {
    if (old.equals(NO_SESSION) || !this.cookies.isOwnRoute(old)) {
      return 0;
    }
    if (this.sessions.get(numberOf(old), now)?.key === key) {
      return ALIVE;
    }
    return this.options.isRouteShared ? 0 : Math.floor(Math.min(QUIET_MS, now - this.openings.beganAt(key)));
  }

  private receiveFirst(arrival: Arrival): Decision {
    const verified = this.openings.verify(arrival);
    if ('reason' in verified) {
      return verified;
    }
    const decision = this.acceptFirst(verified, arrival);
    verified.secret.fill(0);
    return decision;
  }

  private acceptFirst({ key, secret, admission, isKeyOldEnough }: VerifiedFirst, arrival: Arrival): Decision {
    const { datagram, sender, now } = arrival;
    const sid = sessionIdOf(secret, datagram.subarray(2));
    const id = numberOf(sid);
    const known = this.sessions.get(id, now);
    if (sid.equals(NO_SESSION) || (known && !this.isSameSession(known, key, datagram))) {
      return reject('session-collision', key);
    }
    if (known) {
      return this.acceptNumbered(known, FIRST, arrival);
    }
    if (!isKeyOldEnough) {
      return reject('expired', key);
    }
    const address = key.device === undefined ? sender.addressKey : undefined;
    const session = new Session(id, key, address, this.sessionKeys.take(secret));
    const decision = this.acceptNumbered(session, FIRST, arrival, true);
    if (session.ctr === 0) {
      this.sessionKeys.release(session);
    } else {
      admission.refundHello(now);
      this.limits.gate.verifiedSources.record(sender.prefix, key, now);
    }
    return decision;
  }

  private receiveFurther(arrival: Arrival): Decision {
    const { datagram, sender, now } = arrival;
    const sid = datagram.subarray(2, 10);
    const session = this.cookies.isOwnRoute(sid) ? this.sessions.get(numberOf(sid), now) : undefined;
    if (!session) {
      return this.limits.gate.ofStranger(sender, false, true, now).admitHello(now)
        ? reject('again-rate')
        : { ...reject('unknown-session'), datagrams: [formatAgain(sid)] };
    }
    if (!isRequestOf(this.sessionKeys.requestTagKey(session), datagram)) {
      return reject('bad-tag');
    }
    return this.acceptNumbered(
      session,
      { ctr: datagram.readUInt32BE(10), t: datagram.readUInt32BE(14), flagsAt: FLAGS_AT.further },
      arrival,
    );
  }

  /** @param isNew whether the session is not in the table yet. */
  private acceptNumbered(session: Session, { ctr, t, flagsAt }: Numbered, arrival: Arrival, isNew = false): Decision {
    const { datagram, sender, now } = arrival;
    const { key } = session;
    const tag = readRequestTag(datagram);
    if (ctr <= session.ctr) {
      return ctr < session.ctr ? reject('replayed', key) : this.repeat(session, tag, now);
    }
    const refusal = this.openings.isClosing ? 'closing' : session.isLate(t, now) ? 'late-request' : undefined;
    if (refusal) {
      return this.refuse(session, ctr, tag, refusal, isNew, now);
    }
    const flags = datagram[flagsAt]!;
    const noreturn = (flags & NORETURN_FLAG) !== 0;
    const { inFlight, holders } = this.limits;
    session.holder = holders.of(holderKeyOf(key.device, sender));
    const handler = inFlight.begin(session, noreturn, now);
    if (!handler) {
      holders.release(session.holder);
      session.release();
      return reject('busy', key);
    }
    if (isNew && !this.sessions.add(session, now)) {
      inFlight.end(handler, now);
      return reject('session-quota', key);
    }
    session.recordDelay(t, now);
    this.useNumber(session, ctr, tag, now);
    session.isRunning = true;
    const { texts } = this.sessionKeys.readyOf(session).requests;
    const opened = readRequest(texts.open(ctr, datagram.subarray(flagsAt + 1, datagram.length - TAG_BYTES)));
    if ('error' in opened) {
      inFlight.end(handler, now);
      session.release();
      const pending = new V2Pending(session, ctr, flags, now, undefined).token;
      return { ...reject(opened.reason, key, opened.error), pending };
    }
    session.handlers++;
    const { action, data, metadata, droppedMetadata } = opened.request;
    return {
      kind: 'request',
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
        protocol: 'v2',
        replyBytes: roomFor(flags),
        // Protocol v2 has no pairs.
        pairSentAt: -Infinity,
      },
      pending: new V2Pending(session, ctr, flags, now, handler).token,
      // The device has no result to wait for, and learns at once that the server has its request.
      ...(noreturn && { datagrams: [this.answer(session, ctr, REPLY_KIND.acknowledgement, now)] }),
    };
  }

  /** Decides on a copy of the last request. */
  private repeat(session: Session, tag: string, now: number): Decision {
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
  private refuse(
    session: Session,
    ctr: number,
    tag: string,
    reason: BenUdpRejection,
    isNew: boolean,
    now: number,
  ): Decision {
    if (isNew) {
      const { replies } = this.sessionKeys.readyOf(session);
      return {
        ...reject(reason, session.key),
        datagrams: [formatV2Reply({ ctr, requestTag: tag }, REPLY_KIND.refusal, '', replies)],
      };
    }
    this.useNumber(session, ctr, tag, now);
    return {
      ...reject(reason, session.key),
      datagrams: [this.answer(session, ctr, REPLY_KIND.refusal, now)],
    };
  }

  private useNumber(session: Session, ctr: number, tag: string, now: number): void {
    this.supersede(session);
    this.replies.forget(session);
    session.isRunning = false;
    session.ctr = ctr;
    session.tag = tag;
    this.sessions.touch(session, now);
  }

  /** Seals an answer to the last request, and keeps it. */
  private answer(session: Session, ctr: number, kind: ReplyKind, now: number, text = ''): Buffer {
    const { replies } = this.sessionKeys.readyOf(session);
    const datagram = formatV2Reply({ ctr, requestTag: session.tag }, kind, text, replies);
    this.replies.keep(session, datagram, now);
    return datagram;
  }

  private isSameSession(session: Session, key: RingKey, datagram: Buffer): boolean {
    return session.key === key && isRequestOf(this.sessionKeys.requestTagKey(session), datagram);
  }

  private forget(session: Session): void {
    this.supersede(session);
    this.replies.forget(session);
    this.sessionKeys.release(session);
  }

  /** The device no longer waits for the reply to an earlier request. */
  private supersede(session: Session): void {
    if (this.watches.size > 0) {
      const onSuperseded = this.watches.get(session);
      this.watches.delete(session);
      onSuperseded?.();
    }
  }
}

/** The part of a session id behind the route. */
function numberOf(sid: Buffer): number {
  return sid.readUIntBE(ROUTE_BYTES, 6);
}

/** The longest sealed text that the sender of a request can receive, in bytes. */
function roomFor(flags: number): number {
  return receivableBytes(flags) - REPLY_OVERHEAD_BYTES;
}

function reject(reason: BenUdpRejection, key?: RingKey, error?: BenUdpProtocolError): RejectedDecision {
  return { kind: 'rejected', reason, device: key?.device, ...(error && { error }) };
}
