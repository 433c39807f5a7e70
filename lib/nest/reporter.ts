/**
 * Reports what happens on the wire: as events, on diagnostics channels, and as log lines.
 */
import { AsyncResource } from 'node:async_hooks';
import { type BenUdpRejection, type BenUdpRemote, REJECTIONS, type RejectedDecision } from '../exchange/index.js';
import { isError } from '../errors.js';
import type { BenUdpOutcome, EndedExchange } from '../server/index.js';
import type { BenUdpEvents, BenUdpExchange, BenUdpRejectedDatagram } from './ben-udp.events.js';
import type { Platform } from '../net/index.js';
import { exchangeChannel, rejectedChannel } from './diagnostics.js';
import type { GuardedEmitter } from './guarded-emitter.js';
import type { LimitedLog } from './limited-log.js';
import { describeError, describeSender, quotePattern } from './log-text.js';

/**
 * Rejections that are normal on a network. They are logged at level `debug`. The others need an operator: a key is wrong, or a limit
 * or the machine is too small.
 */
const ORDINARY_REJECTIONS: ReadonlySet<BenUdpRejection> = new Set<BenUdpRejection>([
  'unknown-datagram',
  'too-large',
  'bad-envelope',
  'bad-sizes',
  'no-way-back',
  'replayed',
  'duplicate-hello',
  'withheld',
  'expired',
  'closing',
  'bad-shape',
  'unknown-session',
  'duplicate-request',
]);

const WHY_UNSENT: Partial<Record<BenUdpOutcome, string>> = {
  late: 'the device has stopped waiting',
  superseded: 'the device has stopped waiting',
  unsent: 'the process has left its port, and has too many other replies to send',
};

/** The outcomes with a reply. */
const REPLIED: ReadonlySet<BenUdpOutcome> = new Set<BenUdpOutcome>(['answered', 'error-reply']);

export class Reporter {
  constructor(
    private readonly events: GuardedEmitter<BenUdpEvents>,
    private readonly log: LimitedLog,
    private readonly describePattern: (action: unknown) => string,
    private readonly platform: Pick<Platform, 'now' | 'wallClock'>,
  ) {}

  rejected(rejected: RejectedDecision, remote: BenUdpRemote): void {
    const { reason, device } = rejected;
    const level = ORDINARY_REJECTIONS.has(reason) ? 'debug' : 'warn';
    this.log.record(reason, level, () => describeRejection(rejected, remote));
    if (!this.events.hasListeners('rejected') && !rejectedChannel.hasSubscribers) {
      return;
    }
    const report: BenUdpRejectedDatagram = { reason, remote, device };
    this.events.emit('rejected', report);
    // In a separate scope, because a store that a subscriber enters would otherwise stay with the socket.
    new AsyncResource('BenUdpRejection').runInAsyncScope(() => rejectedChannel.publish(report));
  }

  ended(ended: EndedExchange): void {
    const { request, outcome, receivedAt, endedAt } = ended;
    const { action, device, remote, metadata, protocol } = request;
    const reason = WHY_UNSENT[outcome];
    if (reason) {
      const pattern = () => quotePattern(this.describePattern(action));
      this.log.record(outcome, 'warn', () => `The reply to ${pattern()} was not sent: ${reason} (${outcome})`);
    }
    if (!this.events.hasListeners('exchange') && !exchangeChannel.hasSubscribers) {
      return;
    }
    const pattern = this.describePattern(action);
    const { pairSentAt } = request;
    const epoch = this.platform.wallClock() - this.platform.now();
    const report: BenUdpExchange = {
      pattern,
      device,
      remote,
      metadata,
      protocol,
      outcome,
      durationMs: endedAt - receivedAt,
      pairSentAt: pairSentAt === -Infinity ? undefined : epoch + pairSentAt,
      receivedAt: epoch + receivedAt,
      verifiedAt: epoch + ended.verifiedAt,
      handlerAt: epoch + ended.handlerAt,
      repliedAt: REPLIED.has(outcome) ? epoch + endedAt : undefined,
    };
    this.events.emit('exchange', report);
    exchangeChannel.publish(report);
  }

  /** Reports a failure that the user must know about. */
  failed(error: unknown): void {
    this.logFailure(error);
    if (this.events.hasListeners('error')) {
      this.events.emit('error', isError(error) ? error : new Error(String(error)));
    }
  }

  /** Logs an error that every datagram may cause. */
  logFailure(error: unknown): void {
    const { code, name = 'unknown' } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
    this.log.record(`error ${code ?? name}`, 'error', () => describeError(error));
  }
}

/** Shows nothing of the content of the datagram except, if it verified, the mistake in its text. */
function describeRejection({ reason, device, error }: RejectedDecision, remote: BenUdpRemote): string {
  return `Datagram of ${describeSender(device, remote)} rejected: ${reason}, ${error?.message ?? REJECTIONS[reason]}`;
}
