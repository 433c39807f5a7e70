/** Every recording opens, and each fault of an exchange has a name. */
import { createCipheriv } from 'node:crypto';
import fc from 'fast-check';
import {
  DECODE_FAULTS,
  type DecodedExchange,
  type RecordedDatagram,
  type Step,
  decodeExchanges,
  readRecording,
} from '../../lib/decode/index.js';
import { describe, expect, it } from 'vitest';
import { REJECTIONS } from 'nestjs-ben-udp';
import { openId, sealRequest } from '../../lib/exchange/index.js';
import { MAX_DATAGRAMS, MAX_TEXT_BYTES } from '../../lib/decode/recording.js';
import { Sealer, digest, formatEnvelope, parseEnvelope } from '../../lib/protocol/index.js';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';
import { ScriptedServer } from '../support/scripted-server.js';
import { recordedExchanges, recordedKey, toHexText } from '../support/vectors.js';

const RECORDED = Buffer.from(toHexText());
const KEY = deriveKey(Buffer.alloc(32, 'k'));
const OTHER_KEY = deriveKey(Buffer.alloc(32, 'o'));
const TEXT = "{'action': 'echo', 'data': 1}";

const STEPS_WITH_REPLY: Step[] = ['hello', 'id', 'id-iv', 'request', 'reply-hash', 'reply-iv', 'reply-ciphertext'];

function stepsOf({ steps }: DecodedExchange): string[] {
  return steps.map(({ step }) => step);
}

function faultsOf({ faults }: DecodedExchange): unknown[] {
  return faults.map(({ fault, step }) => [fault, step]);
}

/** Decodes marked lines of hex. */
function decodeHex(lines: readonly string[], keys: readonly Uint8Array[] = [KEY]): DecodedExchange[] {
  return decodeExchanges(readRecording(Buffer.from(lines.join('\n'))), keys);
}

const fromDevice = (bytes: Uint8Array) => `> ${Buffer.from(bytes).toString('hex')}`;
const fromServer = (bytes: Uint8Array) => `< ${Buffer.from(bytes).toString('hex')}`;
const HELLO = '> 2f4745544944';

/** The lines of a good exchange. */
function goodLines(server = new ScriptedServer(KEY), text = TEXT) {
  const [ciphertext, iv] = server.pair();
  return {
    hello: HELLO,
    id: fromServer(ciphertext),
    idIv: fromServer(iv),
    request: fromDevice(sealRequest(server.sealer, Buffer.from(server.id), text)),
    reply: server.reply('{"data":1}').map(fromServer),
  };
}

/** Datagram 4 whose plaintext is exactly these bytes, padding and all. */
function requestOf(plaintext: Buffer, id: string, key: Buffer = KEY): Buffer {
  const iv = Buffer.alloc(16, 5);
  const data = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false).update(plaintext);
  return formatEnvelope({ hash: digest(Buffer.from(id), data, iv), data, iv });
}

describe('the 66 recordings', () => {
  const decoded = decodeExchanges(readRecording(RECORDED), [recordedKey]);

  it('are all there', () => {
    expect(decoded).toHaveLength(66);
    expect(recordedExchanges).toHaveLength(66);
  });

  it.each(recordedExchanges.map((recorded, index) => ({ ...recorded, index })))(
    'open: $title',
    ({ index, id, request, response, reply }) => {
      const exchange = decoded[index]!;
      expect(stepsOf(exchange)).toEqual(STEPS_WITH_REPLY.slice(0, 4 + reply.length));
      expect(exchange).toMatchObject({
        id: id.toString('hex'),
        request,
        noreturn: response === null,
        key: fingerprint(recordedKey),
        faults: [],
      });
      expect(exchange.reply).toBe(response ?? undefined);
    },
  );

  it('have their steps named without the key, and nothing opened', () => {
    const named = decodeExchanges(readRecording(RECORDED));
    expect(named.map(stepsOf)).toEqual(decoded.map(stepsOf));
    expect(named.map(({ request, reply, id, key, faults }) => [request, reply, id, key, faults])).toEqual(
      named.map(() => [undefined, undefined, undefined, undefined, []]),
    );
  });

  it('all have the fault wrong-key under another key', () => {
    const wrong = decodeExchanges(readRecording(RECORDED), [OTHER_KEY]);
    expect(new Set(wrong.flatMap(({ faults }) => faults.map(({ fault }) => fault)))).toEqual(new Set(['wrong-key']));
    expect(wrong.every(({ faults, request, reply }) => faults.length > 0 && !request && !reply)).toBe(true);
  });

  it('open without marks, too', () => {
    const bare = toHexText().replaceAll(/^[<>] /gm, '');
    const exchanges = decodeHex([bare], [recordedKey]);
    expect(exchanges.map(({ request, reply, faults }) => [request, reply ?? null, faults])).toEqual(
      recordedExchanges.map(({ request, response }) => [request, response, []]),
    );
  });

  it('have the fault bad-hash if one bit of the hash is changed', () => {
    for (const { title, hello, pair, envelope, reply } of recordedExchanges) {
      const { hash, data, iv } = parseEnvelope(envelope) as Exclude<ReturnType<typeof parseEnvelope>, string>;
      const changed = formatEnvelope({ hash: flip(hash, 9), data, iv });
      const lines = [hello, pair.ciphertext, pair.iv, changed].map((bytes, index) =>
        index === 1 || index === 2 ? fromServer(bytes) : fromDevice(bytes),
      );
      const [exchange] = decodeHex([...lines, ...reply.map(fromServer)], [recordedKey]);
      expect(faultsOf(exchange!), title).toEqual([['bad-hash', 'request']]);
    }
  });
});

function flip(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

describe('an exchange that fails', () => {
  const server = new ScriptedServer(KEY);
  const good = goodLines(server);
  const { hello, id, idIv, request, reply } = good;

  it('is compared with a good one', () => {
    const [exchange] = decodeHex([hello, id, idIv, request, ...reply]);
    expect(exchange).toMatchObject({ request: TEXT, reply: '{"data":1}', faults: [] });
  });

  it.each([
    ['no-answer', [hello], [['no-answer', 'hello']]],
    ['no-answer', [hello, id], [['no-answer', 'hello']]],
    ['no-request', [hello, id, idIv], [['no-request', 'id-iv']]],
    ['no-reply', [hello, id, idIv, request], [['no-reply', 'request']]],
    ['no-reply', [hello, id, idIv, request, ...reply.slice(0, 2)], [['no-reply', 'request']]],
    [
      'no-id',
      [request, ...reply],
      [
        ['no-id', 'request'],
        ['no-id', 'reply-hash'],
      ],
    ],
  ] as const)('%s if datagrams are missing (%#)', (_name, lines, faults) => {
    expect(faultsOf(decodeHex(lines)[0]!)).toEqual(faults);
  });

  it('wrong-key', () => {
    const [exchange] = decodeHex([hello, id, idIv, request, ...reply], [OTHER_KEY]);
    expect(faultsOf(exchange!)).toEqual([
      ['wrong-key', 'request'],
      ['wrong-key', 'reply-hash'],
    ]);
    expect(exchange!.key).toBeUndefined();
  });

  it('wrong-key on the server alone, which does not answer', () => {
    const device = new Sealer(OTHER_KEY);
    const sealed = fromDevice(sealRequest(device, Buffer.from('whatever'), TEXT));
    const [exchange] = decodeHex([hello, id, idIv, sealed], [OTHER_KEY, KEY]);
    // The device's key opens the text, but its id is not the one that the server meant.
    expect(exchange).toMatchObject({ key: fingerprint(OTHER_KEY), request: TEXT });
    expect(faultsOf(exchange!)).toEqual([
      ['bad-hash', 'request'],
      ['no-reply', 'request'],
    ]);
  });

  it.each([
    ['bad-padding', Buffer.from(`${TEXT}${' '.repeat(16 + 16 - (TEXT.length % 16))} `.padEnd(64)), undefined],
    ['bad-padding', Buffer.from("{'action': 'ab'}"), undefined],
    ['bad-utf8', Buffer.concat([Buffer.from("{'a': '"), Buffer.from([0xff, 0xfe]), Buffer.from("'}     ")]), undefined],
    ['bad-text', Buffer.from("{'action': evil()}".padEnd(32)), 'a word that is not a literal at position 11'],
    ['bad-request', Buffer.from('[1, 2]'.padEnd(16)), 'a request is a dict'],
  ] as const)('%s (%#)', (name, plaintext, detail) => {
    const datagram = fromDevice(requestOf(plaintext, server.id));
    const [exchange] = decodeHex([hello, id, idIv, datagram]);
    expect(faultsOf(exchange!)).toEqual([[name, 'request']]);
    const { message } = exchange!.faults[0]!;
    expect(message).toBe(detail === undefined ? REJECTIONS[name] : `${REJECTIONS[name]}: ${detail}`);
    expect(exchange!.key).toBe(fingerprint(KEY));
  });

  it.each([
    ['bad-envelope', `{${'x'.repeat(120)}}`],
    ['bad-sizes', "{'hash': b'', 'data': b'', 'iv': b''}".replace("iv': b'", `iv': b'${'x'.repeat(80)}`)],
  ] as const)('%s', (name, text) => {
    const [exchange] = decodeHex([hello, id, idIv, fromDevice(Buffer.from(text))]);
    expect(faultsOf(exchange!)).toEqual([[name, 'request']]);
  });

  it('bad-reply-hash, under the right key', () => {
    const [hash, iv, ciphertext] = server.reply('{"data":1}');
    const spoilt = [flip(hash, 0), iv, ciphertext].map(fromServer);
    const [exchange] = decodeHex([hello, id, idIv, request, ...spoilt]);
    expect(faultsOf(exchange!)).toEqual([['bad-reply-hash', 'reply-hash']]);
  });

  it('bad-sizes in a reply: an empty datagram, which a device accepts as an answer', () => {
    const lines = [hello, id, idIv, request, ...reply.slice(0, 2)];
    const datagrams = [...readRecording(Buffer.from(lines.join('\n'))).datagrams, emptyDatagram()];
    expect(faultsOf(decodeExchanges({ datagrams }, [KEY])[0]!)).toEqual([['bad-sizes', 'reply-hash']]);
  });

  it('out-of-step if the device read datagrams of the previous exchange', () => {
    const first = goodLines(new ScriptedServer(KEY, '111111'));
    const second = goodLines(new ScriptedServer(KEY, '222222'));
    const bytesOf = (line: string) => Buffer.from(line.slice(2), 'hex');
    // One datagram behind: the second half of the previous pair, and the first half of this one. A device strips white space.
    const outOfStepId = openId(server.sealer, { ciphertext: bytesOf(first.idIv), iv: bytesOf(second.id) });
    const noreturn = "{'action': 'report', 'noreturn': True}";
    const odd = fromDevice(sealRequest(server.sealer, outOfStepId, noreturn));
    const exchanges = decodeHex([
      hello,
      first.id,
      first.idIv,
      fromDevice(sealRequest(server.sealer, Buffer.from('111111'), noreturn)),
      hello,
      second.id,
      second.idIv,
      odd,
    ]);
    expect(exchanges.map(faultsOf)).toEqual([[], [['out-of-step', 'request']]]);
    expect(exchanges[1]!.request).toBe(noreturn);
  });

  it('has words for every fault', () => {
    expect(Object.values(DECODE_FAULTS).every((words) => words.length > 10)).toBe(true);
  });
});

function emptyDatagram(): RecordedDatagram {
  const nothing = { conversation: '', place: 'line 9', at: undefined, isCut: false };
  return { ...nothing, bytes: Buffer.alloc(0), sender: 'server' };
}

describe('several keys', () => {
  it('are tried on each exchange, and the one that fits is named', () => {
    const lines = [goodLines(), goodLines(new ScriptedServer(OTHER_KEY))].flatMap(
      ({ hello, id, idIv, request, reply }) => [hello, id, idIv, request, ...reply],
    );
    const exchanges = decodeHex(lines, [OTHER_KEY, KEY]);
    expect(exchanges.map(({ key }) => key)).toEqual([fingerprint(KEY), fingerprint(OTHER_KEY)]);
    expect(exchanges.flatMap(faultsOf)).toEqual([]);
  });
});

describe('a datagram of no step', () => {
  const { hello, id, idIv, request, reply } = goodLines();

  it('is named extra: more datagrams, a copy of the request, junk of the device', () => {
    const [exchange, ...others] = decodeHex([hello, id, idIv, id, '> c0ffee', request, request, ...reply, idIv]);
    expect(others).toEqual([]);
    expect(stepsOf(exchange!)).toEqual([
      'hello',
      'id',
      'id-iv',
      'extra',
      'extra',
      'request',
      'extra',
      'reply-hash',
      'reply-iv',
      'reply-ciphertext',
      'extra',
    ]);
    expect(exchange!.faults).toEqual([]);
    expect(exchange!.steps.flatMap(({ remark }) => remark ?? [])).toEqual([
      'copy of line 2',
      'neither a hello nor a request',
      'copy of line 6',
      'copy of line 3',
    ]);
  });

  it('is left over for the next exchange if the server sent it and it is no copy', () => {
    const [exchange] = decodeHex([hello, id, idIv, request, ...reply, '< 00112233445566778899aabbccddeeff']);
    expect(exchange!.steps.at(-1)!.remark).toBe('left over: the device reads it in its next exchange');
  });

  it('is explained in a time that grows with the recording: a hostile one is one long exchange', () => {
    const junk = Array.from({ length: 50_000 }, (_, index): RecordedDatagram => {
      const bytes = Buffer.from([0, index >> 16, index >> 8, index]);
      return { bytes, sender: 'device', conversation: '', place: '', at: undefined, isCut: false };
    });
    // 9 s if each were compared with all others.
    expect(decodeExchanges({ datagrams: junk }, [KEY])).toHaveLength(1);
  }, 3000);

  it('treats a hello within 250 ms as a copy, and a later one as the next exchange', () => {
    const timed = (ms: number, line: string): RecordedDatagram => ({
      bytes: Buffer.from(line.slice(2), 'hex'),
      sender: line.startsWith('>') ? 'device' : 'server',
      conversation: '',
      place: '',
      at: 1_700_000_000_000 + ms,
      isCut: false,
    });
    const rest = [id, idIv, request, ...reply];
    const decodeAt = (ms: number) =>
      decodeExchanges({ datagrams: [timed(0, hello), timed(ms, hello), ...rest.map((line) => timed(ms, line))] }, [
        KEY,
      ]);
    expect(decodeAt(249).map(faultsOf)).toEqual([[]]);
    expect(stepsOf(decodeAt(249)[0]!).slice(0, 3)).toEqual(['hello', 'extra', 'id']);
    expect(decodeAt(250).map(faultsOf)).toEqual([[['no-answer', 'hello']], []]);
  });

  it('begins another exchange with another request', () => {
    const other = fromDevice(sealRequest(new Sealer(KEY), Buffer.from('x'), TEXT));
    expect(decodeHex([hello, id, idIv, request, other]).map(stepsOf)).toEqual([
      ['hello', 'id', 'id-iv', 'request'],
      ['request'],
    ]);
  });
});

describe('hex text', () => {
  it('may have spaces, comments, colons and prefixes', () => {
    const [exchange] = decodeHex([
      '# a board in the kitchen',
      '',
      '> 2F 47 45 54 49 44   # hello',
      '<16:89:45:cd:cb:bd:d7:6c:f3:ed:a4:ce:5f:3c:18:8e\r',
      '  < 0x09, 0x66, 0x48 00ddad8b56db479af7d59368c0',
    ]);
    expect(exchange!.steps).toEqual([
      { step: 'hello', sender: 'device', bytes: 6, place: 'line 3', at: undefined, remark: undefined },
      { step: 'id', sender: 'server', bytes: 16, place: 'line 4', at: undefined, remark: undefined },
      { step: 'id-iv', sender: 'server', bytes: 16, place: 'line 5', at: undefined, remark: undefined },
    ]);
  });

  it.each(['> 2f4', '> hello', '2f 4g', `> ${'00'.repeat(65_508)}`, `> ${' '.repeat(300_000)}`])(
    'refuses a line that is not a datagram (%#)',
    (line) => {
      expect(() => decodeHex(['> 2f', line])).toThrow(/^line 2 is not a datagram in hex/);
    },
  );

  it('is read up to its limits, and refused beyond', () => {
    const lines = '00\n'.repeat(MAX_DATAGRAMS);
    expect(readRecording(Buffer.from(lines)).datagrams).toHaveLength(MAX_DATAGRAMS);
    expect(() => readRecording(Buffer.from(`${lines}00`))).toThrow(/more than 200000 datagrams/);
    expect(readRecording(Buffer.alloc(1_000_000, '\n')).datagrams).toEqual([]);
    expect(() => readRecording(Buffer.alloc(1_000_001, '\n'))).toThrow(/more than 1000000 lines/);
    expect(readRecording(Buffer.alloc(MAX_TEXT_BYTES, `${'#'.repeat(99)}\n`)).datagrams).toEqual([]);
    expect(() => readRecording(Buffer.alloc(MAX_TEXT_BYTES + 1, '\n'))).toThrow(/larger than 16777216 bytes/);
  });
});

describe('any bytes', () => {
  it('are decoded, or refused by a BenUdpError', () => {
    const hex = fc.array(
      fc.tuple(fc.constantFrom('> ', '< ', ''), fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...GOOD))),
      { maxLength: 20 },
    );
    const text = hex.map((lines) => lines.map(([mark, bytes]) => mark + Buffer.from(bytes).toString('hex')).join('\n'));
    fc.assert(
      fc.property(fc.oneof(text, fc.string(), fc.json()), (content) => {
        try {
          decodeExchanges(readRecording(Buffer.from(content)), [KEY, OTHER_KEY]);
        } catch (error) {
          expect(error).toMatchObject({ code: 'BEN_BAD_RECORDING' });
        }
      }),
      { numRuns: 1000 },
    );
  });
});

/** Datagrams that mean something. */
const GOOD = Object.values(goodLines())
  .flat()
  .map((line) => Buffer.from(line.slice(2), 'hex'));
