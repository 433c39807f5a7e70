/**
 * Openings: answers an OPEN, and checks the REQ1 that follows from it. Nothing is kept in between.
 */
import type { KeyRing, RingKey } from '../../keys/index.js';
import {
  FLAGS_AT,
  formatGrant,
  isOpenOf,
  isRequestOf,
  type Nonces,
  readKeyId,
  readOpen,
  requestTagKeyOf,
  sessionSecretOf,
} from '../../protocol/v2/index.js';
import type { Decision, RejectedDecision } from '../decision.js';
import type { Admission } from '../limits/admission.js';
import type { Gate } from '../limits/gate.js';
import type { BenUdpRejection } from '../rejection.js';
import type { Sender } from '../remote.js';
import type { Cookies } from './cookies.js';

/** A datagram that arrived. */
export interface Arrival {
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
  /** Whether the key was accepted when the cookie was issued. If not, its sessions from then have ended, and their requests are void. */
  readonly isKeyOldEnough: boolean;
}

export class Openings {
  isClosing = false;
  /** When a key that was not there from the beginning was added. */
  private readonly addedAt = new WeakMap<RingKey, number>();

  constructor(
    private keys: KeyRing,
    private readonly cookies: Cookies,
    private readonly gate: Gate,
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

  /** @param quietOf for how long a session has executed nothing. */
  answer({ datagram, sender, now }: Arrival, quietOf: (key: RingKey, old: Buffer) => number): Decision {
    const { cookies } = this;
    const admission = this.gate.ofStranger(sender, false, true, now);
    if (admission.admitHello(now)) {
      return reject('open-rate');
    }
    const keys = this.keys.withV2Id(readKeyId(datagram, 'open'));
    const key = keys.find((each) => each.withBytes((bytes) => isOpenOf(bytes, datagram)));
    if (!key || this.isClosing) {
      // No answer is sent, so none is counted: junk in the name of a board must not lock it out.
      admission.refundHello(now);
      return reject(key ? 'closing' : keys.length > 0 ? 'bad-tag' : 'unknown-key', key);
    }
    const open = readOpen(datagram);
    const second = cookies.secondAt(now);
    const grant = {
      ck: cookies.issue(second),
      quiet: quietOf(key, open.old),
      ns: cookies.nonceOf(key.v2Id, open.nd, second, sender),
    };
    return { kind: 'grant', datagrams: [key.withBytes((bytes) => formatGrant(bytes, open, grant))] };
  }

  verify({ datagram, sender, now }: Arrival): VerifiedFirst | RejectedDecision {
    const { cookies } = this;
    const admission = this.gate.ofStranger(sender, false, true, now);
    if (admission.admitRequest(now)) {
      return reject('request-rate');
    }
    const keys = this.keys.withV2Id(readKeyId(datagram, 'first'));
    const [first] = keys;
    if (!first) {
      return reject('unknown-key');
    }
    const ck = datagram.subarray(2, 5);
    const second = cookies.issuedAt(ck, now);
    if (second === undefined) {
      return reject('expired');
    }
    const nd = datagram.subarray(13, FLAGS_AT.first);
    const nonces = { nd, ck, ns: cookies.nonceOf(first.v2Id, nd, second, sender) };
    for (const key of keys) {
      const secret = secretOf(key, nonces, datagram);
      if (secret) {
        return { key, secret, admission, isKeyOldEnough: cookies.timeOf(second) >= this.beganAt(key) };
      }
    }
    admission.countFailure(now);
    return reject('bad-tag');
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

function reject(reason: BenUdpRejection, key?: RingKey): RejectedDecision {
  return { kind: 'rejected', reason, device: key?.device };
}
