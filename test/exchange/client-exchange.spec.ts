import * as crypto from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import {
  ClientExchange,
  type ClientExchangeOptions,
  type ClientDecision,
  maxRequestLength,
  openReply,
} from '../../lib/exchange/index.js';
import { type Envelope, type EnvelopeKey, HELLO, Sealer, parseEnvelope } from '../../lib/protocol/index.js';
import { sealerWithFixedIv } from '../support/fixed-iv.js';
import { KEY, OTHER_KEY } from '../support/pure-device.js';
import { SERVER, ScriptedServer } from '../support/scripted-server.js';
import { type RecordedExchange, recordedExchanges, recordedKey } from '../support/vectors.js';

vi.mock('node:crypto', async (original) => {
  const actual = await original<typeof crypto>();
  return { ...actual, timingSafeEqual: vi.fn<typeof crypto.timingSafeEqual>(actual.timingSafeEqual) };
});

const TEXT = "{'action': 'echo', 'data': 1}";

function create(options: Partial<ClientExchangeOptions> = {}): ClientExchange {
  const sealer = options.sealer ?? new Sealer(KEY);
  return new ClientExchange({
    sealer,
    peer: SERVER,
    bufferSize: 4096,
    request: sealer.seal(TEXT),
    noreturn: false,
    ...options,
  });
}

/** The result of each datagram: the kind of its decision, or the reason why it was ignored. */
function feed(exchange: ClientExchange, datagrams: readonly Buffer[], remote = SERVER): string[] {
  return datagrams.map((datagram) => summarise(exchange.receive(datagram, remote)));
}

function summarise(decision: ClientDecision): string {
  return decision.kind === 'ignored' ? decision.reason : decision.kind;
}

/** An exchange whose request was sent. */
function createAsked(options: Partial<ClientExchangeOptions> = {}, server = new ScriptedServer(KEY)): ClientExchange {
  const exchange = create(options);
  expect(feed(exchange, server.pair())).toEqual(['taken', 'request']);
  return exchange;
}

describe('ClientExchange', () => {
  const server = new ScriptedServer(KEY);
  const other = Buffer.alloc(16, 7);

  it('goes from the hello over the id and the request to the reply', () => {
    const exchange = create();
    const [ciphertext, iv] = server.pair();
    expect(exchange.hello).toEqual(HELLO);
    expect(exchange.step).toBe('hello');
    expect(exchange.receive(ciphertext, SERVER)).toEqual({ kind: 'taken' });
    expect(exchange.step).toBe('id');
    const asked = exchange.receive(iv, SERVER) as Extract<ClientDecision, { kind: 'request' }>;
    expect(asked.kind).toBe('request');
    expect(server.open(asked.datagram)).toBe(TEXT);
    expect(exchange.step).toBe('request');
    const [hash, replyIv, sealed] = server.reply('{"data":"é"}');
    expect(feed(exchange, [hash, replyIv])).toEqual(['taken', 'taken']);
    expect(exchange.step).toBe('reply');
    expect(exchange.receive(sealed, SERVER)).toEqual({ kind: 'reply', text: '{"data":"é"}' });
  });

  it('ends with the request if it has noreturn, and ignores later datagrams', () => {
    const exchange = createAsked({ noreturn: true });
    expect(feed(exchange, server.reply('{"data":1}'))).toEqual(['unasked', 'unasked', 'unasked']);
    expect(exchange.step).toBe('request');
  });

  it('accepts an id of any length, and only puts it into the hash', () => {
    const long = new ScriptedServer(KEY, 'not a number, and longer than a block');
    const exchange = create();
    const [ciphertext, iv] = long.pair();
    expect(ciphertext).toHaveLength(48);
    exchange.receive(ciphertext, SERVER);
    const asked = exchange.receive(iv, SERVER) as Extract<ClientDecision, { kind: 'request' }>;
    expect(long.open(asked.datagram)).toBe(TEXT);
  });

  describe('a request instead of a reply', () => {
    /** An exchange whose request was sent, and the sent datagrams. */
    function sent(options: Partial<ClientExchangeOptions> = {}) {
      const exchange = create(options);
      const [ciphertext, iv] = server.pair();
      exchange.receive(ciphertext, SERVER);
      const { datagram } = exchange.receive(iv, SERVER) as Extract<ClientDecision, { kind: 'request' }>;
      return { exchange, datagram, envelope: parseEnvelope(datagram) as Envelope };
    }

    it('of its own parts is ignored, in any order, and the reply is still found', () => {
      const { exchange, envelope } = sent();
      const { hash, data, iv } = envelope;
      // Without a key: the hash of these three is right.
      expect(openReply(new Sealer(KEY), Buffer.from(server.id), hash, { ciphertext: data, iv })).toBe(TEXT);
      expect(feed(exchange, [hash, iv, data])).toEqual(['reflected', 'reflected', 'reflected']);
      expect([exchange.step, exchange.isReplyBad]).toEqual(['request', false]);
      const [replyHash, replyIv, sealed] = server.reply('{"data":1}');
      expect(feed(exchange, [replyHash, data, iv, replyIv, hash, sealed])).toEqual([
        'taken',
        'reflected',
        'reflected',
        'taken',
        'reflected',
        'reply',
      ]);
    });

    it('of itself as a whole is ignored, also if it has the size of a ciphertext', () => {
      const envelopes = Array.from({ length: 200 }, () => sent());
      const { exchange, datagram } = envelopes.find((each) => each.datagram.length % 16 === 0)!;
      expect(feed(exchange, [datagram])).toEqual(['reflected']);
      expect(exchange.step).toBe('request');
    });

    it('of its own parts is ignored in a retry too, before and after the pair, which may be that of the first attempt', () => {
      const request = new Sealer(KEY).seal(TEXT);
      const pair = server.pair();
      const first = create({ request });
      first.receive(pair[0], SERVER);
      const { datagram } = first.receive(pair[1], SERVER) as Extract<ClientDecision, { kind: 'request' }>;
      const { hash, data, iv } = parseEnvelope(datagram) as Envelope;
      const retry = create({ request });
      expect(feed(retry, [data, iv, pair[0], data, iv, pair[1], hash, iv, data])).toEqual([
        'reflected',
        'reflected',
        'taken',
        'reflected',
        'reflected',
        'request',
        'reflected',
        'reflected',
        'reflected',
      ]);
    });

    it.each([
      "{'action': 'log', 'data': 1, 'noreturn': True}",
      "{'data': {'a': \"it's\"}, 'action': 5}",
      "{1: 2, 'action': 'of a dict with other keys'}",
    ])('of another one under the same pair is no reply: %s', (text) => {
      // An attacker on the path sends the pair of that request to this exchange, which then has the same id.
      const { envelope } = sent({ request: new Sealer(KEY).seal(text) });
      const { exchange } = sent();
      const parts = [envelope.hash, envelope.iv, envelope.data];
      expect(feed(exchange, parts)).toEqual(['taken', 'taken', 'taken']);
      expect(exchange.isReplyBad).toBe(true);
      expect(feed(exchange, server.reply('{"data":1}')).at(-1)).toBe('reply');
    });

    it.each([
      `{"data":"{'action': 'log'}"}`,
      '{"data":{"\'action\': ":1}}',
      "{'data': 'Python text of a server that is not upstream\\'s'}",
      "'action': in a text",
      '{}',
      '',
    ])('is not mistaken for a reply that a server may send: %s', (text) => {
      const { exchange } = sent();
      expect(feed(exchange, server.reply(text)).at(-1)).toBe('reply');
    });
  });

  describe('the sender', () => {
    it.each([
      ['another port', { ...SERVER, port: SERVER.port + 1 }],
      ['another address', { ...SERVER, address: '10.0.0.2' }],
      ['an IPv6 spelling of it', { ...SERVER, address: `::ffff:${SERVER.address}` }],
    ])('at %s is not heard at any step, and changes nothing', (_title, stranger) => {
      const exchange = create();
      const [ciphertext, iv] = server.pair();
      const reply = server.reply('{"data":1}');
      expect(feed(exchange, [...server.pair(), ...reply], stranger)).toEqual(Array(5).fill('other-sender'));
      feed(exchange, [ciphertext]);
      expect(feed(exchange, [iv, ...reply], stranger)).toEqual(Array(4).fill('other-sender'));
      expect(exchange.step).toBe('id');
      feed(exchange, [iv]);
      expect(feed(exchange, reply, stranger)).toEqual(Array(3).fill('other-sender'));
      expect(feed(exchange, reply)).toEqual(['taken', 'taken', 'reply']);
    });

    it('is recognised by its link-local address with any spelling of the zone', () => {
      const exchange = create({ peer: { address: 'fe80::1%2', port: 1 } });
      expect(feed(exchange, [other], { address: 'fe80::2%eth0', port: 1 })).toEqual(['other-sender']);
      expect(feed(exchange, [other], { address: 'fe80::1%eth0', port: 1 })).toEqual(['taken']);
    });
  });

  describe('sizes', () => {
    it.each([0, 1, 15, 17, 31, 33, 4096 + 16])('of %i bytes are not an id', (length) => {
      const exchange = create();
      expect(feed(exchange, [Buffer.alloc(length)])).toEqual(['wrong-size']);
      expect(exchange.step).toBe('hello');
    });

    it.each([0, 1, 15, 17, 32, 48])('of %i bytes are not an IV', (length) => {
      const exchange = create();
      feed(exchange, [other]);
      expect(feed(exchange, [Buffer.alloc(length)])).toEqual(['wrong-size']);
      expect(exchange.step).toBe('id');
    });

    it.each([0, 1, 15, 17, 31, 33, 4096 + 16])('of %i bytes are not part of a reply', (length) => {
      const exchange = createAsked();
      expect(feed(exchange, [Buffer.alloc(length)])).toEqual(['wrong-size']);
      expect(exchange.step).toBe('request');
    });

    it('of bufferSize are read, and one block more is not', () => {
      const fits = server.reply(`{"data":"${'x'.repeat(256 - 12)}"}`);
      const tooLong = server.reply(`{"data":"${'x'.repeat(256 - 11)}"}`);
      expect([fits[2].length, tooLong[2].length]).toEqual([256, 272]);
      expect(feed(createAsked({ bufferSize: 256 }), fits)).toEqual(['taken', 'taken', 'reply']);
      expect(feed(createAsked({ bufferSize: 256 }), tooLong)).toEqual(['taken', 'taken', 'wrong-size']);
    });
  });

  describe('the hash', () => {
    it('must match the id, the ciphertext and the IV', () => {
      const [hash, iv, ciphertext] = server.reply('{"data":1}');
      const flip = (bytes: Buffer) => Buffer.from(bytes.map((byte, index) => (index === 5 ? byte ^ 1 : byte)));
      const strange = new ScriptedServer(KEY, '1234567').reply('{"data":1}');
      for (const forged of [
        [flip(hash), iv, ciphertext],
        [hash, flip(iv), ciphertext],
        [hash, iv, flip(ciphertext)],
        strange,
      ]) {
        const exchange = createAsked();
        expect(feed(exchange, forged)).toEqual(['taken', 'taken', 'taken']);
        expect(exchange.isReplyBad).toBe(true);
      }
    });

    it('is compared in constant time', () => {
      const [hash, iv, ciphertext] = server.reply('{"data":1}');
      vi.mocked(crypto.timingSafeEqual).mockClear();
      expect(openReply(new Sealer(KEY), Buffer.from(server.id), hash, { ciphertext, iv })).toBe('{"data":1}');
      expect(crypto.timingSafeEqual).toHaveBeenCalledExactlyOnceWith(hash, hash);
    });

    it('of a reply that is not UTF-8 does not count', () => {
      const exchange = createAsked();
      const [, iv] = server.reply('');
      const sealer = new Sealer(KEY);
      const plaintext = Buffer.from('{"data":"\xff"}    ', 'latin1');
      const ciphertext = Buffer.from(
        crypto.createCipheriv('aes-256-cbc', KEY, iv).setAutoPadding(false).update(plaintext),
      );
      expect(sealer.open(ciphertext, iv)).toEqual(plaintext);
      const hash = crypto.createHash('sha256').update(server.id).update(ciphertext).update(iv).digest();
      expect(feed(exchange, [hash, iv, ciphertext])).toEqual(['taken', 'taken', 'taken']);
    });

    it('of another key does not match', () => {
      const exchange = createAsked();
      expect(feed(exchange, new ScriptedServer(OTHER_KEY).reply('{"data":1}'))).not.toContain('reply');
    });
  });

  describe('order', () => {
    const orders = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ] as const;

    // A ciphertext of 16, 32 and 48 bytes: of the size of an IV, of a hash, and of neither.
    it.each(
      orders.flatMap((order) =>
        ['{"data":1}', '{"data":"sixteen bytes"}', '{"data":"0123456789012345678901234"}'].map(
          (text) => [order.join(), text] as const,
        ),
      ),
    )('%s of the parts of %s makes the same reply', (order, text) => {
      const parts = server.reply(text);
      const arriving = order.split(',').map((index) => parts[Number(index)]!);
      expect(feed(createAsked(), arriving)).toEqual(['taken', 'taken', 'reply']);
    });

    it('is disturbed neither by old datagrams nor by copies', () => {
      const exchange = createAsked();
      const [hash, iv, ciphertext] = server.reply('{"data":1}');
      const leftovers = new ScriptedServer(KEY, '5555555').pair();
      expect(feed(exchange, [...leftovers, hash, hash, iv, leftovers[0], ciphertext])).toEqual([
        'taken',
        'taken',
        'taken',
        'duplicate',
        'bad-hash',
        'duplicate',
        'reply',
      ]);
    });

    it('of too many datagrams that are not a reply ends the exchange', () => {
      const exchange = createAsked();
      const noise = Array.from({ length: 8 }, (_, index) => Buffer.alloc(16, index + 1));
      expect(feed(exchange, noise)).toEqual([
        'taken',
        'taken',
        'taken',
        'bad-hash',
        'bad-hash',
        'bad-hash',
        'bad-hash',
        'bad-reply',
      ]);
    });
  });

  describe('copies', () => {
    it('of a datagram of the same exchange are not taken for the next one', () => {
      const exchange = create();
      const [ciphertext, iv] = server.pair();
      const [hash, replyIv, sealed] = server.reply('{"data":1}');
      expect(
        feed(exchange, [ciphertext, ciphertext, iv, iv, ciphertext, hash, hash, replyIv, replyIv, hash, sealed]),
      ).toEqual([
        'taken',
        'duplicate',
        'request',
        'duplicate',
        'duplicate',
        'taken',
        'duplicate',
        'taken',
        'duplicate',
        'duplicate',
        'reply',
      ]);
    });

    it('of the exchange before it on the socket are not taken for an id', () => {
      const before = createAsked();
      const reply = server.reply('{"data":"sixteen bytes"}');
      feed(before, reply);
      const exchange = create({ remnants: before.remnants });
      expect(feed(exchange, reply)).toEqual(['duplicate', 'duplicate', 'duplicate']);
      expect(feed(exchange, server.pair())).toEqual(['taken', 'request']);
    });

    it('of a pair may be another pair if nothing proves that the server accepted the request', () => {
      const pair = server.pair();
      const before = create({ noreturn: true });
      feed(before, pair);
      expect(before.remnants).toEqual([]);
      expect(feed(create({ remnants: before.remnants }), pair)).toEqual(['taken', 'request']);
    });
  });

  describe('recorded with upstream', () => {
    it.each(recordedExchanges)('sends and returns the same as the device: $title', (recorded) => {
      const { pair, envelope, reply, response, request } = recorded;
      const { iv } = parseEnvelope(envelope) as Exclude<ReturnType<typeof parseEnvelope>, string>;
      const sealer = sealerWithFixedIv(recordedKey, iv);
      const exchange = create({
        sealer,
        request: sealer.seal(request),
        noreturn: response === null,
        keyOrder: recordedKeyOrder(recorded),
      });
      expect(exchange.hello).toEqual(recorded.hello);
      expect(summarise(exchange.receive(pair.ciphertext, SERVER))).toBe('taken');
      expect(exchange.receive(pair.iv, SERVER)).toEqual({ kind: 'request', datagram: envelope });
      const decisions = reply.map((datagram) => exchange.receive(datagram, SERVER));
      expect(decisions.at(-1)).toEqual(response === null ? undefined : { kind: 'reply', text: response });
    });
  });
});

describe('maxRequestLength', () => {
  it('is reached by the hash that is longest to print, and never exceeded', () => {
    const sealer = new Sealer(KEY);
    for (let round = 0; round < 200; round++) {
      const request = sealer.seal('x'.repeat(round));
      const exchange = create({ sealer, request });
      feed(exchange, [crypto.randomBytes(16)]);
      const asked = exchange.receive(crypto.randomBytes(16), SERVER) as Extract<ClientDecision, { kind: 'request' }>;
      expect(asked.datagram.length).toBeLessThanOrEqual(maxRequestLength(request));
    }
    const zeros = { ciphertext: Buffer.alloc(16), iv: Buffer.alloc(16) };
    // 4 characters for each byte, and the text around the three literals.
    expect(maxRequestLength(zeros)).toBe(4 * 64 + "{'hash': b'', 'data': b'', 'iv': b''}".length);
  });
});

function recordedKeyOrder({ envelope }: RecordedExchange): EnvelopeKey[] {
  const text = envelope.toString('latin1');
  return (['hash', 'data', 'iv'] as const).toSorted((a, b) => text.indexOf(`'${a}': b`) - text.indexOf(`'${b}': b`));
}
