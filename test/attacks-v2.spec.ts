/**
 * The attacks of SECURITY.md on protocol v2: C1 to C38, which are attacks on v1, and those that v2 alone could have. Each is carried out
 * against the exchange. The numbers are those of the second table there.
 */
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, SLOT_MS, type Sender } from '../lib/exchange/index.js';
import { COOKIE_S } from '../lib/exchange/v2/cookies.js';
import { MAX_RESENDS } from '../lib/exchange/v2/kept-replies.js';
import { LATE_MS } from '../lib/exchange/v2/session.js';
import { QUIET_MS, SESSIONS_PER_KEY } from '../lib/exchange/v2/session-table.js';
import { KeyRing } from '../lib/keys/index.js';
import { HELLO, formatEnvelope, formatUnreadableReply } from '../lib/protocol/index.js';
import { BenUdpProtocolError } from '../lib/errors.js';
import {
  FLAGS_AT,
  GRANT_BYTES,
  OPEN_BYTES,
  formatAgain,
  isOpenOf,
  keyIdOf,
  readKeyId,
} from '../lib/protocol/v2/index.js';
import { Random } from '../lib/testing/random.js';
import { KEY, OTHER_KEY, PureDevice, createServer, remoteOf } from './support/pure-device.js';
import { ECHO, PureV2Device } from './support/v2-device.js';
import { accepted, createExchanges, createV2Server, datagramOf, outcomeOf, tokenOf } from './support/v2-server.js';

const ATTACKER = remoteOf('10.66.6.6');
const TWO = [
  { device: 'kitchen', key: KEY },
  { device: 'cellar', key: OTHER_KEY },
];

const flip = (datagram: Buffer, index: number) => {
  const flipped = Buffer.from(datagram);
  flipped[index]! ^= 1;
  return flipped;
};

/** A device with a session whose first request was answered, and every datagram of it. */
function start(options: Parameters<typeof createV2Server>[0] = {}) {
  const server = createV2Server(options);
  const device = new PureV2Device(server);
  const open = device.begin(0);
  const grant = datagramOf(device.deliver(0))!;
  const first = device.next(grant, 0);
  const reply = device.answer(accepted(device.deliver(0)), 0);
  device.receive(reply, 0);
  return { server, device, recorded: { open, grant, first, reply } };
}

/** A device that waits for the reply to its second request, and that reply. */
function startWaiting(options: Parameters<typeof createV2Server>[0] = {}) {
  const started = start(options);
  const request = started.device.begin(1);
  const reply = started.device.answer(accepted(started.device.deliver(1)), 1, '{"data":"right"}');
  return { ...started, request, reply };
}

const RIGHT = { kind: 'done', text: '{"data":"right"}' };
const IGNORED = { kind: 'ignored' };

describe('the attacks on v1, carried out on v2', () => {
  it('C1 guessing the id: there is none; every tag has 128 bits under keys that never travel', () => {
    const { server, device, recorded } = start();
    const guess = (session: Buffer) => createHmac('sha256', session).update(recorded.first).digest().subarray(0, 16);
    for (let index = 0; index < 100; index++) {
      const forged = Buffer.concat([recorded.first.subarray(0, -16), guess(Buffer.alloc(32, index))]);
      expect(outcomeOf(server.receive(forged, device.remote, 1))).toBe('bad-tag');
    }
  });

  it('C2 predicting ids: nonces are keyed by a secret of each process, and bound to opening, second and address', () => {
    const nonces = [0, 1, 1000].flatMap((at) =>
      [remoteOf('10.0.0.1'), remoteOf('10.0.0.2')].map((remote) => {
        const device = new PureV2Device(createV2Server(), remote);
        device.begin(at);
        return datagramOf(device.deliver(at))!.toString('hex', 7, 23);
      }),
    );
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  it('C3 forging a reply: a device takes nothing but the reply under its tag', () => {
    const { device, request, reply } = startWaiting();
    for (let index = 0; index < reply.length; index++) {
      expect(device.receive(flip(reply, index), 2)).toEqual(IGNORED);
    }
    expect(device.receive(Buffer.concat([reply.subarray(0, 7), request.subarray(19)]), 2)).toEqual(IGNORED);
    expect(device.receive(reply, 2)).toEqual(RIGHT);
  });

  it('C4 forging a request of one block: the tag covers it', () => {
    const { server, device } = start();
    const request = device.begin(1, '{}');
    const forged = Buffer.concat([request.subarray(0, 19), Buffer.alloc(16, 1), request.subarray(-16)]);
    expect(outcomeOf(server.receive(forged, device.remote, 1))).toBe('bad-tag');
  });

  it('C5 flipping bits: every byte of every datagram is covered', () => {
    const { server, device, recorded } = start();
    const request = device.begin(1);
    const outcomes = new Set<string>();
    for (const datagram of [recorded.open, recorded.first, request]) {
      for (let index = 0; index < datagram.length; index++) {
        outcomes.add(outcomeOf(server.receive(flip(datagram, index), ATTACKER, 1)));
      }
    }
    expect([...outcomes].toSorted()).toEqual(
      expect.arrayContaining(['bad-shape', 'bad-tag', 'unknown-key', 'unknown-session']),
    );
    expect([outcomes.has('request'), outcomes.has('grant'), outcomes.has('resent')]).toEqual([false, false, false]);
  });

  it('C6 an empty datagram: a device ignores it', () => {
    const { device, reply } = startWaiting();
    expect(device.receive(Buffer.alloc(0), 2)).toEqual(IGNORED);
    expect(device.receive(reply, 2)).toEqual(RIGHT);
  });

  it('C7 extending the hash: HMAC has no such extension', () => {
    const { server, device } = start();
    const request = device.begin(1);
    for (const blocks of [1, 2, 4]) {
      const extended = Buffer.concat([request.subarray(0, -16), Buffer.alloc(16 * blocks), request.subarray(-16)]);
      expect(outcomeOf(server.receive(extended, device.remote, 1))).toBe('bad-tag');
    }
  });

  it('C8 playing a GRANT and its reply back to a device: each belongs to its opening and its request', () => {
    const { server, device, recorded } = start();
    const again = new PureV2Device(server);
    again.begin(10);
    expect(again.receive(recorded.grant, 10)).toEqual(IGNORED);
    again.next(datagramOf(again.deliver(10))!, 10);
    expect(again.receive(recorded.reply, 10)).toEqual(IGNORED);
    device.begin(11);
    expect(device.receive(recorded.reply, 11)).toEqual(IGNORED);
  });

  it('C9 playing a request back: executed once, from anywhere, at any time, and after a restart', () => {
    const { server, device, recorded } = start();
    const request = device.begin(1);
    device.receive(device.answer(accepted(device.deliver(1)), 1), 1);
    device.exchange(2);
    for (const at of [3, 1000, QUIET_MS, 600_000]) {
      for (const remote of [device.remote, ATTACKER]) {
        expect(outcomeOf(server.receive(request, remote, at))).toBe('replayed');
        expect(outcomeOf(server.receive(recorded.first, remote, at))).toMatch(/^(replayed|bad-tag|expired)$/);
      }
    }
    const restarted = createV2Server();
    expect(outcomeOf(restarted.receive(request, device.remote, 1))).toBe('unknown-session');
    expect(outcomeOf(restarted.receive(recorded.first, device.remote, 1))).toBe('bad-tag');
  });

  it('C10 holding a request back: it is refused after 20 s, and the device is told', () => {
    const { server, device } = start();
    const held = device.begin(1);
    const late = server.receive(held, device.remote, 50 + LATE_MS);
    expect([outcomeOf(late), datagramOf(late)!.length]).toEqual(['late-request', 23]);
    const opening = new PureV2Device(server);
    opening.begin(0);
    opening.next(datagramOf(opening.deliver(0))!, 0);
    expect(outcomeOf(opening.deliver((COOKIE_S + 1) * 1000))).toBe('expired');
  });

  it('C11 OPEN and silence, OPEN and junk: the next device is served', () => {
    const server = createV2Server();
    for (let index = 0; index < 500; index++) {
      const stranger = new PureV2Device(
        server,
        remoteOf(`10.66.${index >> 8}.${index & 255}`),
        Buffer.alloc(32, index),
      );
      stranger.begin(0);
      stranger.deliver(0);
      server.receive(Buffer.alloc(100, 0xb2), stranger.remote, 0);
    }
    expect(new PureV2Device(server).ask(1).kind).toBe('request');
    expect(server.sessionCount).toBe(1);
  });

  it('C12 making the server flood somebody: no answer is longer than what asked for it, but a kept reply', () => {
    const { server, device, recorded } = start();
    expect(GRANT_BYTES).toBeLessThan(OPEN_BYTES);
    const victim = remoteOf('192.0.2.1');
    const replayed = Array.from({ length: 100 }, () => server.receive(recorded.open, victim, 1));
    expect(replayed.filter(({ kind }) => kind === 'grant').length).toBeLessThanOrEqual(40);
    const unknown = flip(device.begin(2), 9);
    const again = datagramOf(server.receive(unknown, ATTACKER, 2));
    expect(again!.length).toBeLessThan(unknown.length);
    device.answer(accepted(device.deliver(2)), 2, `{"data":"${'x'.repeat(1000)}"}`);
    const resent = Array.from({ length: 100 }, () => server.receive(device.sent, victim, 3));
    expect(resent.filter(({ kind }) => kind === 'resent')).toHaveLength(MAX_RESENDS);
  });

  it('C13 an OPEN in the name of a device: it costs the device nothing', () => {
    const { server, device, recorded } = start();
    for (let at = 1000; at < 60_000; at += 1000) {
      server.receive(recorded.open, device.remote, at);
      const strayGrant = datagramOf(server.receive(recorded.open, device.remote, at));
      device.begin(at);
      expect(strayGrant && device.receive(strayGrant, at)).toEqual(IGNORED);
      expect(device.receive(device.answer(accepted(device.deliver(at)), at), at).kind).toBe('done');
    }
  });

  it('C14 a flood of openings: nothing is kept of them, and sessions are served beside it', () => {
    const { server, device } = start();
    for (let index = 0; index < 20_000; index++) {
      server.receive(Buffer.alloc(OPEN_BYTES, 0xb2), remoteOf(`10.${index >> 8}.${index & 255}.1`), 1);
    }
    expect([device.ask(2).kind, server.sessionCount]).toEqual(['request', 1]);
  });

  it('C15 more datagrams than can be answered: an opening beyond the limits is dropped before anything is hashed', () => {
    const server = createV2Server({ limits: { hellosPerSource: { perSecond: 1, burst: 1 } } });
    const device = new PureV2Device(server);
    device.begin(0);
    expect(device.deliver(0).kind).toBe('grant');
    const junk = flip(device.sent, OPEN_BYTES - 1);
    expect(outcomeOf(server.receive(junk, device.remote, 0))).toBe('open-rate');
  });

  it('C16 openings begun and abandoned: they hold nothing up and nothing is held for them', () => {
    const server = createV2Server();
    for (let index = 0; index < 30; index++) {
      const device = new PureV2Device(server);
      device.begin(0);
      device.deliver(0);
    }
    expect(server.sessionCount).toBe(0);
  });

  it('C17 answering late: a late reply is ignored by the next request, and no call is lost by it', () => {
    const { device, reply } = startWaiting();
    device.client.abandon();
    expect(device.receive(reply, 30_000)).toEqual(IGNORED);
    device.begin(30_001);
    expect(device.receive(reply, 30_001)).toEqual(IGNORED);
  });

  it('C18 hostile texts of a key holder: refused within the limits of v1, each with its reason', () => {
    const { device } = start();
    const outcomes = ['['.repeat(100), "{'a': 1, 'a': 2}", '[1]', '{'].map((text, index) => {
      const decision = device.ask(1 + index, text);
      const server = (device as unknown as { server: ReturnType<typeof createV2Server> }).server;
      const reply = server.reply(tokenOf(decision), '{"data":null}', 1 + index) as Buffer[];
      server.finish(tokenOf(decision), 1 + index);
      device.receive(reply[0]!, 1 + index);
      return outcomeOf(decision);
    });
    expect(outcomes).toEqual(['bad-text', 'bad-text', 'bad-request', 'bad-text']);
  });

  it('C19 __proto__ and constructor: just own properties, and no prototype is set', () => {
    const { device } = start();
    const { data } = accepted(
      device.ask(1, "{'action': 'x', 'data': {'__proto__': {'a': 1}, 'constructor': 2}}"),
    ).request;
    expect(Object.getPrototypeOf(data)).toBe(Object.prototype);
    expect(Object.keys(data as object)).toEqual(['__proto__', 'constructor']);
  });

  it('C20 a request that the network doubled: executed once, and answered twice with the same bytes', () => {
    const { device } = start();
    device.begin(1);
    const reply = device.answer(accepted(device.deliver(1)), 1);
    expect(datagramOf(device.deliver(2))).toEqual(reply);
  });

  it('C21 datagrams in another order: an old one is dropped, and spoils nothing', () => {
    const { device } = start();
    const first = device.begin(1);
    device.receive(device.answer(accepted(device.deliver(1)), 1), 1);
    device.begin(2);
    expect(outcomeOf(device.deliver(2, first))).toBe('resent');
    const second = device.deliver(3);
    expect(second.kind).toBe('request');
    expect(outcomeOf(device.deliver(4, first))).toBe('replayed');
  });

  it('C22 guessing a weak key file: a recorded opening tells whether a guess is right, as in v1', () => {
    const { recorded } = start();
    const isRight = (guess: Buffer) =>
      isOpenOf(guess, recorded.open) && keyIdOf(guess) === readKeyId(recorded.open, 'open');
    expect([isRight(OTHER_KEY), isRight(KEY)]).toEqual([false, true]);
  });

  it('C23 tags of other lengths: refused by the size of the datagram', () => {
    const { server, device } = start();
    const request = device.begin(1);
    for (let length = 0; length < request.length; length++) {
      const outcome = outcomeOf(server.receive(request.subarray(0, length), device.remote, 1));
      expect(outcome).toMatch(length === 0 ? /bad-shape/ : /^(bad-shape|bad-tag)$/);
    }
  });

  it('C24 telling padding from text from tag: silence before the tag is right, then replies of one length', () => {
    const { server, device } = start();
    const silent = datagramOf(server.receive(flip(device.begin(1), 30), device.remote, 1));
    expect(silent).toBeUndefined();
    const lengths = new Set(
      (['BEN_BAD_REQUEST', 'BEN_TEXT_TRAILING'] as const).map((code) => {
        const text = formatUnreadableReply(new BenUdpProtocolError(code, 'x', 5), 'null');
        return Buffer.byteLength(text);
      }),
    );
    expect(lengths.size).toBe(1);
  });

  it('C25 a stolen device: its key is removed alone, its sessions end, and it reads nothing of the others', () => {
    const server = createV2Server({ keys: TWO });
    const kitchen = new PureV2Device(server);
    const cellar = new PureV2Device(server, remoteOf('10.0.0.2'), OTHER_KEY);
    kitchen.exchange(0);
    cellar.begin(0);
    const open = cellar.sent;
    const grant = datagramOf(cellar.deliver(0, open))!;
    expect(kitchen.receive(grant, 0)).toEqual(IGNORED);
    server.useKeys(new KeyRing([TWO[1]!]), 1);
    expect(outcomeOf(kitchen.ask(2))).toBe('unknown-session');
    expect(server.sessionCount).toBe(0);
  });

  it('C26 two servers set on each other: what one sends is never answered by the other', () => {
    const { recorded, device, server } = startWaiting();
    const other = createV2Server();
    const refusal = datagramOf(server.receive(device.begin(40_000), device.remote, 40_001 + 2 * LATE_MS));
    for (const sent of [recorded.grant, recorded.reply, formatAgain(Buffer.alloc(8, 1)), refusal]) {
      const decision = sent && other.receive(sent, remoteOf('10.0.0.9'), 1);
      expect(decision).toEqual({ kind: 'rejected', reason: 'bad-shape', device: undefined });
    }
  });

  it('C27 sending a request of the device back to it: it is not a reply', () => {
    const { device, request, reply } = startWaiting();
    const asReply = Buffer.concat([Buffer.of(0xb2, 5), request.subarray(10, 14), Buffer.of(0), request.subarray(19)]);
    expect([device.receive(request, 2), device.receive(asReply, 2)]).toEqual([IGNORED, IGNORED]);
    expect(device.receive(reply, 2)).toEqual(RIGHT);
  });

  it('C28 filling the handlers with slow requests: a key gets three quarters of them', () => {
    const server = createV2Server({ keys: TWO, inFlight: { maxInFlight: 8 } });
    const slow = Array.from({ length: SESSIONS_PER_KEY }, () => outcomeOf(new PureV2Device(server).ask(0)));
    expect(slow.filter((outcome) => outcome === 'request')).toHaveLength(6);
    expect(new PureV2Device(server, remoteOf('10.0.0.2'), OTHER_KEY).ask(1).kind).toBe('request');
  });

  it.each([
    ['without a name', undefined],
    ['with a name', 'fleet'],
  ])(
    'C28 forging the sources of slow requests: the address that opened the session pays, under a shared key %s',
    (_title, device) => {
      const server = createV2Server({ keys: [{ device, key: KEY, shared: true }], inFlight: { maxInFlight: 8 } });
      const thieves = Array.from({ length: 8 }, () => new PureV2Device(server, ATTACKER));
      thieves.forEach((thief) => thief.exchange(0));
      const slow = thieves.map((thief, index) => {
        thief.begin(1);
        // Half in the names of others, half in the name of one victim.
        return outcomeOf(thief.deliver(1, thief.sent, remoteOf(index % 2 ? '10.0.0.2' : `10.0.1.${index}`)));
      });
      expect(slow.filter((outcome) => outcome === 'request')).toHaveLength(6);
      expect(new PureV2Device(server, remoteOf('10.0.0.2')).ask(2).kind).toBe('request');
    },
  );

  it('C29 filling the table from ever new ports: a key has 64 sessions, and evicts its own', () => {
    const server = createV2Server({ keys: TWO });
    const cellar = new PureV2Device(server, remoteOf('10.0.0.2'), OTHER_KEY);
    cellar.exchange(0);
    for (let at = 0; at < 300_000; at += 1000) {
      new PureV2Device(server, remoteOf('10.0.0.1', 1024 + at / 1000)).ask(at);
    }
    expect(server.sessionCount).toBe(1 + SESSIONS_PER_KEY);
    expect(cellar.ask(300_001).kind).toBe('request');
  });

  it('C30 openings in the name of a NAT: its boards with a session need none, and new ones have its budget', () => {
    const { server, device, recorded } = start();
    for (let index = 0; index < 200; index++) {
      server.receive(recorded.open, device.remote, 1000 + index);
    }
    expect(device.ask(2000).kind).toBe('request');
    expect(new PureV2Device(server).ask(3000).kind).toBe('request');
  });

  it('C31 a flood of openings and a restart: known addresses and reserved networks have budgets of their own', () => {
    const options = {
      limits: { ...DEFAULT_LIMITS, hellosOfStrangers: { perSecond: 1, burst: 10 } },
      isReserved: ({ remote }: Sender) => remote.address.startsWith('10.0.'),
    };
    const before = createExchanges().exchanges;
    new PureV2Device(before, remoteOf('203.0.113.5')).exchange(0);
    const server = createExchanges(options).exchanges;
    for (const board of before.knownBoards()) {
      server.remember(board);
    }
    for (let index = 0; index < 50; index++) {
      const flood = new PureV2Device(server, remoteOf(`192.0.2.${index}`));
      flood.begin(0);
      flood.deliver(0);
    }
    expect(outcomeOf(new PureV2Device(server, remoteOf('192.0.2.99')).ask(0))).toBe('open-rate');
    expect(new PureV2Device(server).ask(0).kind).toBe('request');
    expect(new PureV2Device(server, remoteOf('203.0.113.5', 99)).ask(0).kind).toBe('request');
  });

  it('C32 junk in the name of a known board: its session costs one tag each, and no limit of the board', () => {
    const { server, device } = start();
    const request = device.begin(1);
    for (let index = 0; index < 2000; index++) {
      expect(outcomeOf(server.receive(flip(request, 40), device.remote, 1))).toBe('bad-tag');
    }
    expect(outcomeOf(device.deliver(2))).toBe('request');
  });

  it('C33 an opening every 5 s in the name of a board: its session goes on, whatever its pace', () => {
    const { server, device, recorded } = start();
    for (let at = 5000; at < 120_000; at += 5000) {
      server.receive(recorded.open, device.remote, at);
      if (at % 20_000 === 0) {
        expect(device.exchange(at).kind).toBe('done');
      }
    }
  });

  it('C34 playing older requests back before each message: they change nothing', () => {
    const { server, device, recorded } = start();
    for (let at = 1; at < 50; at++) {
      server.receive(recorded.first, device.remote, at);
      expect(device.exchange(at).kind).toBe('done');
    }
  });

  it('C35 hiding the silence of a named device behind sessions of a shared key: its name comes from the key', () => {
    const server = createV2Server({ keys: [TWO[0]!, { device: undefined, key: OTHER_KEY }] });
    const names = [KEY, OTHER_KEY].map(
      (key) => accepted(new PureV2Device(server, undefined, key).ask(0)).request.device,
    );
    expect(names).toEqual(['kitchen', undefined]);
  });

  it('C36 timing: the key is found by its id, so the number of keys does not show', () => {
    const ring = new KeyRing(
      Array.from({ length: 1000 }, (_, index) => ({ device: `${index}`, key: Buffer.alloc(32, `${index},`) })),
    );
    const tried = ring.keys.filter((key) => ring.withV2Id(ring.keys[7]!.v2Id).includes(key));
    expect(tried).toEqual([ring.keys[7]]);
  });
});

describe('answers for one NAT address', () => {
  it('C37 openings in its name: as many answers as hellos of v1, at 39 bytes each', () => {
    const { server, device, recorded } = start();
    const answers = Array.from({ length: 2000 }, (_, index) => server.receive(recorded.open, device.remote, index / 2));
    expect(answers.filter(({ kind }) => kind === 'grant').length).toBeLessThanOrEqual(600 + 300);
  });
});

describe('junk requests in the name of a NAT', () => {
  it('C38 junk of both versions in the name of a NAT: an opening pays for its first request', () => {
    const v1 = createServer();
    const server = createV2Server({
      keys: [{ device: undefined, key: KEY }],
      admissions: v1.parts.admissions,
    });
    const random = new Random(1);
    const known = new PureV2Device(server, remoteOf('198.51.100.7'));
    known.exchange(0);
    const recorded = new PureV2Device(server, remoteOf('198.51.100.7', 2));
    recorded.ask(0);
    const junk = [
      formatEnvelope({ hash: Buffer.alloc(32), data: Buffer.alloc(16), iv: Buffer.alloc(16) }),
      flip(recorded.sent, recorded.sent.length - 1),
    ];
    const outcomes: Record<string, number> = {};
    const heard: string[] = [];
    let board: PureV2Device | undefined;
    for (let ms = 0; ms < 20_000; ms++) {
      // The cookie is of this second.
      junk[1]![4] = Math.floor(ms / 1000);
      // 500 a second of each.
      for (const datagram of junk.filter(() => random.chance(0.5))) {
        const remote = remoteOf('198.51.100.7', random.between(20_000, 65_535));
        const exchange = datagram === junk[0] ? v1 : server;
        const outcome = outcomeOf(exchange.receive(datagram, remote, ms));
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      }
      if (ms % 100 === 50) {
        heard.push(...(board ? [outcomeOf(board.deliver(ms))] : []));
        board = new PureV2Device(server, remoteOf('198.51.100.7', 1000 + ms / 50));
        board.begin(ms);
        board.next(datagramOf(board.deliver(ms))!, ms);
      }
    }
    expect(outcomes['request-rate']).toBeGreaterThan(10_000);
    expect(outcomes['bad-tag']).toBeGreaterThan(100);
    expect(heard).toEqual(Array(199).fill('request'));
  });
});

describe('the attacks on v2 alone', () => {
  it('V1 reflection: what a side sent is never taken by the same side', () => {
    const { server, device, recorded } = start();
    device.begin(1);
    for (const own of [recorded.open, recorded.first, device.sent]) {
      expect(device.receive(own, 1)).toEqual(IGNORED);
    }
    for (const own of [recorded.grant, recorded.reply]) {
      expect(outcomeOf(server.receive(own, device.remote, 1))).toBe('bad-shape');
    }
  });

  it('V2 replay to the other side: a request re-typed as a reply, and a reply as a request, do not verify', () => {
    const { server, device, recorded } = startWaiting();
    const sid = device.sent.subarray(2, 10);
    const asRequest = Buffer.concat([
      Buffer.of(0xb2, 4),
      sid,
      Buffer.alloc(8, 3),
      Buffer.of(0),
      recorded.reply.subarray(7),
    ]);
    expect(outcomeOf(server.receive(asRequest, device.remote, 2))).toMatch(/bad-(tag|shape)/);
    const asFirst = Buffer.concat([
      Buffer.of(0xb2, 3),
      recorded.first.subarray(2, 29),
      Buffer.of(0),
      recorded.reply.subarray(7),
    ]);
    expect(outcomeOf(server.receive(asFirst, device.remote, 2))).toBe('bad-tag');
  });

  it('V3 truncation and extension: every other length of every datagram is dropped', () => {
    const { server, device, recorded } = startWaiting();
    for (const datagram of [recorded.open, recorded.first]) {
      for (const other of [
        datagram.subarray(0, -1),
        datagram.subarray(0, -16),
        Buffer.concat([datagram, Buffer.alloc(16)]),
      ]) {
        expect(outcomeOf(server.receive(other, device.remote, 2))).toMatch(/bad-(shape|tag)/);
      }
    }
    const { reply } = startWaiting();
    for (let length = 0; length < reply.length; length++) {
      expect(device.receive(reply.subarray(0, length), 2)).toEqual(IGNORED);
    }
  });

  it('V4 type confusion: a datagram with the type of another does not verify', () => {
    const { server, device, recorded } = start();
    const request = device.begin(1);
    for (const datagram of [recorded.open, recorded.first, request]) {
      for (let type = 0; type < 256; type++) {
        const other = Buffer.from(datagram);
        other[1] = type;
        if (type !== datagram[1]) {
          expect(outcomeOf(server.receive(other, device.remote, 1))).not.toMatch(/^(grant|request|resent)$/);
        }
      }
    }
  });

  it('V5 a forged AGAIN: one question under a tag, and the request goes on', () => {
    const { device, server, request, reply } = startWaiting();
    const open = device.next(formatAgain(request.subarray(2, 10)), 2);
    expect(open).toHaveLength(OPEN_BYTES);
    expect(device.receive(formatAgain(request.subarray(2, 10)), 2)).toEqual(IGNORED);
    expect(device.next(datagramOf(server.receive(open, device.remote, 2))!, 3)).toEqual(request);
    expect(device.receive(formatAgain(request.subarray(2, 10)), 4)).toEqual(IGNORED);
    expect(device.receive(reply, 5)).toEqual(RIGHT);
  });

  it('V6 a forged AGAIN while the first request waits: a REQ1 is never repeated, so it is ignored', () => {
    const server = createV2Server();
    const device = new PureV2Device(server);
    const first = accepted(device.ask(0));
    const { sid } = (device.client as unknown as { session: { sid: Buffer } }).session;
    expect(device.receive(formatAgain(sid), 1)).toEqual(IGNORED);
    expect(device.receive(device.answer(first, 2), 2).kind).toBe('done');
  });

  it('V7 sessions without end by a key holder: it exhausts its own quota, and the others are served', () => {
    const keys = [...TWO, { device: undefined, key: Buffer.alloc(32, 7) }];
    const server = createV2Server({ keys, maxSessions: 40 });
    const cellar = new PureV2Device(server, remoteOf('10.0.0.2'), OTHER_KEY);
    cellar.exchange(0);
    for (let index = 0; index < 400; index++) {
      const remote = remoteOf(`10.66.${index % 100}.1`, 1024 + index);
      new PureV2Device(server, remote, Buffer.alloc(32, 7)).ask(index * 10);
    }
    expect(server.sessionCount).toBeLessThanOrEqual(40);
    expect(cellar.ask(40_000).kind).toBe('request');
  });

  it('V8 clock skew: a clock that runs fast or slow can make a request refused, never run twice or too late', () => {
    for (const [at, arrival, outcome] of [
      [1_000_000, 1_000_000 - 30_000, 'request'],
      [1_000_000, 1_000_000 + 30_000, 'late-request'],
    ] as const) {
      const { device, server } = start();
      const request = device.begin(at);
      expect(outcomeOf(server.receive(request, device.remote, arrival))).toBe(outcome);
      expect(outcomeOf(server.receive(request, device.remote, arrival + 1))).toMatch(/resent|duplicate-request/);
    }
  });

  it('V9 a reset of RTC memory: an older state runs nothing, and its reply is not mistaken', () => {
    const { server, device, reply, request } = startWaiting();
    const session = (device.client as unknown as { session: { ctr: number } }).session;
    device.receive(reply, 2);
    session.ctr = 1;
    const other = device.begin(3, "{'action': 'other'}");
    expect(other.subarray(0, 14)).toEqual(request.subarray(0, 14));
    expect(outcomeOf(server.receive(other, device.remote, 3))).toBe('counter-reused');
    expect(device.receive(reply, 3)).toEqual(IGNORED);
  });

  it('V10 downgrade: a v2 server takes no v1 request under a key that is limited to v2', () => {
    const keys = [{ device: 'kitchen', key: KEY, protocol: 'v2' as const }];
    const imitator = new PureDevice(createServer({ keys }));
    expect(outcomeOf(imitator.ask(SLOT_MS))).toBe('v1-refused');
    const { device } = start({ keys });
    expect(device.begin(1)[0]).toBe(0xb2);
    expect(device.receive(HELLO, 1)).toEqual(IGNORED);
  });

  it('V11 a recorded opening: it gives no session, because its nonce is answered with another one', () => {
    const { server, recorded, device } = start();
    const again = datagramOf(server.receive(recorded.open, device.remote, 5000))!;
    expect(again.subarray(7, 23)).not.toEqual(recorded.grant.subarray(7, 23));
    expect(outcomeOf(server.receive(recorded.first, device.remote, 25_000))).toBe('expired');
  });

  it('V12 a key that leaves and comes back: no request from before runs again', () => {
    const { server, device, recorded } = start({ keys: TWO });
    const only = new KeyRing([TWO[1]!]);
    server.useKeys(only, 1000);
    server.useKeys(new KeyRing(TWO, only), 2000);
    expect(outcomeOf(server.receive(recorded.first, device.remote, 3000))).toBe('expired');
  });

  it('V13 asking with the flags of another device: they are under the tag, and bound the reply', () => {
    const { server, device } = start();
    const request = device.begin(1);
    for (const flags of [0x00, 0x01, 0xf0]) {
      const other = Buffer.from(request);
      other[FLAGS_AT.further] = flags;
      expect(outcomeOf(server.receive(other, device.remote, 1))).toBe('bad-tag');
    }
    expect(ECHO).toContain('echo');
  });

  it('V14 passing an opening on from another address: the request runs once, and its reply can only be passed on too', () => {
    const server = createV2Server();
    const device = new PureV2Device(server);
    const open = device.begin(0);
    const first = device.next(datagramOf(server.receive(open, ATTACKER, 0))!, 0);
    expect(outcomeOf(device.deliver(0))).toBe('bad-tag');
    const decision = accepted(server.receive(first, ATTACKER, 0));
    const reply = device.answer(decision, 0, '{"data":"right"}');
    expect([outcomeOf(device.deliver(1)), outcomeOf(server.receive(first, ATTACKER, 1))]).toEqual([
      'bad-tag',
      'resent',
    ]);
    expect(device.receive(flip(reply, 10), 1)).toEqual(IGNORED);
    expect(device.receive(reply, 1)).toEqual(RIGHT);
  });

  it('V15 random numbers that repeat: nothing runs twice, and from the next second on the session is another one', () => {
    const server = createV2Server();
    const begin = (text: string, now: number) => {
      const random = (target: Uint8Array) => void target.fill(7);
      const device = new PureV2Device(server, remoteOf('10.0.0.1'), KEY, 1536, random);
      return { device, decision: device.ask(now, text) };
    };
    const before = begin(ECHO, 100);
    before.device.answer(accepted(before.decision), 100);
    const [same, other, later] = [begin(ECHO, 200), begin("{'action': 'other'}", 300), begin(ECHO, 1000)];
    expect([same, other, later].map(({ decision }) => outcomeOf(decision))).toEqual([
      'resent',
      'counter-reused',
      'request',
    ]);
    expect(later.device.sent.subarray(5)).not.toEqual(before.device.sent.subarray(5));
  });

  it('V16 holding a request back until its board gave up and sent another one: it runs at most 20 s after it was sent', () => {
    for (const [delay, outcome] of [
      [LATE_MS - 1, 'request'],
      [LATE_MS + 1000, 'late-request'],
    ] as const) {
      const { server, device } = start();
      const held = device.begin(1000);
      for (let each = device.client.elapse(); each.kind === 'send';) {
        each = device.client.elapse();
      }
      // As the board's file does. `BenUdpClient` asks for its session and goes on with it, so the held request would be a replay.
      (device.client as unknown as { forget(): void }).forget();
      device.exchange(2000);
      expect(outcomeOf(server.receive(held, device.remote, 1000 + delay))).toBe(outcome);
      expect(outcomeOf(server.receive(held, device.remote, 1001 + delay))).not.toBe('request');
    }
  });

  it('V17 asking another server with the same key whether a request ran: it has another route, so it proves nothing', () => {
    const { device } = start({ route: 1 });
    const other = createV2Server({ route: 2 });
    // It runs. The attacker keeps the reply, and passes the question on to the other server.
    expect(outcomeOf(device.ask(60_000))).toBe('request');
    const open = device.next(formatAgain(device.sent.subarray(2, 10)), 60_001);
    const grant = datagramOf(other.receive(open, device.remote, 60_002))!;
    expect(device.receive(grant, 60_003)).toEqual({ kind: 'failed', failure: 'unknown' });
  });
});

describe('SECURITY.md', () => {
  it('has a row for each test of v2, and a test for each row', () => {
    const names = (file: string, row: RegExp) =>
      [...readFileSync(new URL(file, import.meta.url), 'utf8').matchAll(row)].map(([, name]) => name!).toSorted();
    const tests = names('attacks-v2.spec.ts', /^  it\('([CV]\d+) /gm);
    const rows = names('../SECURITY.md', /^\| v2 ([CV]\d+) +\|/gm);
    expect(tests.length).toBeGreaterThan(40);
    expect(rows).toEqual(tests);
  });
});
