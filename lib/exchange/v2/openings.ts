/**
 * Openings: answers an OPEN, and checks the REQ1 that follows from it. Nothing is kept in between, except a hint for the limits.
 */
import type { KeyRing, RingKey } from '../../keys/index.js';
import {
  formatGrant,
  isOpenOf,
  isRequestOf,
  type Nonces,
  readCookie,
  readKeyId,
  readNonce,
  readOpen,
  requestTagKeyOf,
  sessionSecretOf,
} from '../../protocol/v2/index.js';
import { AwaitedRequests } from '../awaited-requests.js';
import { type Decision, type RejectedDecision, reject } from '../decision.js';
import type { Admission } from '../limits/admission.js';
import type { Admissions } from '../limits/admissions.js';
import type { Sender } from '../remote.js';
import type { Cookies } from './cookies.js';

/** A datagram that arrived. */
export interface V2Arrival {
  readonly datagram: Buffer;
  readonly sender: Sender;
  readonly now: number;
}

/** A REQ1 whose tag is right. */
export interface VerifiedFirst {
  readonly key: RingKey;
  /** The session secret, which the caller overwrites. */
  readonly secret: Buffer;
  /** The limits of its sender. */
  readonly admission: Admission;
  /** Whether the key was accepted when the cookie was issued. If not, its sessions of that time have ended, and their requests are void. */
  readonly isKeyOldEnough: boolean;
}

export class Openings {
  isClosing = false;
  /** The time at which a key was added, for keys that were added after the start. */
  private readonly addedAt = new WeakMap<RingKey, number>();
  private readonly awaited = new AwaitedRequests();

  constructor(
    private keys: KeyRing,
    private readonly cookies: Cookies,
    private readonly admissions: Admissions,
  ) {}

  useKeys(keys: KeyRing, now: number): void {
    for (const key of keys.keys) {
      if (!this.keys.has(key)) {
        this.addedAt.set(key, now);
      }
    }
    this.keys = keys;
  }

  /** The time since which this process knows what requests of a key have run. */
  beganAt(key: RingKey): number {
    return this.addedAt.get(key) ?? this.cookies.startedAt;
  }

  /** Whether a REQ1 may be on its way for a GRANT that was sent a moment ago. */
  awaitsRequests(now: number): boolean {
    return this.awaited.isAny(now);
  }

  /** Records that a REQ1 has followed its GRANT. */
  recordUse(now: number): void {
    this.awaited.use(now);
  }

  /** @param quietOf for how long a session has executed nothing. */
  answer({ datagram, sender, now }: V2Arrival, quietOf: (key: RingKey, old: Buffer) => number): Decision {
    const { cookies } = this;
    const admission = this.admissions.ofStranger(sender, false, now);
    if (admission.admitHello(now)) {
      return reject('open-rate');
    }
    const keys = this.keys.withV2Id(readKeyId(datagram, 'open'));
    const key = keys.find((each) => each.withBytes((bytes) => isOpenOf(bytes, datagram)));
    if (!key || this.isClosing) {
      // No answer is sent, so none is counted: junk from a spoofed address must not lock a board out.
      admission.refundHello(now);
      return reject(key ? 'closing' : keys.length > 0 ? 'bad-tag' : 'unknown-key', key);
    }
    const second = cookies.secondAt(now);
    if (!this.isOldEnough(key, second)) {
      // Its cookie would be void. The device sends its opening again.
      admission.refundHello(now);
      return reject('unknown-key', key);
    }
    this.admissions.credits.grant(sender);
    const open = readOpen(datagram);
    const grant = {
      ck: cookies.issue(second),
      quiet: quietOf(key, open.old),
      ns: cookies.nonceOf(key.v2Id, open.nd, second, sender),
    };
    this.awaited.issue(now);
    return { kind: 'grant', datagrams: [key.withBytes((bytes) => formatGrant(bytes, open, grant))] };
  }

  verify({ datagram, sender, now }: V2Arrival): VerifiedFirst | RejectedDecision {
    const { cookies } = this;
    const admission = this.admissions.ofStranger(sender, false, now);
    if (admission.admitRequest(now)) {
      return reject('request-rate');
    }
    const keys = this.keys.withV2Id(readKeyId(datagram, 'first'));
    const [first] = keys;
    if (!first) {
      return reject('unknown-key');
    }
    const ck = readCookie(datagram);
    const second = cookies.issuedAt(ck, now);
    if (second === undefined) {
      return reject('expired');
    }
    const nd = readNonce(datagram);
    const nonces = { nd, ck, ns: cookies.nonceOf(first.v2Id, nd, second, sender) };
    for (const key of keys) {
      const secret = secretOf(key, nonces, datagram);
      if (secret) {
        return { key, secret, admission, isKeyOldEnough: this.isOldEnough(key, second) };
      }
    }
    admission.countFailure(now);
    return reject('bad-tag');
  }

  /** Whether a key was accepted before a second began. In that very moment, it may have left and come back. */
  private isOldEnough(key: RingKey, second: number): boolean {
    return this.cookies.timeOf(second) > (this.addedAt.get(key) ?? -Infinity);
  }
}

/** The session secret, if it gives the right tag. */
function secretOf(key: RingKey, nonces: Nonces, datagram: Buffer): Buffer | undefined {
  const secret = key.withBytes((bytes) => sessionSecretOf(bytes, nonces));
  const tagKey = requestTagKeyOf(secret);
  const isRight = isRequestOf(tagKey, datagram);
  tagKey.fill(0);
  if (!isRight) {
    secret.fill(0);
    return undefined;
  }
  return secret;
}
