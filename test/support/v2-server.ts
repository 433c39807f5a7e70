/**
 * A small server of protocol v2, written from docs/protocol-v2.md and nothing else: the board's tests need one that shares no mistake
 * with the library. It has no socket and no timer. Handlers answer at once, or later through `finish`.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const COOKIE_S = 20;
const QUIET_MS = 30_000;
const LATE_MS = 20_000;
const DRIFT = 200e-6;
const SESSION_MS = 86_400_000;
const MAX_CTR = 2 ** 30 - 1;
const REPLY_MS = 30_000;
const MAX_RESENDS = 8;
const ALIVE = 0xffff;
const NO_SESSION = Buffer.alloc(8);

export const H = (key: Buffer, ...parts: Buffer[]): Buffer =>
  createHmac('sha256', key).update(Buffer.concat(parts)).digest();
export const T = (key: Buffer, ...parts: Buffer[]): Buffer => H(key, ...parts).subarray(0, 16);

export function toBytes(value: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

const byte = (value: number) => toBytes(value, 1);
const verifies = (tag: Buffer, expected: Buffer) => tag.length === expected.length && timingSafeEqual(tag, expected);

function ivOf(key: Buffer, ctr: number): Buffer {
  const block = Buffer.concat([toBytes(ctr, 4), Buffer.alloc(12)]);
  return createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(block);
}

export function seal(key: Buffer, ctr: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const padded = Buffer.concat([bytes, Buffer.alloc(16 - (bytes.length % 16), ' ')]);
  return createCipheriv('aes-256-cbc', key, ivOf(key, ctr)).setAutoPadding(false).update(padded);
}

export function unseal(key: Buffer, ctr: number, ct: Buffer): string {
  const decipher = createDecipheriv('aes-256-cbc', key, ivOf(key, ctr)).setAutoPadding(false);
  return decipher.update(ct).toString().trimEnd();
}

export class V2Key {
  readonly id: Buffer;
  readonly up: Buffer;
  readonly down: Buffer;
  readonly k: Buffer;

  /** The id is given to make two keys collide, which takes 2^64 tries otherwise. */
  constructor(contents: Buffer, id?: Buffer) {
    this.k = createHash('sha256').update(contents).digest();
    this.id = id ?? H(this.k, Buffer.from('ben2 id')).subarray(0, 8);
    this.up = H(this.k, Buffer.from('ben2 up'));
    this.down = H(this.k, Buffer.from('ben2 down'));
  }
}

export class V2Keys {
  readonly p: Buffer;
  readonly ke: Buffer;
  readonly ka: Buffer;
  readonly kre: Buffer;
  readonly kra: Buffer;
  readonly sid: Buffer;

  constructor(key: V2Key, nd: Buffer, ck: Buffer, ns: Buffer) {
    this.p = H(key.k, Buffer.from('ben2 session'), nd, ck, ns);
    [this.ke, this.ka, this.kre, this.kra] = [1, 2, 3, 4].map((n) => H(this.p, byte(n))) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ];
    this.sid = Buffer.concat([ck.subarray(0, 2), H(this.p, byte(5)).subarray(0, 6)]);
  }

  reply(tag: Buffer, ctr: number, flags: number, text = ''): Buffer {
    const ct = flags === 0 ? seal(this.kre, ctr, text) : Buffer.alloc(0);
    const covered = Buffer.concat([toBytes(ctr, 4), byte(flags), ct]);
    return Buffer.concat([Buffer.from([0xb2, 5]), covered, T(this.kra, byte(5), tag, covered)]);
  }
}

interface Session {
  readonly key: V2Key;
  readonly keys: V2Keys;
  ctr: number;
  tag: Buffer;
  /** Undefined while the handler runs, and when the reply was forgotten. */
  kept: Buffer | undefined;
  isRunning: boolean;
  keptAt: number;
  resends: number;
  leastOffset: number;
  leastAt: number;
  lastAt: number;
}

export interface V2Outcome {
  readonly reason?: string;
  readonly datagram?: Buffer;
}

export interface V2ServerOptions {
  readonly keys: readonly V2Key[];
  readonly handle: (text: string, session: string, ctr: number) => string | undefined;
  readonly route?: number;
  /** Whether other processes use the same route. */
  readonly isShared?: boolean;
  readonly secret?: Buffer;
  readonly startedAt?: number;
}

export class V2Server {
  isClosing = false;
  isBusy = false;
  readonly sessions = new Map<string, Session>();
  private readonly keys: readonly V2Key[];
  private readonly route: number;
  private readonly secret: Buffer;
  private readonly startedAt: number;

  constructor(private readonly options: V2ServerOptions) {
    this.keys = options.keys;
    this.route = options.route ?? 0;
    this.secret = options.secret ?? randomBytes(32);
    this.startedAt = options.startedAt ?? 0;
  }

  receive(datagram: Buffer, address: Buffer, now: number): V2Outcome {
    switch (shapeOf(datagram)) {
      case 1:
        return this.open(datagram, address, now);
      case 3:
        return this.first(datagram, address, now);
      case 4:
        return this.further(datagram, now);
      default:
        return { reason: 'bad-shape' };
    }
  }

  /** Ends the running request of a session. The reply is sent if no later request replaced it. */
  finish(sid: string, ctr: number, text: string, now: number): Buffer | undefined {
    const session = this.sessions.get(sid);
    if (!session?.isRunning || session.ctr !== ctr) {
      return undefined;
    }
    session.isRunning = false;
    session.keptAt = now;
    session.kept = session.keys.reply(session.tag, ctr, 0, text);
    return session.kept;
  }

  evictIdle(now: number): void {
    for (const [sid, { lastAt, isRunning }] of this.sessions) {
      if (!isRunning && now - lastAt >= QUIET_MS) {
        this.sessions.delete(sid);
      }
    }
  }

  private open(datagram: Buffer, address: Buffer, now: number): V2Outcome {
    const [kid, nd, old, tag] = [
      datagram.subarray(2, 10),
      datagram.subarray(10, 26),
      datagram.subarray(26, 34),
      datagram.subarray(34),
    ];
    const keys = this.keys.filter(({ id }) => id.equals(kid));
    if (keys.length === 0) {
      return { reason: 'unknown-key' };
    }
    const key = keys.find(({ up }) => verifies(tag, T(up, datagram.subarray(0, 34))));
    if (!key) {
      return { reason: 'bad-tag' };
    }
    if (this.isClosing) {
      return { reason: 'closing' };
    }
    const second = this.secondAt(now);
    const head = Buffer.concat([
      Buffer.from([0xb2, 2]),
      toBytes(this.route, 2),
      byte(second % 256),
      toBytes(this.quiet(key, old, now), 2),
    ]);
    const ns = this.nonce(kid, nd, second, address);
    return { datagram: Buffer.concat([head, ns, T(key.down, head, nd, old, ns)]) };
  }

  private quiet(key: V2Key, old: Buffer, now: number): number {
    if (old.equals(NO_SESSION)) {
      return 0;
    }
    if (this.sessions.get(old.toString('hex'))?.key === key) {
      return ALIVE;
    }
    if (old.readUInt16BE() !== this.route || this.options.isShared) {
      return 0;
    }
    return Math.floor(Math.min(QUIET_MS, now - this.startedAt));
  }

  private first(datagram: Buffer, address: Buffer, now: number): V2Outcome {
    const [ck, kid, nd] = [datagram.subarray(2, 5), datagram.subarray(5, 13), datagram.subarray(13, 29)];
    const keys = this.keys.filter(({ id }) => id.equals(kid));
    if (keys.length === 0) {
      return { reason: 'unknown-key' };
    }
    const second = this.secondAt(now);
    const age = (second - ck[2]! + 256) % 256;
    if (ck.readUInt16BE() !== this.route || age > COOKIE_S || age > second) {
      return { reason: 'expired' };
    }
    const ns = this.nonce(kid, nd, second - age, address);
    for (const key of keys) {
      const session = new V2Keys(key, nd, ck, ns);
      if (verifies(datagram.subarray(-16), T(session.ka, datagram.subarray(0, -16)))) {
        return this.accept(key, session, 1, 0, datagram, 29, now);
      }
    }
    return { reason: 'bad-tag' };
  }

  private further(datagram: Buffer, now: number): V2Outcome {
    const sid = datagram.subarray(2, 10);
    const session = this.sessions.get(sid.toString('hex'));
    if (!session) {
      return { reason: 'unknown-session', datagram: Buffer.concat([Buffer.from([0xb2, 6]), sid]) };
    }
    if (!verifies(datagram.subarray(-16), T(session.keys.ka, datagram.subarray(0, -16)))) {
      return { reason: 'bad-tag' };
    }
    return this.accept(
      session.key,
      session.keys,
      datagram.readUInt32BE(10),
      datagram.readUInt32BE(14),
      datagram,
      18,
      now,
    );
  }

  private accept(
    key: V2Key,
    keys: V2Keys,
    ctr: number,
    t: number,
    datagram: Buffer,
    flagsAt: number,
    now: number,
  ): V2Outcome {
    const sid = keys.sid.toString('hex');
    const session = this.sessions.get(sid);
    if (session && !session.keys.p.equals(keys.p)) {
      return { reason: 'session-collision' };
    }
    const tag = datagram.subarray(-16);
    if (session && ctr < session.ctr) {
      return { reason: 'replayed' };
    }
    if (session?.ctr === ctr) {
      return this.repeat(session, tag, now);
    }
    if (this.isClosing) {
      return { reason: 'closing', ...this.refuse(session, keys, ctr, tag, now) };
    }
    const offset = now - t;
    const least = session ? session.leastOffset + (now - session.leastAt) * DRIFT : offset;
    if (offset - least > LATE_MS) {
      return { reason: 'late-request', ...this.refuse(session, keys, ctr, tag, now) };
    }
    if (this.isBusy) {
      return { reason: 'busy' };
    }
    const next = session ?? { key, keys, leastOffset: offset, leastAt: now, ...emptyState() };
    if (offset < least) {
      Object.assign(next, { leastOffset: offset, leastAt: now });
    }
    Object.assign(next, { ctr, tag, kept: undefined, isRunning: true, resends: 0, lastAt: now });
    this.sessions.set(sid, next);
    const flags = datagram[flagsAt]!;
    const text = this.options.handle(unseal(keys.ke, ctr, datagram.subarray(flagsAt + 1, -16)), sid, ctr);
    if (text === undefined) {
      return {};
    }
    const full = keys.reply(tag, ctr, flags & 1, text);
    const isTooLong = full.length > 512 * ((flags >> 4) + 1);
    Object.assign(next, { isRunning: false, keptAt: now, kept: isTooLong ? keys.reply(tag, ctr, 0, TOO_LONG) : full });
    return { datagram: next.kept! };
  }

  private repeat(session: Session, tag: Buffer, now: number): V2Outcome {
    if (!session.tag.equals(tag)) {
      return { reason: 'counter-reused' };
    }
    if (session.isRunning) {
      return { reason: 'duplicate-request' };
    }
    if (!session.kept || now - session.keptAt > REPLY_MS) {
      return { reason: 'reply-forgotten' };
    }
    return session.resends++ < MAX_RESENDS ? { datagram: session.kept } : { reason: 'resend-limit' };
  }

  private refuse(session: Session | undefined, keys: V2Keys, ctr: number, tag: Buffer, now: number): V2Outcome {
    const kept = keys.reply(tag, ctr, 2);
    if (session) {
      Object.assign(session, { ctr, tag, kept, isRunning: false, keptAt: now, resends: 0, lastAt: now });
    }
    return { datagram: kept };
  }

  private secondAt(now: number): number {
    return Math.floor((now - this.startedAt) / 1000);
  }

  private nonce(kid: Buffer, nd: Buffer, second: number, address: Buffer): Buffer {
    return H(this.secret, kid, nd, toBytes(this.route, 2), toBytes(second, 6), address).subarray(0, 16);
  }
}

const TOO_LONG = '{"data":null,"error":{"message":"the reply is longer than the buffer of the device"}}';

const emptyState = () => ({
  ctr: 0,
  tag: Buffer.alloc(0),
  kept: undefined,
  isRunning: false,
  keptAt: 0,
  resends: 0,
  lastAt: 0,
});

/** The type of a datagram that has the shape of one, or `undefined`. */
function shapeOf(datagram: Buffer): number | undefined {
  const [start, type] = datagram;
  const isSealed = (head: number) => datagram.length >= head + 32 && (datagram.length - head) % 16 === 0;
  const hasFlags = (index: number) => (datagram[index]! & 0b1110) === 0;
  if (start !== 0xb2) {
    return undefined;
  }
  if (type === 1 && datagram.length === 50) {
    return 1;
  }
  if (type === 3 && isSealed(30) && hasFlags(29)) {
    return 3;
  }
  if (type === 4 && isSealed(19) && hasFlags(18)) {
    const ctr = datagram.readUInt32BE(10);
    return ctr >= 2 && ctr <= MAX_CTR && datagram.readUInt32BE(14) <= SESSION_MS ? 4 : undefined;
  }
  return undefined;
}
