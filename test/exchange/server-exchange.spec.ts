import { createCipheriv, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, type Decision, SLOT_MS } from '../../lib/exchange/index.js';
import { FAILURES_PER_HELLO } from '../../lib/exchange/limits/request-credits.js';
import { KeyRing } from '../../lib/keys/index.js';
import { HELLO, digest, formatEnvelope } from '../../lib/protocol/index.js';
import { KEY, OTHER_KEY, PureDevice, createServer, remoteOf } from '../support/pure-device.js';

const THIRD_KEY = Buffer.alloc(32, 3);
const NORETURN = "{'action': 'log', 'noreturn': True}";

/** A decision in one word. */
function outcome(decision: Decision): string {
  return decision.kind === 'rejected' ? decision.reason : decision.kind;
}

function accepted(decision: Decision): Extract<Decision, { kind: 'request' }> {
  if (decision.kind !== 'request') {
    throw new Error(`not accepted: ${outcome(decision)}`);
  }
  return decision;
}

describe('ServerExchange', () => {
  it('answers a hello with 16 and 16 bytes, and opens the request under that id', () => {
    const device = new PureDevice(createServer());
    const hello = device.hello(0);
    expect(hello.kind === 'pair' && hello.datagrams.map(({ length }) => length)).toEqual([16, 16]);
    expect(accepted(device.request(0, "{'action': 'echo', 'data': [1]}")).request).toEqual({
      action: 'echo',
      data: [1],
      noreturn: false,
      remote: device.remote,
      endpoint: expect.any(Number),
      device: undefined,
      text: "{'action': 'echo', 'data': [1]}",
      metadata: undefined,
      droppedMetadata: 0,
      protocol: 'v1',
      replyBytes: undefined,
      pairSentAt: 0,
    });
  });

  it('knows when the pair of a request was sent', () => {
    const device = new PureDevice(createServer());
    device.hello(7);
    expect(accepted(device.request(19)).request.pairSentAt).toBe(7);
    device.hello(1000);
    device.hello(1500);
    expect(accepted(device.request(1600)).request.pairSentAt).toBe(1500);
  });

  it('seals the reply so that the device can verify it', () => {
    const server = createServer();
    const device = new PureDevice(server);
    const { pending } = accepted(device.ask(0));
    const reply = server.reply(pending, '{"data":1}', 0);
    expect(Array.isArray(reply) && device.readReply(reply)).toBe('{"data":1}');
  });

  it.each(['0.0.0.0', '224.0.0.1', '255.255.255.255', '::ffff:239.1.2.3'])(
    'does not answer a hello of %s, which is not one host',
    (address) => {
      const remote = { address, port: 8585, family: address.includes(':') ? 'IPv6' : 'IPv4' } as const;
      expect(createServer().receive(HELLO, remote, 0)).toMatchObject({ kind: 'rejected', reason: 'no-way-back' });
    },
  );

  it('overwrites an id after its reply was sealed, or if no reply is sent', () => {
    const server = createServer();
    const device = new PureDevice(server);
    for (const [now, isSent] of [
      [0, true],
      [1000, false],
    ] as const) {
      const { pending } = accepted(device.ask(now));
      const { id } = pending as unknown as { id: Buffer };
      expect(id.some((byte) => byte !== 0)).toBe(true);
      if (isSent) {
        server.reply(pending, '{"data":1}', now);
      }
      server.finish(pending, now);
      expect(id.every((byte) => byte === 0)).toBe(true);
    }
  });

  it('keeps nothing for a hello: the pair is the same until a request has used it', () => {
    const server = createServer();
    const device = new PureDevice(server);
    device.hello(0);
    const first = device.id;
    device.hello(1);
    expect(device.id).toEqual(first);
    device.request(1, NORETURN);
    device.hello(2);
    expect(device.id).not.toEqual(first);
  });

  it('never issues an id twice to an endpoint', () => {
    const device = new PureDevice(createServer());
    const ids = new Set<string>();
    for (let exchange = 0; exchange < 500; exchange++) {
      expect(outcome(device.ask(exchange * 97, NORETURN))).toBe('request');
      ids.add(device.id.toString('hex'));
    }
    expect(ids.size).toBe(500);
  });

  describe('with a key that is limited to v2', () => {
    const keys = [{ device: 'kitchen', key: KEY, protocol: 'v2' as const }];

    it('refuses a verified request, and names the device', () => {
      const device = new PureDevice(createServer({ keys }));
      expect(device.ask(0)).toEqual({ kind: 'rejected', reason: 'v1-refused', device: 'kitchen' });
    });

    it('does so for an endpoint that is known from before the limit', () => {
      const ring = new KeyRing([{ device: 'kitchen', key: KEY }]);
      const server = createServer();
      server.useKeys(ring);
      const device = new PureDevice(server);
      expect(outcome(device.ask(0))).toBe('request');
      server.useKeys(new KeyRing(keys, ring));
      expect(outcome(device.ask(1000))).toBe('v1-refused');
    });

    it('counts such requests as failures of their address', () => {
      const limits = { ...DEFAULT_LIMITS, failuresPerSource: { perSecond: 1, burst: 2 } };
      const device = new PureDevice(createServer({ keys, limits }));
      // The hello pays for some.
      expect(Array.from({ length: FAILURES_PER_HELLO + 3 }, () => outcome(device.ask(0)))).toEqual([
        ...Array<string>(FAILURES_PER_HELLO + 2).fill('v1-refused'),
        'request-rate',
      ]);
    });

    it('answers its own health probe', () => {
      const server = createServer({ keys });
      const device = new PureDevice(server);
      device.hello(0);
      expect(outcome(server.receive(device.envelope(), device.remote, 0, 0, true))).toBe('request');
    });
  });

  describe('with several keys', () => {
    const keys = [
      { device: 'kitchen', key: KEY },
      { device: 'cellar', key: OTHER_KEY },
    ];

    it('identifies the device by the key that verifies', () => {
      const server = createServer({ keys });
      for (let round = 0; round < 3; round++) {
        const kitchen = new PureDevice(server, remoteOf('10.0.0.1'), KEY);
        const cellar = new PureDevice(server, remoteOf('10.0.0.2'), OTHER_KEY);
        expect(accepted(kitchen.ask(round, NORETURN)).request.device).toBe('kitchen');
        expect(accepted(cellar.ask(round, NORETURN)).request.device).toBe('cellar');
      }
    });

    it('tells two devices apart behind one address and port', () => {
      const server = createServer({ keys });
      for (let round = 0; round < 3; round++) {
        expect(accepted(new PureDevice(server, undefined, KEY).ask(round, NORETURN)).request.device).toBe('kitchen');
        expect(accepted(new PureDevice(server, undefined, OTHER_KEY).ask(round, NORETURN)).request.device).toBe(
          'cellar',
        );
      }
    });

    it('rejects a key that is not in the ring', () => {
      expect(outcome(new PureDevice(createServer({ keys }), undefined, THIRD_KEY).ask(0))).toBe('bad-hash');
    });
  });

  describe('an id', () => {
    it.each([
      [0, 2 * SLOT_MS - 1, 'request'],
      [SLOT_MS - 1, 2 * SLOT_MS - 1, 'request'],
      [0, 2 * SLOT_MS, 'bad-hash'],
      [SLOT_MS - 1, 2 * SLOT_MS, 'bad-hash'],
    ])('issued at %i ms and used at %i ms: %s', (issued, used, expected) => {
      const device = new PureDevice(createServer());
      device.hello(issued);
      expect(outcome(device.request(used))).toBe(expected);
    });

    it('is valid for one request: the second copy is rejected as replayed', () => {
      const server = createServer();
      const device = new PureDevice(server);
      device.hello(0);
      const envelope = device.envelope();
      expect(outcome(server.receive(envelope, device.remote, 0))).toBe('request');
      for (const now of [0, SLOT_MS - 1, SLOT_MS, 2 * SLOT_MS, 10 * SLOT_MS]) {
        expect(outcome(server.receive(envelope, device.remote, now))).toBe('replayed');
      }
    });

    it('is consumed even if it was issued in the previous slot', () => {
      const server = createServer();
      const device = new PureDevice(server);
      device.hello(SLOT_MS - 1);
      const envelope = device.envelope();
      expect(outcome(server.receive(envelope, device.remote, SLOT_MS))).toBe('request');
      expect(outcome(server.receive(envelope, device.remote, SLOT_MS))).toBe('replayed');
      // One id of each slot at the same time, in either order.
      const late = new PureDevice(server, remoteOf('10.0.0.9'));
      late.hello(2 * SLOT_MS - 300);
      const before = late.envelope(NORETURN);
      late.hello(2 * SLOT_MS);
      const after = late.envelope(NORETURN);
      const outcomes = [after, before, after, before].map((each) =>
        outcome(server.receive(each, late.remote, 2 * SLOT_MS)),
      );
      expect(outcomes).toEqual(['request', 'request', 'replayed', 'replayed']);
    });

    it('is consumed by an unreadable request that verifies', () => {
      const server = createServer();
      const device = new PureDevice(server);
      device.hello(0);
      const envelope = device.envelope('garbage');
      expect(outcome(server.receive(envelope, device.remote, 0))).toBe('bad-text');
      expect(outcome(server.receive(envelope, device.remote, 0))).toBe('replayed');
    });

    it('is bound to address and port', () => {
      const server = createServer();
      const device = new PureDevice(server, remoteOf('10.0.0.1', 8585));
      device.hello(0);
      const envelope = device.envelope();
      for (const thief of [remoteOf('10.0.0.1', 8586), remoteOf('10.0.0.2', 8585), remoteOf('::1', 8585)]) {
        expect(outcome(server.receive(envelope, thief, 0))).toBe('bad-hash');
      }
      expect(outcome(server.receive(envelope, device.remote, 0))).toBe('request');
    });

    it.each([
      { repair: true, title: 'in its slot', saidAt: SLOT_MS - 2, askedAt: SLOT_MS - 1 },
      { repair: true, title: 'in the slot after', saidAt: SLOT_MS - 1, askedAt: SLOT_MS },
      { repair: false, title: 'in the slot after, without repair', saidAt: SLOT_MS - 1, askedAt: SLOT_MS },
    ])('is valid even after a flood has evicted its hello: $title', ({ repair, saidAt, askedAt }) => {
      // Two servers of one secret: the second knows nothing of the hello.
      const secret = Buffer.alloc(32, 9);
      const device = new PureDevice(createServer({ secret }));
      const asked = new PureDevice(createServer({ secret, repair }));
      device.hello(saidAt);
      asked.id = device.id;
      expect(outcome(asked.request(askedAt))).toBe('request');
      // The device does not count as out of step.
      const hello = asked.hello(askedAt + 2000);
      expect(hello.kind === 'pair' && hello.datagrams).toHaveLength(2);
      expect(outcome(asked.request(askedAt + 2001))).toBe('request');
    });

    it('is invalid for another server, because a restart draws a new secret', () => {
      const device = new PureDevice(createServer());
      device.hello(0);
      expect(outcome(createServer().receive(device.envelope(), device.remote, 0))).toBe('bad-hash');
    });
  });

  describe('rejects with a reason', () => {
    const server = createServer();
    const receive = (datagram: Buffer) => outcome(server.receive(datagram, remoteOf('10.0.0.1'), 0));

    it.each<[string, Buffer, string]>([
      ['an empty datagram', Buffer.alloc(0), 'unknown-datagram'],
      ['a hello with something behind', Buffer.from('/GETID '), 'unknown-datagram'],
      ['a hello in lower case', Buffer.from('/getid'), 'unknown-datagram'],
      ['half a hello', HELLO.subarray(0, 5), 'unknown-datagram'],
      ['its own pair and hash, sent back', randomBytes(32), 'unknown-datagram'],
      ['a datagram of maxDatagramBytes + 1', Buffer.alloc(4097, '{'), 'too-large'],
      ['a datagram of maxDatagramBytes', Buffer.alloc(4096, '{'), 'bad-envelope'],
      [
        'an envelope of wrong sizes',
        formatEnvelope({ hash: Buffer.alloc(33, 1), data: Buffer.alloc(16), iv: Buffer.alloc(16) }),
        'bad-sizes',
      ],
      [
        'an envelope without a key',
        formatEnvelope({ hash: Buffer.alloc(32), data: Buffer.alloc(16), iv: Buffer.alloc(16) }),
        'bad-hash',
      ],
    ])('%s', (_title, datagram, reason) => {
      expect(receive(datagram)).toBe(reason);
    });

    it.each([
      ['no padding', Buffer.from("{'action':'off'}"), 'bad-padding'],
      ['17 spaces of padding', Buffer.from("{'action':'ab'}" + ' '.repeat(17)), 'bad-padding'],
      ['bytes that are not UTF-8', Buffer.from([...Buffer.alloc(15, 0xff), 0x20]), 'bad-utf8'],
      ['text that is no literal', Buffer.from('not a dict'.padEnd(16)), 'bad-text'],
      ['a literal with something behind', Buffer.from("{'a': 1} 2".padEnd(16)), 'bad-text'],
      ['a literal that is no dict', Buffer.from("['action']".padEnd(16)), 'bad-request'],
    ])('a verified request of %s', (_title, plaintext, reason) => {
      const device = new PureDevice(server, remoteOf('10.0.0.3'));
      device.hello(0);
      const decision = server.receive(sealRaw(device, plaintext), device.remote, 0);
      expect(outcome(decision)).toBe(reason);
    });
  });

  describe('beyond the handlers that may run', () => {
    const few = { maxInFlight: 1000, maxInFlightPerDevice: 1000, maxQueuedEvents: 0 };

    it.each([
      { whose: 'a device', inFlight: { ...few, maxInFlightPerDevice: 1 }, before: [remoteOf('10.0.0.1')] },
      {
        whose: 'an address',
        inFlight: { ...few, maxInFlight: 4 },
        before: [1, 2, 3].map((port) => remoteOf('10.0.0.1', port)),
      },
      {
        whose: 'the server',
        inFlight: { ...few, maxInFlight: 2 },
        before: [remoteOf('10.0.0.2'), remoteOf('10.0.0.3')],
      },
    ])('of $whose, a device that waits is told, and one that does not is not', ({ inFlight, before }) => {
      const server = createServer({ inFlight });
      for (const remote of before) {
        accepted(new PureDevice(server, remote).ask(0));
      }
      const device = new PureDevice(server);
      expect(device.ask(2000, NORETURN)).toEqual({ kind: 'rejected', reason: 'busy', device: undefined });
      const refused = device.ask(4000);
      expect(outcome(refused)).toBe('busy');
      const pending = refused.kind === 'rejected' ? refused.pending : undefined;
      const reply = server.reply(pending!, '{"error":"busy"}', 4000);
      expect(Array.isArray(reply) && device.readReply(reply)).toBe('{"error":"busy"}');
    });
  });

  describe('reply', () => {
    it('is not sent to a device that sent noreturn', () => {
      const server = createServer();
      const { pending } = accepted(new PureDevice(server).ask(0, "{'action': 'log', 'noreturn': True}"));
      expect(server.reply(pending, '{}', 0)).toBe('superseded');
    });

    it('is given once', () => {
      const server = createServer();
      const { pending } = accepted(new PureDevice(server).ask(0));
      expect(server.reply(pending, 'a', 0)).toHaveLength(3);
      expect(server.reply(pending, 'b', 0)).toBe('superseded');
    });

    it.each([
      { title: 'a device whose time is not known', requestMs: undefined, share: 0.9 },
      { title: 'a device that takes 1 ms from a pair to its request', requestMs: 1, share: 0.98 },
      { title: 'a device that takes 100 ms', requestMs: 100, share: 0.96 },
      { title: 'a device that takes 400 ms', requestMs: 400, share: 0.9 },
    ])('may be sent at the deadline and is late after it, for $title', ({ requestMs, share }) => {
      const replyAfter = (ms: number) => {
        const server = createServer({ deviceTimeoutMs: 10_000 });
        const device = new PureDevice(server);
        if (requestMs !== undefined) {
          device.hello(0);
          device.request(requestMs, NORETURN);
        }
        return server.reply(accepted(device.ask(5000)).pending, 'a', 5000 + ms);
      };
      expect(replyAfter(share * 10_000)).toHaveLength(3);
      expect(replyAfter(share * 10_000 + 0.1)).toBe('late');
    });

    it('is superseded by a hello or a request of the same endpoint: the device has given up waiting', () => {
      const server = createServer();
      const device = new PureDevice(server);
      const { pending } = accepted(device.ask(0));
      device.hello(1000);
      expect(server.reply(pending, 'a', 1001)).toBe('superseded');
      expect(server.reply(accepted(device.request(1002)).pending, 'b', 1003)).toHaveLength(3);
    });

    it('is not superseded by other endpoints, or by junk from this endpoint', () => {
      const server = createServer();
      const device = new PureDevice(server);
      const { pending } = accepted(device.ask(0));
      new PureDevice(server, remoteOf('10.0.0.2')).ask(1);
      server.receive(Buffer.alloc(500, '{'), device.remote, 2);
      server.receive(
        formatEnvelope({ hash: randomBytes(32), data: randomBytes(16), iv: randomBytes(16) }),
        device.remote,
        3,
      );
      expect(server.reply(pending, 'a', 4)).toHaveLength(3);
    });
  });

  describe('with a table of 2 endpoints', () => {
    const fill = () => {
      const server = createServer({ maxEndpoints: 2 });
      const [first, second, third] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map(
        (address) => new PureDevice(server, remoteOf(address)),
      ) as [PureDevice, PureDevice, PureDevice];
      first.ask(0);
      second.ask(0);
      return { server, first, third };
    };

    it('refuses a third while ids of both are live, and does not run its request', () => {
      const { first, third } = fill();
      expect(outcome(third.ask(2 * SLOT_MS - 1))).toBe('table-full');
      expect(outcome(first.ask(2 * SLOT_MS - 1))).toBe('request');
    });

    it('forgets the endpoint that was verified longest ago once its ids have expired', () => {
      const { first, third } = fill();
      expect(outcome(third.ask(2 * SLOT_MS))).toBe('request');
      expect(outcome(first.ask(2 * SLOT_MS))).toBe('request');
    });

    it('does not grow because of hellos or junk of strangers', () => {
      const { server, third } = fill();
      for (let stranger = 0; stranger < 1000; stranger++) {
        expect(outcome(server.receive(HELLO, remoteOf(`10.1.${stranger >> 8}.${stranger & 255}`), 0))).toBe('pair');
      }
      expect(outcome(third.ask(2 * SLOT_MS))).toBe('request');
    });
  });

  describe('after stopIssuing', () => {
    it('refuses hellos and still accepts requests for issued ids', () => {
      const server = createServer();
      const device = new PureDevice(server);
      device.hello(0);
      server.stopIssuing();
      expect(outcome(device.request(0))).toBe('request');
      expect(outcome(device.hello(1))).toBe('closing');
    });
  });
});

/** An envelope whose plaintext is exactly these bytes: no padding is added. */
function sealRaw(device: PureDevice, plaintext: Buffer): Buffer {
  const iv = randomBytes(16);
  const data = createCipheriv('aes-256-cbc', KEY, iv).setAutoPadding(false).update(plaintext);
  return formatEnvelope({ hash: digest(device.id, data, iv), data, iv });
}
