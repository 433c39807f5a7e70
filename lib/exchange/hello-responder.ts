/**
 * Answers hellos. The answer is a pair, or less of it if the device has unread datagrams, or nothing if the hello is a copy.
 */
import type { Hmac } from '../protocol/index.js';
import { AwaitedRequests } from './awaited-requests.js';
import { type Arrival, type Decision, reject } from './decision.js';
import { DUPLICATE_HELLO_MS, type Endpoint, type HelloAnswer, MAX_STRAYS } from './endpoint.js';
import { NO_BACKLOG, afterHello, awaitsRequest, isWithheld } from './ids/backlog.js';
import type { HelloCache } from './ids/hello-cache.js';
import { LIVE_SLOTS, derivePair, toPair } from './ids/id-pair.js';
import type { PairHistory } from './ids/pair-history.js';
import type { Admissions } from './limits/admissions.js';
import type { ReplySlots } from './reply-slots.js';

/**
 * The share of the device timeout in which a hello can't mean that the device gave up. If a reply is due in this time, the hello is
 * a copy or forged, and the device would read its answer as the reply.
 */
const PATIENCE_SHARE = 0.1;

/** The same after hellos were forged, and for the use of an earlier pair: nearly the whole timeout. */
const SUSPICIOUS_SHARE = 0.9;

/** The share of the device timeout for which a hello may wait to be read. */
const STALE_SHARE = 0.2;

export class HelloResponder {
  private isStopped = false;
  private readonly awaited = new AwaitedRequests();

  constructor(
    private readonly secret: Hmac,
    private readonly hellos: HelloCache,
    private readonly admissions: Admissions,
    private readonly slots: ReplySlots,
    private readonly deviceTimeoutMs: number,
    private readonly repair: boolean,
  ) {}

  /** Refuses hellos from now on. */
  stop(): void {
    this.isStopped = true;
  }

  /** Whether a request may be on its way for a pair that was sent a moment ago. */
  awaitsRequests(now: number): boolean {
    return this.awaited.isAny(now);
  }

  /** Records that a request has used a pair. */
  recordUse(now: number): void {
    this.awaited.use(now);
  }

  answer(arrival: Arrival, known: Endpoint | undefined): Decision {
    if (this.isStopped) {
      return reject('closing');
    }
    if (arrival.waited > this.deviceTimeoutMs * STALE_SHARE) {
      return reject('stale-hello');
    }
    return known ? this.answerKnown(known, arrival) : this.answerStranger(arrival);
  }

  private answerStranger({ sender, now, slot, isOwn }: Arrival): Decision {
    const { name } = sender;
    const hello = this.hellos.get(name);
    const rejection =
      hello && this.isDuplicate(hello, DUPLICATE_HELLO_MS, now)
        ? 'duplicate-hello'
        : this.admissions.ofStranger(sender, isOwn, now).admitHello(now);
    if (rejection) {
      return reject(rejection);
    }
    this.admissions.credits.grant(sender);
    const backlog = this.repair && hello ? hello.backlog : NO_BACKLOG;
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
    const rejection = isDuplicate ? 'duplicate-hello' : this.admissions.ofKnown(endpoint).admitHello(now);
    if (rejection) {
      return reject(rejection);
    }
    const isStray = this.isStray(endpoint, slot, now);
    this.slots.beginTurn(endpoint, undefined);
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
    const share = endpoint.isSuspect(now) ? SUSPICIOUS_SHARE : PATIENCE_SHARE;
    return waitingSince !== undefined && now - waitingSince < this.deviceTimeoutMs * share;
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
      // After that, the device may have given up.
      now - sentAt < this.deviceTimeoutMs * SUSPICIOUS_SHARE
    );
  }

  private answerTo(endpoint: Endpoint, now: number): HelloAnswer {
    if (!this.repair) {
      return 'pair';
    }
    return isWithheld(endpoint.backlog) ? 'nothing' : endpoint.takeAnswer(now);
  }

  private isDuplicate({ sentAt }: PairHistory, within: number, now: number): boolean {
    return now - sentAt < Math.min(within, this.deviceTimeoutMs * PATIENCE_SHARE);
  }

  private sendPair(derived: string, isSingle: boolean, now: number): Decision {
    this.awaited.issue(now);
    const { ciphertext, iv } = toPair(derived);
    return { kind: 'pair', datagrams: isSingle ? [ciphertext] : [ciphertext, iv] };
  }
}
