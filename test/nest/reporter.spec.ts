import { describe, expect, it, onTestFinished } from 'vitest';
import type { RejectedDecision, VerifiedRequest } from '../../lib/exchange/index.js';
import type { BenUdpEvents } from '../../lib/nest/ben-udp.events.js';
import { exchangeChannel, rejectedChannel } from '../../lib/nest/diagnostics.js';
import { GuardedEmitter } from '../../lib/nest/guarded-emitter.js';
import { LimitedLog } from '../../lib/nest/limited-log.js';
import { Reporter } from '../../lib/nest/reporter.js';
import { FakePlatform } from '../support/fake-platform.js';
import { remoteOf } from '../support/pure-device.js';

const REMOTE = remoteOf('10.0.0.1', 7);

/** The process started at 1000000, and 5000 ms have passed since. */
const CLOCK = { now: () => 5000, wallClock: () => 1_005_000 };

const TIMES = { receivedAt: 4000, verifiedAt: 4000.25, handlerAt: 4000.5, endedAt: 4003 };

function create() {
  const lines: string[] = [];
  const failures: unknown[] = [];
  const events = new GuardedEmitter<BenUdpEvents>((error) => failures.push(error));
  const log = new LimitedLog(new FakePlatform(), (level, line) => lines.push(`${level} ${line}`));
  const described: unknown[] = [];
  const describePattern = (action: unknown) => {
    described.push(action);
    return `<${String(action)}>`;
  };
  return { reporter: new Reporter(events, log, describePattern, CLOCK), events, lines, failures, described };
}

const rejected = (reason: RejectedDecision['reason'], device?: string): RejectedDecision => ({
  kind: 'rejected',
  reason,
  device,
});

const REQUEST: VerifiedRequest = {
  action: 'echo',
  data: 'secret data',
  noreturn: false,
  metadata: { trace: '1' },
  droppedMetadata: 0,
  rid: undefined,
  remote: REMOTE,
  endpoint: 1,
  device: 'hall',
  text: 'secret text',
  protocol: 'v1',
  replyBytes: undefined,
  pairSentAt: 3990,
};

describe('Reporter', () => {
  it.each([
    ['replayed', 'debug'],
    ['unknown-datagram', 'debug'],
    ['bad-hash', 'warn'],
    ['busy', 'warn'],
  ] as const)('logs a rejection for %s at level %s', (reason, level) => {
    const { reporter, lines } = create();
    reporter.rejected(rejected(reason), REMOTE);
    expect(lines).toEqual([
      expect.stringMatching(new RegExp(`^${level} Datagram of 10.0.0.1:7 rejected: ${reason}, `)),
    ]);
  });

  it('names the device whose key verified', () => {
    const { reporter, lines } = create();
    reporter.rejected(rejected('bad-text', 'hall'), REMOTE);
    expect(lines[0]).toContain('Datagram of hall at 10.0.0.1:7 rejected');
  });

  it('reports a rejection to listeners and on its channel', () => {
    const { reporter, events } = create();
    const reports: unknown[] = [];
    const onMessage = (message: unknown) => void reports.push(message);
    rejectedChannel.subscribe(onMessage);
    onTestFinished(() => void rejectedChannel.unsubscribe(onMessage));
    events.on('rejected', (report) => reports.push(report));
    reporter.rejected(rejected('replayed', 'hall'), REMOTE);
    expect(reports).toEqual([
      { reason: 'replayed', remote: REMOTE, device: 'hall' },
      { reason: 'replayed', remote: REMOTE, device: 'hall' },
    ]);
  });

  it('reports no time for a reply that was not sent, and for a pair that is not known', () => {
    const { reporter, events } = create();
    const reports: unknown[] = [];
    events.on('exchange', (report) => reports.push(report));
    reporter.ended({ request: { ...REQUEST, pairSentAt: -Infinity }, outcome: 'event', ...TIMES });
    reporter.ended({ request: REQUEST, outcome: 'late', ...TIMES });
    reporter.ended({ request: REQUEST, outcome: 'error-reply', ...TIMES });
    expect(reports).toMatchObject([
      { pairSentAt: undefined, repliedAt: undefined },
      { pairSentAt: 1_003_990, repliedAt: undefined },
      { repliedAt: 1_004_003 },
    ]);
  });

  it('reports the end of a request, without its data', () => {
    const { reporter, events, lines } = create();
    const reports: unknown[] = [];
    const onMessage = (message: unknown) => void reports.push(message);
    exchangeChannel.subscribe(onMessage);
    onTestFinished(() => void exchangeChannel.unsubscribe(onMessage));
    events.on('exchange', (report) => reports.push(report));
    reporter.ended({ request: REQUEST, outcome: 'answered', ...TIMES });
    const report = {
      pattern: '<echo>',
      device: 'hall',
      remote: REMOTE,
      metadata: { trace: '1' },
      protocol: 'v1',
      outcome: 'answered',
      durationMs: 3,
      pairSentAt: 1_003_990,
      receivedAt: 1_004_000,
      verifiedAt: 1_004_000.25,
      handlerAt: 1_004_000.5,
      repliedAt: 1_004_003,
    };
    expect(reports).toEqual([report, report]);
    expect(lines).toEqual([]);
  });

  it('describes no pattern if nobody listens', () => {
    const { reporter, described } = create();
    reporter.ended({ request: REQUEST, outcome: 'answered', ...TIMES });
    expect(described).toEqual([]);
  });

  it.each(['late', 'superseded'] as const)('warns of a reply that was not sent: %s', (outcome) => {
    const { reporter, lines } = create();
    reporter.ended({ request: REQUEST, outcome, ...TIMES });
    expect(lines).toEqual([expect.stringContaining(`warn The reply to "<echo>" was not sent`)]);
  });

  it('logs a failure, and hands listeners an Error', () => {
    const { reporter, events, lines } = create();
    const errors: Error[] = [];
    events.on('error', (error) => errors.push(error));
    reporter.failed(new TypeError('broken'));
    reporter.failed('a text');
    expect(errors.map(({ name, message }) => [name, message])).toEqual([
      ['TypeError', 'broken'],
      ['Error', 'a text'],
    ]);
    expect(lines).toEqual([expect.stringContaining('broken'), 'error a text']);
  });

  it('needs no listener for a failure', () => {
    const { reporter, failures } = create();
    reporter.failed(new Error('broken'));
    expect(failures).toEqual([]);
  });

  it('limits the log lines of one error code, and keeps codes apart', () => {
    const { reporter, lines } = create();
    const failWith = (code: string) => reporter.logFailure(Object.assign(new Error(code), { code }));
    ['A', 'A', 'B'].forEach(failWith);
    expect(lines).toHaveLength(2);
  });
});
