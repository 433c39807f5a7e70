/**
 * The device side of protocol v2, as `docs/protocol-v2.md` describes it: one session, and one request at a time. No socket and no
 * timer: the caller sends, waits, and passes on the datagrams that arrive.
 */
import { decodeUtf8, stripWhiteSpace } from '../../protocol/index.js';
import {
  ALIVE,
  type GrantFields,
  MAX_CTR,
  NONCE_BYTES,
  NO_SESSION,
  type OpenFields,
  REPLY_KIND,
  SESSION_KEY_BYTES,
  SESSION_MS,
  type SessionCiphers,
  createSessionCiphers,
  deriveSessionKeys,
  flagsOf,
  formatOpen,
  formatV2Request,
  isAgainOf,
  isReplyTo,
  keyIdOf,
  readGrant,
  readRequestTag,
  readV2Reply,
  sessionIdOf,
  sessionSecretOf,
} from '../../protocol/v2/index.js';
import { type RandomFill, randomBytes, randomUint32 } from '../../random.js';
import { Secret } from '../../secret.js';
import { QUIET_MS } from './session-table.js';

/** Transmissions of a datagram. */
export const ATTEMPTS = 5;

/** Wait after the first transmission, in milliseconds. A device may wait for a shorter time, never for a longer one. */
export const RTO_MS = 1000;

/** The wait doubles with each transmission, up to this many times the first one. */
export const MAX_BACKOFF = 4;

/** All waits together, in units of the first one: 1 + 2 + 4 + 4 + 4. */
const ALL_WAITS = 15;

/** Random part of each wait, to both sides. */
export const JITTER = 0.25;

/** A session that the server does not know must have been quiet for longer than the age of the request by this, in milliseconds. */
const QUIET_MARGIN_MS = 1000;

/** A wall clock that has moved further than the monotonic clock by this shows that the machine was suspended, in milliseconds. */
const CLOCKS_DIFFER_MS = QUIET_MARGIN_MS / 2;

export interface V2ClientOptions {
  /** 32 bytes; copied. */
  readonly key: Uint8Array;
  /** Longest datagram that can be received, in bytes, at least 512. */
  readonly bufferSize: number;
  readonly random: RandomFill;
  /** Milliseconds by a clock that also runs while the machine is suspended. It may jump. Default: none. */
  readonly wallClock?: () => number;
}

/** Why a call failed. */
export type V2Failure =
  /** No answer to an opening: nothing ran. */
  | 'no-answer'
  /** The server refused the request twice: it did not run. */
  | 'refused'
  /** The request may have run. */
  | 'unknown'
  /** The reply is authentic, but not text. */
  | 'bad-reply';

export type V2ClientDecision =
  /** Send the datagram. If `elapse` is due before an answer, call it. */
  | { readonly kind: 'send'; readonly datagram: Buffer; readonly waitMs: number }
  | { readonly kind: 'ignored' }
  /** The text of the reply; `undefined` for an acknowledgement. */
  | { readonly kind: 'done'; readonly text: string | undefined }
  | { readonly kind: 'failed'; readonly failure: V2Failure };

export type V2ClientPhase = 'idle' | 'opening' | 'first' | 'waiting' | 'asking';

interface ClientSession {
  readonly sid: Buffer;
  readonly secret: Secret;
  readonly ciphers: SessionCiphers;
  ctr: number;
  beganAt: number;
  /** A call ended without an answer, so the server may not have the session, not yet or no longer. The next call asks first. */
  isDoubtful: boolean;
}

interface Call {
  readonly text: string;
  readonly flags: number;
  sentAt: number;
  sentAtWall: number;
  datagram: Buffer;
  wasRefused: boolean;
  hasAsked: boolean;
}

const IGNORED: V2ClientDecision = { kind: 'ignored' };

export class V2ClientExchange {
  private readonly options: Omit<V2ClientOptions, 'key'>;
  private readonly key: Secret;
  private readonly keyId: string;
  private currentPhase: V2ClientPhase = 'idle';
  private session: ClientSession | undefined;
  private opening: OpenFields = { nd: NO_SESSION, old: NO_SESSION };
  private call!: Call;
  private datagram: Buffer = NO_SESSION;
  private attempts = 0;
  private rtoMs = RTO_MS;

  constructor({ key, ...options }: V2ClientOptions) {
    this.options = options;
    this.key = new Secret(key);
    this.keyId = keyIdOf(key);
  }

  get phase(): V2ClientPhase {
    return this.currentPhase;
  }

  /** Whether a request can be sent without an opening. */
  get hasSession(): boolean {
    return this.session?.isDoubtful === false;
  }

  /**
   * Begins a call. The one before must have ended.
   *
   * @param timeoutMs until a datagram without an answer is given up. More than 15 s count as 15 s.
   */
  begin(text: string, noreturn: boolean, now: number, timeoutMs: number): V2ClientDecision {
    this.rtoMs = Math.min(RTO_MS, timeoutMs / ALL_WAITS);
    const flags = flagsOf(this.options.bufferSize, noreturn);
    this.call = { text, flags, sentAt: now, sentAtWall: 0, datagram: NO_SESSION, wasRefused: false, hasAsked: false };
    if (this.session && (this.session.ctr >= MAX_CTR || !isLive(this.session, now))) {
      this.forget();
    }
    if (this.session && !this.session.isDoubtful) {
      return this.sendFurther(this.session, now);
    }
    return this.open(this.session?.sid ?? NO_SESSION, 'opening');
  }

  receive(datagram: Buffer, now: number): V2ClientDecision {
    switch (this.currentPhase) {
      case 'idle':
        return IGNORED;
      case 'opening': {
        const grant = readGrant(this.key.expose(), datagram, this.opening);
        return grant ? this.takeGrant(grant, now) : IGNORED;
      }
      case 'asking': {
        const grant = readGrant(this.key.expose(), datagram, this.opening);
        // The reply may arrive meanwhile: AGAIN may be forged, and a server that closes answers no opening.
        return grant ? this.takeGrant(grant, now) : this.takeReply(this.session!, datagram);
      }
      default:
        return this.takeReply(this.session!, datagram);
    }
  }

  /** The wait is over without an answer. */
  elapse(): V2ClientDecision {
    if (this.currentPhase === 'idle') {
      return IGNORED;
    }
    if (this.attempts < ATTEMPTS) {
      return this.transmit();
    }
    const failure = this.currentPhase === 'opening' ? 'no-answer' : 'unknown';
    this.doubt();
    return { kind: 'failed', failure };
  }

  /**
   * Gives the call up. An open session stays: the next request has a higher number, so this one can't run after it. If the first request
   * of a session was not answered, the server may not have the session yet.
   */
  abandon(): void {
    if (this.currentPhase === 'first') {
      this.doubt();
    }
    this.currentPhase = 'idle';
  }

  /** Overwrites all keys. */
  dispose(): void {
    this.currentPhase = 'idle';
    this.forget();
    this.key.wipe();
  }

  private open(old: Buffer, phase: 'opening' | 'asking'): V2ClientDecision {
    this.currentPhase = phase;
    this.opening = { nd: randomBytes(this.options.random, NONCE_BYTES), old };
    return this.sendNew(formatOpen(this.key.expose(), this.keyId, this.opening.nd, old));
  }

  private takeGrant(grant: GrantFields, now: number): V2ClientDecision {
    const { quiet } = grant;
    if (this.currentPhase === 'opening') {
      if (this.session && quiet === ALIVE && isLive(this.session, now)) {
        this.session.isDoubtful = false;
        return this.sendFurther(this.session, now);
      }
      this.forget();
      return this.sendFirst(grant, now);
    }
    if (quiet === ALIVE) {
      // The AGAIN was forged, or the session of another process. It is not believed again.
      this.call.hasAsked = true;
      this.currentPhase = 'waiting';
      return this.sendNew(this.call.datagram);
    }
    const isQuiet = quiet <= QUIET_MS && quiet >= this.ageOf(this.call, now) + QUIET_MARGIN_MS;
    this.forget();
    return isQuiet ? this.sendFirst(grant, now) : this.fail('unknown');
  }

  private sendFirst(grant: GrantFields, now: number): V2ClientDecision {
    const { nd } = this.opening;
    const session = createSession(this.key.expose(), nd, grant, now);
    this.session = session;
    this.currentPhase = 'first';
    const { keyId } = this;
    return this.sendRequest(
      formatV2Request({ ck: grant.ck, keyId, nd }, this.call.flags, this.call.text, session.ciphers.requests),
      now,
    );
  }

  private sendFurther(session: ClientSession, now: number): V2ClientDecision {
    session.ctr++;
    this.currentPhase = 'waiting';
    const head = { sid: session.sid, ctr: session.ctr, t: Math.floor(now - session.beganAt) };
    return this.sendRequest(formatV2Request(head, this.call.flags, this.call.text, session.ciphers.requests), now);
  }

  private sendRequest(datagram: Buffer, now: number): V2ClientDecision {
    this.call.datagram = datagram;
    this.call.sentAt = now;
    this.call.sentAtWall = this.wallClock();
    return this.sendNew(datagram);
  }

  /** The time since the first transmission. The monotonic clock does not count the time in which the machine was suspended. */
  private ageOf({ sentAt, sentAtWall }: Call, now: number): number {
    const age = now - sentAt;
    const ageByWall = this.wallClock() - sentAtWall;
    return ageByWall - age > CLOCKS_DIFFER_MS ? ageByWall : age;
  }

  private wallClock(): number {
    return this.options.wallClock?.() ?? 0;
  }

  private takeReply(session: ClientSession, datagram: Buffer): V2ClientDecision {
    const { call } = this;
    const { ctr } = session;
    if (!isReplyTo({ ctr, requestTag: readRequestTag(call.datagram) }, datagram, session.ciphers.replies.tagKey())) {
      const mayAsk = this.currentPhase === 'waiting' && !call.hasAsked && isAgainOf(session.sid, datagram);
      return mayAsk ? this.open(session.sid, 'asking') : IGNORED;
    }
    const { kind, ciphertext } = readV2Reply(datagram);
    if (kind === REPLY_KIND.refusal) {
      return this.takeRefusal();
    }
    this.currentPhase = 'idle';
    if (kind === REPLY_KIND.acknowledgement) {
      return { kind: 'done', text: undefined };
    }
    // The text itself may end in spaces, so all of them go.
    const text = decodeUtf8(stripWhiteSpace(session.ciphers.replies.texts.open(ctr, ciphertext)));
    return text === undefined ? { kind: 'failed', failure: 'bad-reply' } : { kind: 'done', text };
  }

  private takeRefusal(): V2ClientDecision {
    if (this.call.wasRefused) {
      return this.fail('refused');
    }
    this.call.wasRefused = true;
    this.forget();
    return this.open(NO_SESSION, 'opening');
  }

  private fail(failure: V2Failure): V2ClientDecision {
    this.forget();
    this.currentPhase = 'idle';
    return { kind: 'failed', failure };
  }

  /**
   * Ends a call without an answer, and keeps its session: a server keeps each for 30 s, so with short timeouts and slow handlers new ones
   * would soon be more than a key may have.
   */
  private doubt(): void {
    if (this.session) {
      this.session.isDoubtful = true;
    }
    this.currentPhase = 'idle';
  }

  private sendNew(datagram: Buffer): V2ClientDecision {
    this.datagram = datagram;
    this.attempts = 0;
    return this.transmit();
  }

  private transmit(): V2ClientDecision {
    const backoff = Math.min(2 ** this.attempts, MAX_BACKOFF);
    this.attempts++;
    const jitter = 1 + JITTER * ((2 * randomUint32(this.options.random)) / 0xffff_ffff - 1);
    return { kind: 'send', datagram: this.datagram, waitMs: this.rtoMs * backoff * jitter };
  }

  private forget(): void {
    this.session?.secret.wipe();
    this.session = undefined;
  }
}

function isLive({ beganAt }: ClientSession, now: number): boolean {
  const t = now - beganAt;
  return t >= 0 && t <= SESSION_MS;
}

function createSession(key: Uint8Array, nd: Buffer, grant: GrantFields, now: number): ClientSession {
  const sessionSecret = sessionSecretOf(key, { ...grant, nd });
  const secret = new Secret(new Uint8Array(SESSION_KEY_BYTES));
  const bytes = secret.expose();
  deriveSessionKeys(sessionSecret, bytes);
  const sid = sessionIdOf(sessionSecret, grant.ck);
  sessionSecret.fill(0);
  return { sid, secret, ciphers: createSessionCiphers(bytes), ctr: 1, beganAt: now, isDoubtful: false };
}
