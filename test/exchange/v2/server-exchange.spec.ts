import { createCipheriv, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { VERIFIED_SOURCE_MS } from '../../../lib/exchange/limits/verified-sources.js';
import { FAILURES_PER_HELLO } from '../../../lib/exchange/limits/request-credits.js';
import { MAX_RESENDS, REPLY_MS } from '../../../lib/exchange/v2/kept-replies.js';
import { LATE_MS } from '../../../lib/exchange/v2/session.js';
import { QUIET_MS, SESSIONS_PER_KEY } from '../../../lib/exchange/v2/session-table.js';
import { MAX_V2_SESSIONS } from '../../../lib/client/index.js';
import { COOKIE_S } from '../../../lib/exchange/v2/cookies.js';
import { KeyRing } from '../../../lib/keys/index.js';
import { SESSION_MS, V2_TYPE, formatAgain } from '../../../lib/protocol/v2/index.js';
import { KEY, OTHER_KEY, remoteOf } from '../../support/pure-device.js';
import { ECHO, PureV2Device } from '../../support/v2-device.js';
import { accepted, createV2Server, datagramOf, outcomeOf, tokenOf } from '../../support/v2-server.js';

const BUSY = '{"data":null,"error":{"status":"error","message":"busy"}}';

const SHARED = [{ device: undefined, key: KEY }];
const TWO = [
  { device: 'kitchen', key: KEY },
  { device: 'cellar', key: OTHER_KEY },
];

/** A server and a device with a session, whose first request was answered at 0. */
function start(options: Parameters<typeof createV2Server>[0] = {}) {
  const server = createV2Server(options);
  const device = new PureV2Device(server);
  device.exchange(0);
  return { server, device };
}

interface ClientSession {
  readonly sid: Buffer;
  readonly secret: { expose(): Buffer };
}

const sessionOf = ({ client }: PureV2Device) => (client as unknown as { session: ClientSession }).session;

const sidOf = (device: PureV2Device) => sessionOf(device).sid;

/** A REQ of a device with any plaintext, of whole blocks. */
function sealAs(device: PureV2Device, plaintext: Buffer, ctr: number): Buffer {
  const { sid, secret } = sessionOf(device);
  const [textKey, tagKey] = [secret.expose().subarray(0, 32), secret.expose().subarray(32, 64)];
  const number = Buffer.alloc(16);
  number.writeUInt32BE(ctr);
  const sealed = createCipheriv('aes-256-cbc', textKey, Buffer.alloc(16))
    .setAutoPadding(false)
    .update(Buffer.concat([number, plaintext]))
    .subarray(16);
  const head = Buffer.concat([Buffer.of(0xb2, 4), sid, number.subarray(0, 4), Buffer.alloc(4), Buffer.of(0x20)]);
  const body = Buffer.concat([head, sealed]);
  return Buffer.concat([body, createHmac('sha256', tagKey).update(body).digest().subarray(0, 16)]);
}

describe('an exchange of protocol v2', () => {
  it('takes 4 datagrams at first, then 2, and gives the device what the handler returned', () => {
    const server = createV2Server();
    const device = new PureV2Device(server);
    expect(device.begin(0)[1]).toBe(V2_TYPE.open);
    const grant = datagramOf(device.deliver(0))!;
    expect(device.next(grant, 0)[1]).toBe(V2_TYPE.first);
    const reply = device.answer(accepted(device.deliver(0)), 0, '{"data":"hello"}');
    expect(device.receive(reply, 0)).toEqual({ kind: 'done', text: '{"data":"hello"}' });
    expect(device.begin(1)[1]).toBe(V2_TYPE.further);
    expect(device.receive(device.answer(accepted(device.deliver(1)), 1), 1)).toEqual({
      kind: 'done',
      text: '{"data":1}',
    });
  });

  it('gives the handler the request, the device and the protocol', () => {
    const { device } = start();
    expect(accepted(device.ask(1, "{'action': 'echo', 'data': [1]}")).request).toEqual({
      action: 'echo',
      data: [1],
      noreturn: false,
      remote: device.remote,
      endpoint: expect.any(Number),
      device: 'board',
      text: "{'action': 'echo', 'data': [1]}",
      metadata: undefined,
      droppedMetadata: 0,
      protocol: 'v2',
      replyBytes: 1536 - 23,
      pairSentAt: -Infinity,
    });
  });

  it('keeps nothing for an opening', () => {
    const server = createV2Server();
    for (let opening = 0; opening < 30; opening++) {
      const device = new PureV2Device(server);
      device.begin(opening * 100);
      expect(device.deliver(opening * 100).kind).toBe('grant');
    }
    expect([server.sessionCount, server.keptBytes]).toEqual([0, 0]);
  });

  it('acknowledges a noreturn request at once, before its handler ends', () => {
    const { device } = start();
    const decision = accepted(device.ask(1, ECHO, true));
    expect(decision.request.noreturn).toBe(true);
    const copy = device.deliver(2);
    expect([copy.kind, datagramOf(copy)]).toEqual(['resent', datagramOf(decision)]);
    expect(device.receive(datagramOf(decision)!, 2)).toEqual({ kind: 'done', text: undefined });
  });

  it('identifies the device by the key, also behind one address and port', () => {
    const server = createV2Server({ keys: TWO });
    const [kitchen, cellar] = [KEY, OTHER_KEY].map((key) => new PureV2Device(server, remoteOf('10.0.0.1'), key));
    expect(accepted(kitchen!.ask(0)).request.device).toBe('kitchen');
    expect(accepted(cellar!.ask(0)).request.device).toBe('cellar');
  });

  it('is settled by the tag if two keys have one id', () => {
    const ring = new KeyRing(TWO);
    const [kitchen, cellar] = ring.keys;
    Object.assign(kitchen!, { v2Id: cellar!.v2Id });
    const server = createV2Server({ keys: TWO });
    server.useKeys(ring, 0);
    const device = new PureV2Device(server, remoteOf('10.0.0.1'), OTHER_KEY);
    expect(accepted(device.ask(1000)).request.device).toBe('cellar');
  });

  it('goes on if the address of the board changes between two requests', () => {
    const { device } = start();
    device.begin(1);
    const moved = device.deliver(1, device.sent, remoteOf('192.0.2.7', 9));
    expect(accepted(moved).request.remote.address).toBe('192.0.2.7');
  });

  it('does not, if it changes between OPEN and REQ1: the address is part of the cookie', () => {
    const server = createV2Server();
    const device = new PureV2Device(server);
    device.begin(0);
    device.next(datagramOf(device.deliver(0))!, 0);
    expect(outcomeOf(device.deliver(0, device.sent, remoteOf('10.0.0.2')))).toBe('bad-tag');
    expect(outcomeOf(device.deliver(0, device.sent, remoteOf('10.0.0.1', 999)))).toBe('request');
  });

  it.each(['2001:db8::1', '::ffff:10.0.0.1', 'fe80::1%eth0', '64:ff9b::192.0.2.1'])('works for %s', (address) => {
    const device = new PureV2Device(createV2Server(), remoteOf(address));
    expect(device.ask(0).kind).toBe('request');
  });

  it.each([
    ['of port 0', remoteOf('10.0.0.1', 0)],
    ['of a multicast address', remoteOf('224.0.0.1')],
  ])('is not begun with a sender %s', (_name, remote) => {
    const device = new PureV2Device(createV2Server(), remote);
    expect(outcomeOf(device.ask(0))).toBe('no-way-back');
  });

  it('reads a datagram of maxDatagramBytes, and none that is longer', () => {
    const server = createV2Server({ maxDatagramBytes: 50 });
    expect(outcomeOf(server.receive(Buffer.alloc(50, 0xb2), remoteOf('10.0.0.1'), 0))).toBe('bad-shape');
    expect(outcomeOf(server.receive(Buffer.alloc(51, 0xb2), remoteOf('10.0.0.1'), 0))).toBe('too-large');
  });

  it('replaces a reply that the device can not receive, and sends one that it just can', () => {
    const server = createV2Server();
    const device = new PureV2Device(server, remoteOf('10.0.0.1'), KEY, 512);
    const room = 479 - '{"data":""}'.length;
    const textOf = (length: number) => `{"data":"${'x'.repeat(length)}"}`;
    expect(device.exchange(0, ECHO, textOf(room))).toEqual({ kind: 'done', text: textOf(room) });
    const { text } = device.exchange(1, ECHO, textOf(room + 1)) as { text: string };
    expect(JSON.parse(text)).toMatchObject({ data: null, error: { message: expect.stringMatching(/longer/) } });
  });
});

describe('a copy of a request', () => {
  it('is dropped while the handler runs, then gets the same bytes', () => {
    const { device } = start();
    const first = accepted(device.ask(1));
    expect(outcomeOf(device.deliver(2))).toBe('duplicate-request');
    const reply = device.answer(first, 3);
    const copy = device.deliver(4, device.sent, remoteOf('192.0.2.1'));
    expect([copy.kind, datagramOf(copy)]).toEqual(['resent', reply]);
  });

  it('of the first request of a session is treated in the same way', () => {
    const server = createV2Server();
    const device = new PureV2Device(server);
    const first = accepted(device.ask(0));
    expect(outcomeOf(device.deliver(1))).toBe('duplicate-request');
    const reply = device.answer(first, 2);
    expect(datagramOf(device.deliver(3))).toEqual(reply);
    expect(server.sessionCount).toBe(1);
  });

  it(`is answered ${MAX_RESENDS} times`, () => {
    const { device } = start();
    device.answer(accepted(device.ask(1)), 1);
    const outcomes = Array.from({ length: MAX_RESENDS + 1 }, () => outcomeOf(device.deliver(2)));
    expect(outcomes).toEqual([...Array<string>(MAX_RESENDS).fill('resent'), 'resend-limit']);
  });

  it(`is answered for ${REPLY_MS} ms`, () => {
    const { device, server } = start();
    device.answer(accepted(device.ask(1)), 1);
    expect(outcomeOf(device.deliver(1 + REPLY_MS))).toBe('resent');
    expect(outcomeOf(device.deliver(2 + REPLY_MS))).toBe('reply-forgotten');
    expect(server.keptBytes).toBe(0);
  });

  it('is dropped, and not executed, if its reply was forgotten because others needed the bytes', () => {
    const server = createV2Server({ maxResultBytes: 3000, keys: TWO });
    const device = new PureV2Device(server);
    const other = new PureV2Device(server, remoteOf('10.0.0.2'), OTHER_KEY);
    device.answer(accepted(device.ask(0)), 0, `{"data":"${'x'.repeat(1400)}"}`);
    expect(outcomeOf(device.deliver(1))).toBe('resent');
    other.answer(accepted(other.ask(1)), 1, `{"data":"${'x'.repeat(1400)}"}`);
    expect(outcomeOf(device.deliver(2))).toBe('reply-forgotten');
    expect(outcomeOf(other.deliver(2))).toBe('resent');
    expect(server.keptBytes).toBeLessThanOrEqual(3000);
  });

  it('is dropped if a later request began, whose reply alone is sent', () => {
    const { device, server } = start();
    const slow = accepted(device.ask(1));
    const copy = device.sent;
    device.client.abandon();
    const next = new PureV2Device(server);
    next.exchange(2);
    expect(outcomeOf(device.deliver(3, copy))).toBe('duplicate-request');
    expect(device.answer(slow, 4)).toBeInstanceOf(Buffer);
    expect(outcomeOf(device.deliver(5, copy))).toBe('resent');
  });

  it('with other contents is dropped: the device lost its state', () => {
    const { device } = start();
    const session = (device.client as unknown as { session: { ctr: number } }).session;
    device.answer(accepted(device.ask(1)), 1);
    session.ctr = 1;
    device.begin(2, "{'action': 'other'}");
    expect(outcomeOf(device.deliver(2))).toBe('counter-reused');
  });

  it('of an earlier request is dropped', () => {
    const { device } = start();
    device.exchange(1);
    const { sent } = device;
    device.exchange(2);
    expect(outcomeOf(device.deliver(3, sent))).toBe('replayed');
  });

  it('discards the reply to a request that a later one replaced', () => {
    const { device, server } = start();
    const slow = accepted(device.ask(1));
    Object.assign(device.client, { currentPhase: 'idle' });
    device.ask(2);
    expect(server.reply(tokenOf(slow), '{"data":1}', 3)).toBe('superseded');
    server.finish(tokenOf(slow), 3);
    expect(outcomeOf(device.deliver(4))).toBe('duplicate-request');
  });
});

describe('a watched request', () => {
  it('tells when its device gives up, and that it no longer waits after the next request', () => {
    const { device, server } = start();
    const slow = tokenOf(device.ask(1));
    let calls = 0;
    expect(server.watch(slow, () => calls++)).toBe(18_751);
    Object.assign(device.client, { currentPhase: 'idle' });
    device.ask(2);
    expect([calls, server.watch(slow, () => calls++)]).toEqual([1, -Infinity]);
  });

  it('is told if its session ends, and nothing after its own end', () => {
    const { device, server } = start();
    const slow = accepted(device.ask(1));
    let calls = 0;
    server.watch(tokenOf(slow), () => calls++);
    device.answer(slow, 2);
    device.exchange(3);
    expect(calls).toBe(0);
    server.watch(tokenOf(device.ask(4)), () => calls++);
    server.useKeys(new KeyRing([{ device: 'cellar', key: OTHER_KEY }]), 5);
    expect(calls).toBe(1);
  });

  it('never waits if it is noreturn', () => {
    const { device, server } = start();
    expect(server.watch(tokenOf(device.ask(1, ECHO, true)), () => undefined)).toBe(Infinity);
  });
});

describe('the order of a session', () => {
  it('refuses a request that was held back, and uses its number up', () => {
    const { device, server } = start();
    device.begin(1);
    const held = device.sent;
    const refused = device.deliver(2 + LATE_MS + 5);
    expect(outcomeOf(refused)).toBe('late-request');
    expect(datagramOf(device.deliver(2 + LATE_MS + 6))).toEqual(datagramOf(refused));
    expect(device.next(datagramOf(refused)!, 0)[1]).toBe(V2_TYPE.open);
    expect(outcomeOf(server.receive(held, device.remote, 60_000))).toBe('reply-forgotten');
  });

  it('accepts one that was held back for just less', () => {
    const { device } = start();
    device.begin(0);
    expect(outcomeOf(device.deliver(LATE_MS))).toBe('request');
  });

  it('allows the clock of a device to fall behind by 200 ppm, and no more', () => {
    for (const [ppm, outcome] of [
      [150, 'request'],
      [600, 'late-request'],
    ] as const) {
      const { device } = start();
      const day = 80_000_000;
      device.begin(day);
      const behind = (day * ppm) / 1e6;
      expect(outcomeOf(device.deliver(day + behind)), String(ppm)).toBe(outcome);
    }
  });

  it.each([
    ['a further request', true, false],
    ['a further request that is noreturn', true, true],
    ['the first request of a session', false, false],
  ])('answers %s that finds all handlers busy, and uses its number up', (_name, hasSession, noreturn) => {
    const server = createV2Server({ keys: TWO, inFlight: { maxInFlight: 4 } });
    const device = new PureV2Device(server);
    if (hasSession) {
      device.exchange(0);
    }
    const slow = Array.from({ length: 3 }, () => accepted(new PureV2Device(server, undefined, OTHER_KEY).ask(1)));
    slow.push(accepted(new PureV2Device(server).ask(1)));
    const busy = device.ask(4, ECHO, noreturn);
    expect(outcomeOf(busy)).toBe('busy');
    const reply = (server.reply(tokenOf(busy), BUSY, 4) as Buffer[])[0]!;
    server.finish(tokenOf(busy), 4);
    slow.forEach((each) => device.answer(each, 5));
    const copy = device.deliver(6);
    expect([copy.kind, datagramOf(copy)]).toEqual(['resent', reply]);
    expect(device.receive(reply, 6)).toEqual({ kind: 'done', text: BUSY });
    expect(device.ask(7).kind).toBe('request');
  });

  it('is kept by a session whose first request found all handlers busy: a late request is refused', () => {
    const server = createV2Server({ inFlight: { maxInFlight: 1 } });
    const slow = accepted(new PureV2Device(server).ask(0));
    const device = new PureV2Device(server);
    const busy = device.ask(0);
    device.receive((server.reply(tokenOf(busy), BUSY, 0) as Buffer[])[0]!, 0);
    server.finish(tokenOf(busy), 0);
    device.answer(slow, 0);
    device.begin(1);
    expect(outcomeOf(device.deliver(2 + LATE_MS + 5))).toBe('late-request');
  });

  it('queues a noreturn request if its session has its share of handlers, and runs it later', () => {
    const { device, server } = start({ inFlight: { maxInFlightPerDevice: 1 } });
    const slow = accepted(device.ask(1));
    Object.assign(device.client, { currentPhase: 'idle' });
    const queued = accepted(device.ask(2, ECHO, true));
    let hasStarted = false;
    server.whenFree(tokenOf(queued), () => (hasStarted = true));
    expect([hasStarted, datagramOf(queued)?.length]).toEqual([false, 23]);
    server.finish(tokenOf(slow), 3);
    expect(hasStarted).toBe(true);
  });

  it.each([
    ["{'action': ", 'bad-text'],
    ['[1]', 'bad-request'],
  ])('uses the number of the unreadable request %s up, and answers it', (text, reason) => {
    const { device, server } = start();
    const decision = device.ask(1, text);
    expect(outcomeOf(decision)).toBe(reason);
    const reply = server.reply(tokenOf(decision), '{"data":null,"error":1}', 1) as Buffer[];
    server.finish(tokenOf(decision), 1);
    expect(datagramOf(device.deliver(2))).toEqual(reply[0]);
    expect(device.receive(reply[0]!, 2)).toMatchObject({ kind: 'done' });
  });

  it.each([
    ['bad-padding', Buffer.from("{'action': 'a'}!")],
    ['bad-utf8', Buffer.from([...Buffer.from("{'action': '"), 0xff, 0x27, 0x7d, 0x20])],
  ])('uses the number of a sealed text with %s up', (reason, text) => {
    const { device, server } = start();
    const request = sealAs(device, text, 2);
    const decision = server.receive(request, device.remote, 1);
    expect(outcomeOf(decision)).toBe(reason);
    server.finish(tokenOf(decision), 1);
    expect(outcomeOf(server.receive(request, device.remote, 2))).toBe('reply-forgotten');
  });

  it('drops a copy of an unreadable request that gets no answer', () => {
    const { device, server } = start();
    const decision = device.ask(1, '[1]');
    server.finish(tokenOf(decision), 1);
    expect(outcomeOf(device.deliver(2))).toBe('reply-forgotten');
  });
});

describe('a server that closes', () => {
  it('answers no opening, refuses requests, and sends the replies of running ones', () => {
    const { device, server } = start();
    const running = new PureV2Device(server);
    const decision = accepted(running.ask(1));
    const opening = new PureV2Device(server);
    opening.begin(1);
    opening.next(datagramOf(opening.deliver(1))!, 1);
    server.stopIssuing();
    expect(outcomeOf(new PureV2Device(server).ask(2))).toBe('closing');
    for (const each of [device, opening]) {
      const refused = each === device ? each.ask(2) : each.deliver(2);
      expect(outcomeOf(refused)).toBe('closing');
      expect(each.next(datagramOf(refused)!, 2)[1]).toBe(V2_TYPE.open);
    }
    expect(server.sessionCount).toBe(2);
    expect(running.receive(running.answer(decision, 3), 3)).toMatchObject({ kind: 'done' });
    expect(outcomeOf(running.deliver(4))).toBe('resent');
  });
});

describe('a cookie', () => {
  it(`is accepted for ${COOKIE_S} s`, () => {
    for (const [seconds, outcome] of [
      [COOKIE_S, 'request'],
      [COOKIE_S + 1, 'expired'],
      // The slot has wrapped, so it looks young, and its nonce is that of another second.
      [256, 'bad-tag'],
    ] as const) {
      const device = new PureV2Device(createV2Server());
      device.begin(1000);
      device.next(datagramOf(device.deliver(1000))!, 1000);
      expect(outcomeOf(device.deliver(1000 + seconds * 1000)), String(seconds)).toBe(outcome);
    }
  });

  it('of another route or another process is refused', () => {
    const device = new PureV2Device(createV2Server({ route: 1 }));
    device.begin(0);
    device.next(datagramOf(device.deliver(0))!, 0);
    const outcome = (options: object) => outcomeOf(createV2Server(options).receive(device.sent, device.remote, 0));
    expect(outcome({ route: 2 })).toBe('expired');
    expect(outcome({ route: 1 })).toBe('bad-tag');
  });
});

describe('the question of a device', () => {
  /** A device that was told AGAIN, and the `quiet` of the GRANT to its question. */
  function ask(options: { startedAt?: number; route?: number; at: number }) {
    const { device } = start();
    const { at, ...given } = options;
    const server = createV2Server(given);
    device.begin(at);
    const again = server.receive(device.sent, device.remote, at);
    expect([outcomeOf(again), datagramOf(again)!.length]).toEqual(['unknown-session', 10]);
    const open = device.next(datagramOf(again)!, at);
    return datagramOf(server.receive(open, device.remote, at))!.readUInt16BE(5);
  }

  it('gets the time since bind, at most 30 s', () => {
    expect(ask({ startedAt: 1000, at: 3500 })).toBe(2500);
    expect(ask({ startedAt: 1000, at: 1000 })).toBe(0);
    expect(ask({ startedAt: 0, at: 90_000 })).toBe(QUIET_MS);
  });

  it('gets 0 if the process has no route, and if the session is of another route', () => {
    const { device } = start({ route: 0 });
    const another = createV2Server({ route: 0 });
    device.begin(90_000);
    const again = another.receive(device.sent, device.remote, 90_000);
    const open = device.next(datagramOf(again)!, 90_000);
    expect(datagramOf(another.receive(open, device.remote, 90_000))!.readUInt16BE(5)).toBe(0);
    expect(ask({ startedAt: 0, at: 90_000, route: 7 })).toBe(0);
  });

  it('gets the time since the key was added', () => {
    const { device, server } = start();
    server.useKeys(new KeyRing([{ device: 'cellar', key: OTHER_KEY }]), 40_000);
    const ring = new KeyRing([{ device: 'board', key: KEY }]);
    server.useKeys(ring, 50_000);
    device.begin(55_000);
    const open = device.next(datagramOf(device.deliver(55_000))!, 55_000);
    expect(datagramOf(server.receive(open, device.remote, 55_500))!.readUInt16BE(5)).toBe(5500);
  });

  it('is over if the reply arrives meanwhile: the AGAIN was forged', () => {
    const { device, server } = start();
    const running = accepted(device.ask(1));
    server.stopIssuing();
    const open = device.next(formatAgain(device.sent.subarray(2, 10)), 2);
    expect(outcomeOf(device.deliver(3, open))).toBe('closing');
    expect(device.receive(formatAgain(device.sent.subarray(26, 34)), 4)).toEqual({ kind: 'ignored' });
    expect(device.receive(device.answer(running, 5), 5)).toEqual({ kind: 'done', text: '{"data":1}' });
    expect([device.client.phase, device.client.hasSession]).toEqual(['idle', true]);
  });

  it('is over if a refusal arrives meanwhile: the request did not run', () => {
    const { device, server } = start();
    server.stopIssuing();
    device.begin(1);
    const request = device.sent;
    device.next(formatAgain(request.subarray(2, 10)), 2);
    const open = device.next(datagramOf(device.deliver(3, request))!, 3);
    expect([open[1], device.client.phase, device.client.hasSession]).toEqual([V2_TYPE.open, 'opening', false]);
  });

  it('learns that the session is alive if the AGAIN was forged', () => {
    const { device } = start();
    device.begin(1);
    const request = device.sent;
    const open = device.next(Buffer.concat([Buffer.of(0xb2, 6), request.subarray(2, 10)]), 1);
    expect(device.next(datagramOf(device.deliver(2, open))!, 2)).toEqual(request);
  });
});

describe('a key that leaves and comes back in the moment in which a second begins', () => {
  it('opens no session again', () => {
    const server = createV2Server();
    const device = new PureV2Device(server);
    const { remote } = device;
    expect(outcomeOf(device.ask(5000))).toBe('request');
    server.useKeys(new KeyRing([{ device: 'cellar', key: OTHER_KEY }]), 5000);
    server.useKeys(new KeyRing([{ device: 'board', key: KEY }]), 5000);
    expect(outcomeOf(server.receive(device.sent, remote, 5000))).toBe('expired');
    const again = new PureV2Device(server);
    expect([5000, 5999, 6000].map((now) => outcomeOf(again.ask(now)))).toEqual([
      'unknown-key',
      'unknown-key',
      'request',
    ]);
  });
});

describe('a client whose call ended without an answer', () => {
  const giveUp = (device: PureV2Device) => {
    for (let each = device.client.elapse(); each.kind === 'send';) {
      each = device.client.elapse();
    }
  };

  it.each(['first request', 'later request'])('asks for its session, and goes on with it: %s', (which) => {
    const server = createV2Server();
    const device = new PureV2Device(server);
    if (which === 'later request') {
      device.exchange(0);
    }
    // More than a key has sessions. The handlers run and run.
    for (let now = 1; now <= 2 * SESSIONS_PER_KEY; now++) {
      expect(outcomeOf(device.ask(now))).toBe('request');
      giveUp(device);
    }
    expect(server.sessionCount).toBe(1);
    expect(device.exchange(300)).toEqual({ kind: 'done', text: '{"data":1}' });
    // Now that one was answered, it asks no more.
    device.begin(301);
    expect(device.client.phase).toBe('waiting');
  });

  it('takes a new session if the server does not know the old one, without a second round trip', () => {
    const { device } = start();
    device.begin(1);
    giveUp(device);
    const restarted = new PureV2Device(createV2Server());
    Object.assign(device, { server: (restarted as unknown as { server: object }).server });
    expect(device.exchange(2)).toEqual({ kind: 'done', text: '{"data":1}' });
  });

  it('never sends into a session whose first request may still arrive', () => {
    const server = createV2Server();
    const board = new PureV2Device(server);
    board.begin(0);
    const held = board.next(datagramOf(board.deliver(0))!, 0);
    giveUp(board);
    board.exchange(1);
    // The held request runs in its own session, once.
    expect(outcomeOf(server.receive(held, board.remote, 2))).toBe('request');
    expect(server.sessionCount).toBe(2);
    expect(board.exchange(3)).toEqual({ kind: 'done', text: '{"data":1}' });
  });
});

describe('sessions', () => {
  it('whose handlers hang do not lock their board out for good, and their replies are not sent', () => {
    const server = createV2Server();
    const hanging = Array.from({ length: SESSIONS_PER_KEY }, () => accepted(new PureV2Device(server).ask(0)));
    const superseded: number[] = [];
    hanging.forEach(({ pending }, index) => server.watch(pending as never, () => superseded.push(index)));
    expect(outcomeOf(new PureV2Device(server).ask(QUIET_MS - 1))).toBe('session-quota');
    const board = new PureV2Device(server);
    expect(board.exchange(QUIET_MS)).toEqual({ kind: 'done', text: '{"data":1}' });
    expect([server.sessionCount, superseded]).toEqual([SESSIONS_PER_KEY, [0]]);
    expect(server.reply(hanging[0]!.pending as never, '{"data":1}', QUIET_MS + 1)).toBe('superseded');
    hanging.forEach(({ pending }) => server.finish(pending as never, QUIET_MS + 2));
    expect(board.exchange(QUIET_MS + 3)).toEqual({ kind: 'done', text: '{"data":1}' });
  });

  it(`are at most ${SESSIONS_PER_KEY} for the key of a device; the one idle for longest is evicted`, () => {
    const server = createV2Server();
    const devices = Array.from({ length: SESSIONS_PER_KEY }, (_, n) => {
      const device = new PureV2Device(server);
      device.exchange(n);
      return device;
    });
    expect(outcomeOf(new PureV2Device(server).ask(1000))).toBe('session-quota');
    devices[0]!.exchange(5000);
    expect(outcomeOf(new PureV2Device(server).ask(1 + QUIET_MS - 1))).toBe('session-quota');
    new PureV2Device(server).exchange(1 + QUIET_MS);
    expect(server.sessionCount).toBe(SESSIONS_PER_KEY);
    expect(outcomeOf(devices[0]!.ask(2 + QUIET_MS))).toBe('request');
    expect(outcomeOf(devices[1]!.ask(2 + QUIET_MS))).toBe('unknown-session');
  });

  it('of a board that restarts every second are no reason to lock it out', () => {
    const server = createV2Server();
    const restarts = Array.from({ length: 60 }, (_, second) => outcomeOf(new PureV2Device(server).ask(second * 1000)));
    expect(new Set(restarts)).toEqual(new Set(['request']));
  });

  it('of a client that restarts with all its sessions are no reason to lock it out', () => {
    const server = createV2Server();
    const ask = (at: number) => outcomeOf(new PureV2Device(server).ask(at));
    const opened = Array.from({ length: 4 * MAX_V2_SESSIONS }, (_, n) => ask(n));
    expect(new Set(opened)).toEqual(new Set(['request']));
  });

  it('of a fleet with one key at one address all stay, as behind a load balancer', () => {
    const server = createV2Server({ keys: SHARED });
    const boards = Array.from({ length: 500 }, (_, n) => new PureV2Device(server, remoteOf('10.0.0.1', 1000 + n)));
    for (let round = 0; round < 3; round++) {
      const at = round * 10_000;
      expect(new Set(boards.map((board, n) => board.exchange(at + n).kind))).toEqual(new Set(['done']));
    }
    expect(server.sessionCount).toBe(500);
  });

  it.each([
    ['one address', () => '10.0.0.1'],
    ['many addresses', (n: number) => `10.0.${n >> 8}.${n & 255}`],
  ])(
    'of a fleet at %s whose shared key has a name all stay, if the option says that it is shared',
    (_name, addressOf) => {
      const ask = (shared: boolean) => {
        const server = createV2Server({ keys: [{ device: 'not moved yet', key: KEY, shared }] });
        const outcomes = Array.from({ length: 500 }, (_, n) => {
          return outcomeOf(new PureV2Device(server, remoteOf(addressOf(n), 1000 + n)).ask(n));
        });
        return outcomes.filter((outcome) => outcome === 'request').length;
      };
      expect([ask(true), ask(false)]).toEqual([500, SESSIONS_PER_KEY]);
    },
  );

  it('of a shared key at one address are at most three quarters of all; the one idle for longest is evicted', () => {
    const server = createV2Server({ keys: SHARED, maxSessions: 8 });
    const ask = (address: string, at: number) => outcomeOf(new PureV2Device(server, remoteOf(address, at)).ask(at));
    const outcomes = Array.from({ length: 7 }, (_, n) => ask('10.0.0.1', 1 + n));
    expect(outcomes).toEqual([...Array<string>(6).fill('request'), 'session-quota']);
    expect(ask('10.0.0.2', 8)).toBe('request');
    const idle = createV2Server({ keys: SHARED, maxSessions: 8 });
    const boards = Array.from({ length: 6 }, (_, n) => new PureV2Device(idle, remoteOf('10.0.0.1', 1 + n)));
    boards.forEach((board, n) => board.exchange(n));
    boards[0]!.exchange(5000);
    new PureV2Device(idle, remoteOf('10.0.0.1', 9)).exchange(1 + QUIET_MS);
    expect([0, 1, 2].map((n) => outcomeOf(boards[n]!.ask(2 + QUIET_MS)))).toEqual([
      'request',
      'unknown-session',
      'request',
    ]);
  });

  it('of others are evicted from a full table only by a key with few of its own', () => {
    const server = createV2Server({ keys: [...TWO, { device: undefined, key: Buffer.alloc(32, 9) }], maxSessions: 10 });
    const shared = (n: number) => new PureV2Device(server, remoteOf(`10.0.1.${n}`), Buffer.alloc(32, 9));
    const kitchen = new PureV2Device(server);
    kitchen.exchange(0);
    for (let n = 0; n < 9; n++) {
      shared(n).exchange(1000 + n);
    }
    // The shared key has nine sessions, and gives up one of them.
    shared(10).exchange(60_000);
    expect(outcomeOf(kitchen.ask(60_001))).toBe('request');
    kitchen.client.abandon();
    new PureV2Device(server, remoteOf('10.0.0.3'), OTHER_KEY).exchange(60_002);
    expect(server.sessionCount).toBe(10);
  });

  it('can not be created again by a recorded REQ1 after they were evicted', () => {
    const server = createV2Server({ maxSessions: 1 });
    const device = new PureV2Device(server);
    device.exchange(0);
    const { sent } = device;
    new PureV2Device(server).exchange(QUIET_MS);
    expect(outcomeOf(server.receive(sent, device.remote, QUIET_MS + 1))).toBe('expired');
  });

  it('are not mixed up if two have one id: the later one is dropped', () => {
    const { device, server } = start();
    const other = new PureV2Device(server);
    other.begin(1);
    const first = other.next(datagramOf(other.deliver(1))!, 1);
    const { sessions } = (server as unknown as { sessions: { sessions: Map<number, object> } }).sessions;
    const [session] = sessions.values();
    sessions.set(sidOf(other).readUIntBE(2, 6), session!);
    expect(outcomeOf(server.receive(first, other.remote, 1))).toBe('session-collision');
    expect(device.exchange(2).kind).toBe('done');
  });

  it('end with their key, and no recorded request runs if the key comes back', () => {
    const { device, server } = start();
    const { sent } = device;
    const without = new KeyRing([{ device: 'cellar', key: OTHER_KEY }]);
    server.useKeys(without, 1000);
    expect(server.sessionCount).toBe(0);
    expect(outcomeOf(server.receive(sent, device.remote, 1500))).toBe('unknown-key');
    server.useKeys(new KeyRing([{ device: 'board', key: KEY }], without), 2000);
    expect(outcomeOf(server.receive(sent, device.remote, 2500))).toBe('expired');
    expect(new PureV2Device(server).ask(3000).kind).toBe('request');
  });

  it.each([1501, 1900, 1999])(
    'of a key that was added at 1500 are not granted at %i, because they would be void',
    (at) => {
      const ring = new KeyRing([{ device: 'board', key: KEY }]);
      const server = createV2Server();
      server.useKeys(new KeyRing(TWO, ring), 1500);
      const device = new PureV2Device(server, undefined, OTHER_KEY);
      device.begin(at);
      expect(outcomeOf(device.deliver(at))).toBe('unknown-key');
      device.next(datagramOf(device.deliver(2000))!, 2000);
      expect(device.deliver(2000).kind).toBe('request');
    },
  );

  it('keep their key if the ring is loaded again', () => {
    const ring = new KeyRing([{ device: 'board', key: KEY }]);
    const { device, server } = start();
    server.useKeys(ring, 0);
    const fresh = new PureV2Device(server);
    fresh.exchange(1000);
    server.useKeys(new KeyRing([{ device: 'board', key: KEY }], ring), 2000);
    expect(fresh.ask(3000).kind).toBe('request');
    expect(outcomeOf(device.ask(3000))).toBe('unknown-session');
  });

  it('send no reply after they ended', () => {
    const server = createV2Server();
    const device = new PureV2Device(server);
    const slow = accepted(device.ask(0));
    server.useKeys(new KeyRing([{ device: 'cellar', key: OTHER_KEY }]), 1);
    expect(server.reply(tokenOf(slow), '{"data":1}', 2)).toBe('superseded');
    server.finish(tokenOf(slow), 2);
  });

  it('end after a day without a request', () => {
    const { device, server } = start();
    const { sent } = device;
    const session = (device.client as unknown as { session: { ctr: number; beganAt: number } }).session;
    session.beganAt = SESSION_MS;
    device.begin(SESSION_MS + 1);
    expect(outcomeOf(device.deliver(SESSION_MS + 1, device.sent))).toBe('unknown-session');
    expect([server.sessionCount, sent.length > 0]).toEqual([0, true]);
  });

  it('have other keys than before if their place is used again, and their memory is overwritten', () => {
    const { server } = start();
    server.useKeys(new KeyRing(TWO), 1000);
    const device = new PureV2Device(server, undefined, OTHER_KEY);
    expect(device.exchange(2000)).toMatchObject({ kind: 'done' });
    server.dispose();
    expect(() => device.exchange(3000)).toThrow('bad-tag');
  });
});

describe('limits', () => {
  it('bound the openings of one source, and refund those that verify', () => {
    const limits = { hellosPerSource: { perSecond: 1, burst: 3 } };
    const server = createV2Server({ limits });
    let port = 1000;
    const opened = () => {
      const device = new PureV2Device(server, remoteOf('10.0.0.1', port++));
      device.begin(0);
      return outcomeOf(device.deliver(0));
    };
    expect([opened(), opened(), opened(), opened()]).toEqual(['grant', 'grant', 'grant', 'open-rate']);
    const other = createV2Server({ limits, keys: SHARED });
    const outcomes = Array.from({ length: 10 }, () => outcomeOf(new PureV2Device(other).ask(0)));
    expect(outcomes).toEqual(Array<string>(10).fill('request'));
  });

  it('of verified addresses apply to the address of the last request, for a day after it', () => {
    const day = VERIFIED_SOURCE_MS;
    const { device, server } = start({ limits: { hellosOfStrangers: { perSecond: 1, burst: 1 } } });
    const moved = remoteOf('203.0.113.5');
    const open = (address: string, now: number) => {
      const board = new PureV2Device(server, remoteOf(address, 99));
      board.begin(now);
      return outcomeOf(board.deliver(now));
    };
    /** The answer to an opening from this address, after others have used the budget of strangers. */
    const openInFlood = (address: string, now: number) => {
      open('192.0.2.1', now);
      return open(address, now);
    };
    device.exchange(day / 4);
    device.begin(day / 2);
    expect(outcomeOf(device.deliver(day / 2, device.sent, moved))).toBe('request');
    expect(openInFlood('10.0.0.1', 1.25 * day - 1)).toBe('grant');
    expect(openInFlood('10.0.0.1', 1.25 * day)).toBe('open-rate');
    expect(openInFlood('203.0.113.5', 1.5 * day - 1)).toBe('grant');
    expect(openInFlood('203.0.113.5', 1.5 * day)).toBe('open-rate');
  });

  it('do not count openings that do not verify', () => {
    const server = createV2Server({ limits: { hellosPerSource: { perSecond: 1, burst: 1 } } });
    const stranger = new PureV2Device(server, undefined, OTHER_KEY);
    stranger.begin(0);
    expect([outcomeOf(stranger.deliver(0)), outcomeOf(stranger.deliver(0))]).toEqual(['unknown-key', 'unknown-key']);
    expect(new PureV2Device(server).ask(0).kind).toBe('request');
  });

  it('bound the answers to unknown sessions', () => {
    const { device } = start();
    const server = createV2Server({ limits: { hellosPerSource: { perSecond: 1, burst: 2 } } });
    device.begin(1);
    const outcomes = Array.from({ length: 3 }, () => server.receive(device.sent, device.remote, 1));
    expect(outcomes.map(outcomeOf)).toEqual(['unknown-session', 'unknown-session', 'again-rate']);
    expect(datagramOf(outcomes[2]!)).toBeUndefined();
  });

  it('bound the first requests of one source that do not verify', () => {
    const server = createV2Server({ limits: { failuresPerSource: { perSecond: 1, burst: 2 } } });
    const device = new PureV2Device(server);
    device.begin(0);
    device.next(datagramOf(device.deliver(0))!, 0);
    const junk = Buffer.from(device.sent);
    junk[junk.length - 1]! ^= 1;
    const outcomes = Array.from({ length: FAILURES_PER_HELLO + 3 }, () => outcomeOf(device.deliver(0, junk)));
    // The opening pays for some.
    expect(outcomes).toEqual([...Array<string>(FAILURES_PER_HELLO + 2).fill('bad-tag'), 'request-rate']);
  });
});
