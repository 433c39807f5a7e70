/**
 * Counts every datagram that arrives, as an answered hello, an accepted request, a copy of one, or a rejection with its reason. So nothing
 * is lost silently.
 */
import { type RecordableHistogram, createHistogram } from 'node:perf_hooks';
import { type BenUdpRejection, REJECTIONS } from '../exchange/index.js';

/** How an accepted request ended. */
export type BenUdpOutcome =
  /** The device was sent the result of the handler. */
  | 'answered'
  /** The device was sent an error reply. */
  | 'error-reply'
  /** There was an error, and the `errorReply` option says to send nothing. */
  | 'error-silent'
  /** The device did not wait, and its handlers have run. */
  | 'event'
  /** The device did not wait, and the handler failed or does not exist. */
  | 'event-failed'
  /** The reply was not sent, because the timeout of the device had passed. */
  | 'late'
  /** The reply was not sent, because the device had already sent its next hello or request. */
  | 'superseded'
  /** The reply was not sent, because the process has left a shared port and has too many other replies to send. */
  | 'unsent';

const OUTCOMES: readonly BenUdpOutcome[] = [
  'answered',
  'error-reply',
  'error-silent',
  'event',
  'event-failed',
  'late',
  'superseded',
  'unsent',
];

/** A snapshot of the counters since `listen`. */
export interface BenUdpStats {
  /** Datagrams that arrived: `hellos` + `requests` + `resent` + all of `rejected`. One whose key is searched for counts later. */
  readonly received: number;
  /** Answered hellos, and answered openings of protocol v2. */
  readonly hellos: number;
  /** Accepted requests: all of `outcomes` + those still `inFlight`. */
  readonly requests: number;
  /** Copies of requests of protocol v2 whose reply was sent again. */
  readonly resent: number;
  readonly rejected: Readonly<Record<BenUdpRejection, number>>;
  /**
   * The rejected datagrams whose hash was right, by the device of the key. Lists at most 4096 devices that have their own key and had a
   * rejection.
   */
  readonly rejectedByDevice: Readonly<Record<string, Readonly<Partial<Record<BenUdpRejection, number>>>>>;
  readonly outcomes: Readonly<Record<BenUdpOutcome, number>>;
  /** Datagrams that the system refused to send: no route to their address, for example. */
  readonly sendErrors: number;
  /** Dropped entries of request metadata: not a text, too long, or too many. */
  readonly droppedMetadata: number;
  /** Requests whose handlers run or whose replies are being sent. */
  readonly inFlight: number;
  /** Milliseconds from a request to its reply, or to the end of its handlers; 0 before the first. */
  readonly handlerMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Remembered endpoints (address and port) that verified. */
  readonly endpoints: number;
  /** Sessions of protocol v2. */
  readonly sessions: number;
}

/** Devices whose rejections are counted separately. An app may have many device names over time. */
export const MAX_DEVICES_WITH_REJECTIONS = 4096;

const MICROSECONDS_PER_MS = 1000;
const LONGEST_RECORDED_MS = 3_600_000;

export class Statistics {
  received = 0;
  private hellos = 0;
  private requests = 0;
  private resent = 0;
  private ended = 0;
  private sendErrors = 0;
  private droppedMetadata = 0;
  private readonly rejected = zeros(Object.keys(REJECTIONS) as BenUdpRejection[]);
  /** Bounded by `MAX_DEVICES_WITH_REJECTIONS`. */
  private readonly rejectedByDevice = new Map<string, Map<BenUdpRejection, number>>();
  private readonly outcomes = zeros(OUTCOMES);
  private readonly handlerTime: RecordableHistogram = createHistogram({
    highest: LONGEST_RECORDED_MS * MICROSECONDS_PER_MS,
  });

  countHello(): void {
    this.received++;
    this.hellos++;
  }

  countResent(): void {
    this.received++;
    this.resent++;
  }

  /** @param device the device whose key verified the datagram, if one did. */
  countRejected(reason: BenUdpRejection, device?: string): void {
    this.received++;
    this.rejected[reason]++;
    if (device !== undefined) {
      const counts = this.countsOf(device);
      counts?.set(reason, (counts.get(reason) ?? 0) + 1);
    }
  }

  countRequest(droppedMetadata: number): void {
    this.received++;
    this.requests++;
    this.droppedMetadata += droppedMetadata;
  }

  countSendError(): void {
    this.sendErrors++;
  }

  countOutcome(outcome: BenUdpOutcome, durationMs: number): void {
    this.ended++;
    this.outcomes[outcome]++;
    const bounded = Math.min(durationMs, LONGEST_RECORDED_MS);
    this.handlerTime.record(Math.max(1, Math.round(bounded * MICROSECONDS_PER_MS)));
  }

  /** `undefined` beyond `MAX_DEVICES_WITH_REJECTIONS`. */
  private countsOf(device: string): Map<BenUdpRejection, number> | undefined {
    const existing = this.rejectedByDevice.get(device);
    if (existing || this.rejectedByDevice.size >= MAX_DEVICES_WITH_REJECTIONS) {
      return existing;
    }
    const created = new Map<BenUdpRejection, number>();
    this.rejectedByDevice.set(device, created);
    return created;
  }

  snapshot(endpoints: number, sessions = 0): BenUdpStats {
    const { handlerTime } = this;
    const ms = (microseconds: number) => (this.ended === 0 ? 0 : microseconds / MICROSECONDS_PER_MS);
    return {
      received: this.received,
      hellos: this.hellos,
      requests: this.requests,
      resent: this.resent,
      rejected: { ...this.rejected },
      rejectedByDevice: Object.fromEntries(
        Array.from(this.rejectedByDevice, ([device, counts]) => [device, Object.fromEntries(counts)]),
      ),
      outcomes: { ...this.outcomes },
      sendErrors: this.sendErrors,
      droppedMetadata: this.droppedMetadata,
      inFlight: this.requests - this.ended,
      handlerMs: {
        p50: ms(handlerTime.percentile(50)),
        p99: ms(handlerTime.percentile(99)),
        max: ms(handlerTime.max),
      },
      endpoints,
      sessions,
    };
  }
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
