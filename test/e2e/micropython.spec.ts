/**
 * The real interpreter as the device: sample/device/benclient.py on the MicroPython VM, against the transport over real UDP.
 * What nothing else here can prove: that what MicroPython itself prints, encrypts and parses fits what this package does.
 */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Controller, Logger } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import fc from 'fast-check';
import {
  BenUdpClient,
  BenUdpContext,
  BenUdpRecord,
  BenUdpTransport,
  type BenUdpRejectedDatagram,
} from 'nestjs-ben-udp';
import { Subject, firstValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Sealer, digest, parseEnvelope, parsePythonText, unpad } from '../../lib/protocol/index.js';
import { deriveKey } from '../../lib/keys/index.js';
import { MicroPythonBoard, type MicroPythonBoardOptions } from '../../tools/micropython/board.mjs';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';
import { UpstreamServer } from '../support/upstream-server.js';
import { recordedExchanges, recordedKeyFile } from '../support/vectors.js';

async function startDevice(port: number, options: Partial<MicroPythonBoardOptions> = {}): Promise<MicroPythonBoard> {
  const board = await MicroPythonBoard.start({ key: KEY_CONTENTS, port, ...options });
  onTestFinished(() => board.close());
  return board;
}

function nextRejection(transport: BenUdpTransport): Promise<BenUdpRejectedDatagram> {
  return new Promise((resolve) => transport.on('rejected', resolve));
}

@Controller()
class Handlers {
  readonly events = new Subject<unknown>();

  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }

  @MessagePattern('who')
  who(@Ctx() context: BenUdpContext) {
    return [context.getDevice(), context.getRemoteAddress(), context.getRemotePort()];
  }

  @MessagePattern('message')
  message(@Payload() data: unknown) {
    this.events.next({ message: data });
    return 'not for a device that does not wait';
  }

  @EventPattern<string>('event')
  event(@Payload() data: unknown, @Ctx() context: BenUdpContext) {
    this.events.next({ event: data, isReplyExpected: context.isReplyExpected() });
  }

  @MessagePattern('fail')
  fail() {
    throw new Error('a detail that is not for devices');
  }

  @MessagePattern('letters')
  letters(@Payload() count: number) {
    return 'x'.repeat(count);
  }
}

describe('a value of a device', () => {
  const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS });
  let received: unknown;
  let board: MicroPythonBoard;

  beforeAll(async () => {
    Logger.overrideLogger(false);
    transport.addHandler('echo', async (data: unknown) => {
      received = data;
      return data;
    });
    await new Promise<void>((resolve, reject) => transport.listen((error) => (error ? reject(error) : resolve())));
    const { port } = transport.unwrap().address();
    board = await MicroPythonBoard.start({ key: KEY_CONTENTS, port });
  });

  afterAll(async () => {
    await board.close();
    await transport.close();
  });

  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

  it.each<[python: string, here: unknown, back: string]>([
    ['None', null, 'None'],
    ['True', true, 'True'],
    ['False', false, 'False'],
    ['0', 0, '0'],
    ['-40', -40, '-40'],
    ['2**53 - 1', 2 ** 53 - 1, '9007199254740991'],
    ['2**53', 2n ** 53n, '9007199254740992'],
    ['2**70', 2n ** 70n, '1180591620717411303424'],
    ['-2**70', -(2n ** 70n), '-1180591620717411303424'],
    ['21.5', 21.5, '21.5'],
    ['0.1', 0.1, '0.1'],
    ['1/3', 1 / 3, '0.3333333333333333'],
    ['1e22', 1e22, '1e+22'],
    ['1.5e-07', 1.5e-7, '1.5e-07'],
    ['-0.0', -0, '-0.0'],
    // JSON in JavaScript's hand has no mark for a float without a fraction.
    ['2.0', 2, '2'],
    ['float("nan")', NaN, 'None'],
    ['float("inf")', Infinity, 'None'],
    ['-float("inf")', -Infinity, 'None'],
    ['""', '', "''"],
    [`"it's"`, "it's", `"it's"`],
    [`'say "hi"'`, 'say "hi"', `'say "hi"'`],
    [`"'both\\""`, `'both"`, `'\\'both"'`],
    [`"\\\\ \\n\\r\\t\\x00\\x7f"`, '\\ \n\r\t\0\x7f', `'\\\\ \\n\\r\\t\\x00\\x7f'`],
    [`" \\t edges \\n "`, ' \t edges \n ', `' \\t edges \\n '`],
    ['"h\u00e9 \u20ac \u{1f600}"', 'h\u00e9 \u20ac \u{1f600}', `'h\\xe9 \\u20ac \\U0001f600'`],
    ['b""', Buffer.alloc(0), "''"],
    [`b"it's \\xff"`, Buffer.from("it's \xff", 'latin1'), "'aXQncyD/'"],
    ['bytes(range(256))', everyByte, `'${everyByte.toString('base64')}'`],
    ['[]', [], '[]'],
    ['[1, "two", [3.5, None]]', [1, 'two', [3.5, null]], "[1, 'two', [3.5, None]]"],
    ['()', [], '[]'],
    ['(1,)', [1], '[1]'],
    ['(1, (2, 3))', [1, [2, 3]], '[1, [2, 3]]'],
    ['{}', {}, '{}'],
    ['{"dht": {"t": [21.5, True]}}', { dht: { t: [21.5, true] } }, "{'dht': {'t': [21.5, True]}}"],
    ['{"__proto__": 1}', JSON.parse('{"__proto__": 1}'), "{'__proto__': 1}"],
    ['{7: "seven"}', { 7: 'seven' }, "{'7': 'seven'}"],
    ['{21.5: 1}', { '21.5': 1 }, "{'21.5': 1}"],
    ['{None: 1}', { null: 1 }, "{'null': 1}"],
    // The address of a DS18x20 is one.
    ['bytearray(b"(\\xff")', Buffer.from([0x28, 0xff]), "'KP8='"],
    ['{(1, 2): b"x"}', new Map([[[1, 2], Buffer.from('x')]]), 'None'],
    ['set()', new Set(), '[]'],
    ['{7}', new Set([7]), '[7]'],
  ])(
    '%s reaches the handler as what it is, and the device again as what JSON makes of it',
    async (python, here, back) => {
      received = 'nothing';
      expect(await board.send(`{"action": "echo", "data": ${python}}`)).toBe(back);
      expect(received).toEqual(here);
    },
  );

  it('is the same again for Python if it is a dict or set of many items, in any order', async () => {
    const { stdout } = await board.run(`
data = {"sensor %d" % i: [i, -i / 4, str(i)] for i in range(40)}
print(client.send({"action": "echo", "data": data}) == data)
print(sorted(client.send({"action": "echo", "data": set(range(40))})) == list(range(40)))`);
    expect(stdout).toBe('True\nTrue\n');
  });

  it.each(['frozenset({1})', 'range(3)', '1j', 'len'])(
    '%s, which is no literal, is refused as bad text, and the device gets an error',
    async (python) => {
      const rejection = nextRejection(transport);
      expect(await board.send(`{"action": "echo", "data": ${python}}`)).toBe('None');
      expect((await rejection).reason).toBe('bad-text');
      expect(await board.send('{"action": "echo", "data": 1}')).toBe('1');
    },
  );
});

describe('an exchange of a device', () => {
  it.each([
    ['hash', 'data', 'iv'],
    ['iv', 'hash', 'data'],
    ['data', 'iv', 'hash'],
  ] as const)('works with the envelope in the order %s, %s, %s', async (...keyOrder) => {
    const { port } = await startApp({ controllers: [Handlers] });
    const board = await startDevice(port, { keyOrder });
    expect(await board.send('{"action": "echo", "data": "hello"}')).toBe("'hello'");
    expect(await board.send('{"action": "echo", "data": b"\'\\""}')).toBe("'JyI='");
  });

  it('works 100 times in a row on one board, and leaves nothing unread', async () => {
    const { port } = await startApp({ controllers: [Handlers] });
    const board = await startDevice(port);
    const { stdout } = await board.run(`
for i in range(100):
    data = [i, "x" * i, bytes([i]) * i]
    answer = client.send({"action": "echo", "data": data})
    assert answer[:2] == data[:2], (i, answer)
print("done")`);
    expect(stdout).toBe('done\n');
    expect(board.leftovers).toBe(0);
  });

  it('is not mixed up with that of another board at the same time', async () => {
    const { port } = await startApp({ controllers: [Handlers] });
    const boards = await Promise.all([startDevice(port), startDevice(port)]);
    const runs = boards.map((board, name) =>
      board.run(`
for i in range(50):
    assert client.send({"action": "echo", "data": "${name} %d" % i}) == "${name} %d" % i
print("done")`),
    );
    expect(await Promise.all(runs)).toEqual([{ stdout: 'done\n' }, { stdout: 'done\n' }]);
  });

  it("works from the server's own port number, as upstream's client has it", async () => {
    const { port } = await startApp({ controllers: [Handlers] });
    const board = await startDevice(port, { localAddress: '127.0.0.2', localPort: port });
    expect(await board.send('{"action": "who"}')).toBe(`[None, '127.0.0.2', ${port}]`);
  });

  it('works on a board that holds one unread datagram, where datagramGap gives it time to read', async () => {
    const { port } = await startApp({ controllers: [Handlers] }, { datagramGap: 50 });
    const board = await startDevice(port, { receiveSlots: 1 });
    expect(await board.send('{"action": "echo", "data": 1}')).toBe('1');
    expect(board.dropped).toBe(0);
  });
});

describe('the key of a device', () => {
  it('that the server does not have leaves the device without an answer, and is reported as bad-hash', async () => {
    const { port, transport } = await startApp({ controllers: [Handlers] });
    const board = await startDevice(port, { key: Buffer.alloc(32, 'w') });
    const rejection = nextRejection(transport);
    const sending = board.send('{"action": "echo", "data": 1}').catch((error: unknown) => error);
    const { address, port: localPort } = board.address;
    expect(await rejection).toMatchObject({ reason: 'bad-hash', remote: { address, port: localPort } });
    await new Promise((resolve) => setImmediate(resolve));
    expect(board.leftovers).toBe(0);
    await board.close();
    expect(await sending).toMatchObject({ message: 'the board is closed' });
  });

  it('says which device it is', async () => {
    const keys = { kitchen: Buffer.alloc(32, 'a'), cellar: Buffer.alloc(32, 'b') };
    const { port } = await startApp({ controllers: [Handlers] }, { key: undefined, keys });
    const kitchen = await startDevice(port, { key: keys.kitchen });
    const cellar = await startDevice(port, { key: keys.cellar });
    for (let turn = 0; turn < 2; turn++) {
      expect(await kitchen.send('{"action": "who"}')).toContain("['kitchen', ");
      expect(await cellar.send('{"action": "who"}')).toContain("['cellar', ");
    }
  });

  it('makes the device refuse a reply whose hash does not fit', async () => {
    const peer = await openPeer();
    const board = await startDevice(peer.address().port);
    let count = 0;
    peer.on('message', (_datagram, { address, port }) => {
      const sizes = count++ === 0 ? [16, 16] : [32, 16, 16];
      for (const size of sizes) {
        peer.send(Buffer.alloc(size), port, address);
      }
    });
    await expect(board.send('{"action": "echo"}')).rejects.toThrow('ValueError: the hash of the reply is wrong');
  });
});

describe('a device that does not wait', () => {
  it.each([
    ['event', { event: [21.5], isReplyExpected: false }],
    ['message', { message: [21.5] }],
  ])('reaches the handler of "%s", gets {} at once and no datagram afterwards', async (action, expected) => {
    const { app, port } = await startApp({ controllers: [Handlers] });
    const board = await startDevice(port);
    const event = firstValueFrom(app.get(Handlers).events);
    expect(await board.send(`{"action": "${action}", "data": [21.5]}`, { noreturn: true })).toBe('{}');
    expect(await event).toEqual(expected);
    // A stray datagram would come before this answer, and spoil it.
    expect(await board.send('{"action": "echo", "data": "next"}')).toBe("'next'");
    expect(board.leftovers).toBe(0);
  });
});

describe('a device that asks for what goes wrong', () => {
  it.each([
    ['an action that nobody handles', '{"action": "unknown"}'],
    ['no action', '{"data": 1}'],
    ['an action whose handler throws', '{"action": "fail", "data": 1}'],
    ['a reply that is larger than its buffer', '{"action": "letters", "data": 100000}'],
  ])('gets None for %s, and its next answer as usual', async (_name, request) => {
    const { port } = await startApp({ controllers: [Handlers] });
    const board = await startDevice(port);
    expect(await board.send(request)).toBe('None');
    expect(await board.send('{"action": "echo", "data": "next"}')).toBe("'next'");
  });

  it('gets the largest reply that fits its buffer of 512 bytes whole, and None for one character more', async () => {
    const { port } = await startApp({ controllers: [Handlers] }, { bufferSize: 512 });
    const board = await startDevice(port, { bufferSize: 512 });
    // 511 bytes and a space of padding, {"data":""} being 11 of them.
    expect(await board.send('{"action": "letters", "data": 500}')).toBe(`'${'x'.repeat(500)}'`);
    expect(await board.send('{"action": "letters", "data": 501}')).toBe('None');
  });

  it('gets the text of the error with errorReply: text, and no answer with none', async () => {
    const text = await startApp({ controllers: [Handlers] }, { errorReply: 'text' });
    const none = await startApp({ controllers: [Handlers] }, { errorReply: 'none' });
    const told = await (await startDevice(text.port)).send('{"action": "fail"}');
    expect(told).toMatch(/^'\{"error":\{.*Internal server error.*\}\}'$/);
    const untold = await startDevice(none.port, { timeoutMs: 200 });
    await expect(untold.send('{"action": "fail"}')).rejects.toThrow('OSError: [Errno 110] ETIMEDOUT');
  });
});

describe("the sample's device program, in the place of upstream's client in the recordings", () => {
  let peer: Socket;
  let board: MicroPythonBoard;

  beforeAll(async () => {
    peer = createSocket('udp4').bind(0, '127.0.0.1');
    await once(peer, 'listening');
    board = await MicroPythonBoard.start({ key: recordedKeyFile, port: peer.address().port });
    await board.run('nan = float("nan"); inf = float("inf")');
  });

  afterAll(async () => {
    await board.close();
    peer.close();
  });

  it.each(recordedExchanges)('asks and understands the same: $title', async (exchange) => {
    const received: Buffer[] = [];
    const answers = [[exchange.pair.ciphertext, exchange.pair.iv], exchange.reply];
    peer.removeAllListeners('message').on('message', (datagram, { address, port }) => {
      for (const answer of answers[received.length] ?? []) {
        peer.send(answer, port, address);
      }
      received.push(datagram);
    });
    const arrived = exchange.reply.length > 0 ? undefined : secondMessage(peer);
    const { stdout } = await board.run(`
seen = ${exchange.seenByDevice}
got = client.send(${exchange.request}, noreturn=${exchange.response === null ? 'True' : 'False'})
print((got == seen and type(got) == type(seen)) or repr(got))`);
    await arrived;
    expect(stdout).toBe('True\n');
    expect(received[0]).toEqual(exchange.hello);
    expect(openRequest(received[1], exchange.id)).toEqual(parsePythonText(exchange.request));
  });
});

describe('what BenUdpClient sends', () => {
  // Containers of one item: MicroPython prints dicts and sets in an order of its own.
  const value = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false, -0, 2n ** 70n, 1e22, 1.5e-7, new Set(), Buffer.alloc(0), [], {}),
      fc.maxSafeInteger(),
      fc.integer({ min: -8e6, max: 8e6 }).map((eighths) => eighths / 8),
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom("'", '"', '\\', '\n', '\x7f', '\x80', '\u20ac', '\u{1f600}', 'a') }),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      fc.uint8Array().map((bytes) => new Set([Buffer.from(bytes)])),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.string(), tie('value'), { maxKeys: 1 }),
      fc.tuple(fc.integer(), tie('value')).map(([key, item]) => new Map([[[key], item]])),
    ),
  })).value;

  it('is what MicroPython prints for the same dict', async () => {
    const server = await UpstreamServer.start({ key: KEY_CONTENTS, handlers: { echo: () => null } });
    const client = new BenUdpClient({
      key: KEY_CONTENTS,
      port: server.port,
      localPort: server.port,
      localAddress: '127.0.0.2',
    });
    onTestFinished(() => client.close());
    const board = await startDevice(server.port);
    for (const data of fc.sample(value, { numRuns: 300, seed: 1 })) {
      await firstValueFrom(client.send('echo', new BenUdpRecord(data)));
      const text = server.served.at(-1)!;
      const [, inner] = /^\{'action': 'echo', 'data': (.*)\}$/s.exec(text)!;
      expect(parsePythonText(inner!)).toEqual(data);
      const { stdout } = await board.run(`print(str(${text}))`);
      expect([`${text}\n`, `{'data': ${inner}, 'action': 'echo'}\n`]).toContain(stdout);
    }
    expect(server.causeOfDeath).toBeUndefined();
  });
});

async function openPeer(): Promise<Socket> {
  const peer = createSocket('udp4').bind(0, '127.0.0.1');
  onTestFinished(() => void peer.close());
  await once(peer, 'listening');
  return peer;
}

async function secondMessage(peer: Socket): Promise<void> {
  await once(peer, 'message');
  await once(peer, 'message');
}

function openRequest(datagram: Buffer | undefined, id: Buffer): unknown {
  const envelope = parseEnvelope(datagram ?? Buffer.alloc(0));
  if (typeof envelope === 'string') {
    throw new TypeError(`no envelope: ${envelope}`);
  }
  const { hash, data, iv } = envelope;
  expect(digest(id, data, iv)).toEqual(hash);
  return parsePythonText(String(unpad(new Sealer(deriveKey(recordedKeyFile)).open(data, iv))));
}
