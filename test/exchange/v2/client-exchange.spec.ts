/** The times of a device. server-exchange.spec.ts, topologies.spec.ts and the models play it against servers. */
import { describe, expect, it } from 'vitest';
import { V2ClientExchange } from '../../../lib/exchange/v2/client-exchange.js';
import { SESSION_MS, V2_TYPE, formatAgain, formatGrant, readOpen } from '../../../lib/protocol/v2/index.js';
import { KEY } from '../../support/pure-device.js';
import { ECHO, PureV2Device } from '../../support/v2-device.js';
import { createV2Server, datagramOf } from '../../support/v2-server.js';

const fill = (byte: number) => (target: Uint8Array) => void target.fill(byte);

function waitsOf(byte: number, timeoutMs: number): number[] {
  const client = new V2ClientExchange({ key: KEY, bufferSize: 1536, random: fill(byte) });
  const waits: number[] = [];
  let decision = client.begin(ECHO, false, 0, timeoutMs);
  for (; decision.kind === 'send'; decision = client.elapse()) {
    waits.push(decision.waitMs);
  }
  expect(decision).toEqual({ kind: 'failed', failure: 'no-answer' });
  return waits;
}

describe('V2ClientExchange', () => {
  it.each([
    { jitter: -0.25, byte: 0, timeoutMs: 15_000, waits: [750, 1500, 3000, 3000, 3000] },
    { jitter: 0.25, byte: 0xff, timeoutMs: 15_000, waits: [1250, 2500, 5000, 5000, 5000] },
    { jitter: 0.25, byte: 0xff, timeoutMs: 60_000, waits: [1250, 2500, 5000, 5000, 5000] },
    { jitter: -0.25, byte: 0, timeoutMs: 1500, waits: [75, 150, 300, 300, 300] },
  ])('sends five times within $timeoutMs ms, with a jitter of $jitter', ({ byte, timeoutMs, waits }) => {
    expect(waitsOf(byte, timeoutMs)).toEqual(waits);
  });

  /** A device that has sent a request, and asks whether it ran. */
  function ask(wall = { clock: 0 }) {
    const device = new PureV2Device(createV2Server());
    Object.assign((device.client as unknown as { options: object }).options, { wallClock: () => wall.clock });
    device.exchange(0);
    device.begin(10_000);
    const open = device.next(formatAgain(device.sent.subarray(2, 10)), 10_100);
    const answer = (quiet: number, now: number) =>
      device.receive(formatGrant(KEY, readOpen(open), { ck: Buffer.alloc(3), quiet, ns: Buffer.alloc(16) }), now);
    return { device, wall, answer };
  }

  it.each([
    { quiet: 2199, kind: 'failed' },
    { quiet: 2200, kind: 'send' },
    { quiet: 30_000, kind: 'send' },
    { quiet: 30_001, kind: 'failed' },
    { quiet: 65_534, kind: 'failed' },
    { quiet: 65_535, kind: 'send' },
  ])(
    'takes a session that was quiet for $quiet ms, 1.2 s after its request, for proof that it did not run: $kind',
    ({ quiet, kind }) => {
      expect(ask().answer(quiet, 11_200).kind).toBe(kind);
    },
  );

  it.each([
    { jump: 700, kind: 'send' },
    { jump: 1700, kind: 'send' },
    { jump: 1701, kind: 'failed' },
    { jump: -3_600_000, kind: 'send' },
  ])(
    'counts the time in which the machine was suspended, if its wall clock moved by $jump ms: $kind',
    ({ jump, kind }) => {
      const { wall, answer } = ask();
      wall.clock += jump;
      // By the monotonic clock, 1.2 s have passed. The wall clock counts if it shows more than half a second more.
      expect(answer(2200, 11_200).kind).toBe(kind);
    },
  );

  it.each([
    { grantAt: SESSION_MS, type: V2_TYPE.further },
    { grantAt: SESSION_MS + 1, type: V2_TYPE.first },
  ])(
    'goes on with a session in doubt only if its day is not over when the server knows it: $grantAt',
    ({ grantAt, type }) => {
      const device = new PureV2Device(createV2Server());
      device.exchange(0);
      // A session that a request has kept alive.
      device.exchange(SESSION_MS - 20);
      device.begin(SESSION_MS - 10);
      for (let each = device.client.elapse(); each.kind === 'send';) {
        each = device.client.elapse();
      }
      device.begin(SESSION_MS - 5);
      expect(device.next(datagramOf(device.deliver(grantAt))!, grantAt)[1]).toBe(type);
    },
  );

  it('uses a session for a day, and no number beyond the last', () => {
    for (const [now, ctr, phase] of [
      [SESSION_MS, 1, 'waiting'],
      [SESSION_MS + 1, 1, 'opening'],
      [1, 2 ** 30 - 2, 'waiting'],
      [1, 2 ** 30 - 1, 'opening'],
    ] as const) {
      const device = new PureV2Device(createV2Server());
      device.exchange(0);
      Object.assign((device.client as unknown as { session: object }).session, { ctr });
      device.begin(now);
      expect([now, ctr, device.client.phase]).toEqual([now, ctr, phase]);
    }
  });
});
