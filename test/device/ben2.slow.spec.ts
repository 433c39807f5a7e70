/**
 * device/ben2.py on the real MicroPython, against the exchange of the library.
 *
 * BEN_MICROPYTHON_VM=<folder of another release of the VM's package> runs everything on that one.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { deriveKey } from '../../lib/keys/index.js';
import { formatGrant, readGrant, readOpen, sessionIdOf, sessionSecretOf } from '../../lib/protocol/v2/index.js';
import { Random } from '../../lib/testing/random.js';
import { MicroPythonBoard } from '../../tools/micropython/board.mjs';
import { V2Peer } from '../support/v2-peer.js';
import vectors from '../vectors/v2.json' with { type: 'json' };

const KEY = Buffer.alloc(32, 'k');
const root = join(import.meta.dirname, '..', '..');
const program = readFileSync(join(root, 'device/ben2.py'), 'utf8');
/** The program without its docstring. */
const code = program.split('"""')[2]!;

const OPEN = 1;
const GRANT = 2;
const REQ1 = 3;
const REQ = 4;
const REP = 5;
const AGAIN = 6;
const SAVED_BYTES = 62;
const ECHO = '{"action": "echo"}';

type Options = Partial<Parameters<typeof MicroPythonBoard.start>[0]>;

/** A board that waits 200, 400, 800, 800 and 800 ms: long enough for a busy machine to answer. */
async function startBoard(port: number, options: Options = {}): Promise<MicroPythonBoard> {
  const vmFolder = process.env['BEN_MICROPYTHON_VM'];
  const board = await MicroPythonBoard.start({
    key: KEY,
    port,
    program: 'ben2',
    timeoutMs: 3000,
    bufferSize: 1536,
    ...(vmFolder ? { vmFolder } : {}),
    ...options,
  });
  onTestFinished(() => board.close());
  return board;
}

async function start(options: Options = {}) {
  const peer = await V2Peer.start(KEY);
  return { peer, board: await startBoard(peer.port, options) };
}

/** A board whose session is open. */
async function startOpen(options: Options = {}) {
  const { peer, board } = await start(options);
  await send(board, '"opened"');
  peer.clear();
  peer.executed.length = 0;
  return { peer, board };
}

const requestOf = (data: string) => `{"action": "echo", "data": ${data}}`;

/** The `repr` of what `send` returns. Read from a line, because the VM of 1.20 prints whole lines. */
async function send(board: MicroPythonBoard, data: string, noreturn = false): Promise<string> {
  const { stdout } = await board.run(
    `print(repr(client.send(${requestOf(data)}, noreturn=${noreturn ? 'True' : 'False'})))`,
  );
  return stdout.trimEnd();
}

/** The board gives up after 75 ms from now on. For tests in which no answer comes. */
const hasten = (board: MicroPythonBoard) => board.run('client.rto = 5');
const slowDown = (board: MicroPythonBoard) => board.run('client.rto = 200');

const countOf = (peer: V2Peer, data: string) => peer.executed.filter((text) => text.includes(data)).length;

const asItIs = (datagram: Buffer) => [datagram];

const typeOf = (datagram: Buffer) => datagram[1]!;

/** The id of the session that the first OPEN and its GRANT lead to. */
function sidOf({ up: [open], down: [grant] }: V2Peer): Buffer {
  const ck = grant!.subarray(2, 5);
  return sessionIdOf(
    sessionSecretOf(deriveKey(KEY), { nd: open!.subarray(10, 26), ck, ns: grant!.subarray(7, 23) }),
    ck,
  );
}

/** Loses the first datagram of a type. */
function loseFirst(type: number) {
  let isLost = false;
  return (datagram: Buffer) => {
    if (typeOf(datagram) === type && !isLost) {
      isLost = true;
      return [];
    }
    return [datagram];
  };
}

async function rtcOf(board: MicroPythonBoard): Promise<Buffer> {
  const { stdout } = await board.run('print(rtc.memory().hex() if rtc.memory() else "")');
  return Buffer.from(stdout.trim(), 'hex');
}

describe('an exchange', () => {
  it('takes 4 datagrams and 238 bytes at first, then 2 and 138', async () => {
    const { peer, board } = await start();
    peer.answer = () => '{"data": "hello"}';
    expect(await send(board, '"hello"')).toBe("'hello'");
    expect([peer.upTypes, peer.downTypes, peer.bytes]).toEqual([[OPEN, REQ1], [GRANT, REP], 238]);
    peer.clear();
    expect(await send(board, '"hello"')).toBe("'hello'");
    expect([peer.upTypes, peer.downTypes, peer.bytes]).toEqual([[REQ], [REP], 138]);
  });

  it('works 100 times in a row, with texts of every length of padding', async () => {
    const { peer, board } = await start();
    peer.answer = (text) => JSON.stringify({ data: text.length });
    const { stdout } = await board.run(`
for i in range(100):
    request = {"data": "x" * i}
    assert client.send(request) == len(str(request)), i
print("done")`);
    expect(stdout).toBe('done\n');
    expect(peer.up).toHaveLength(101);
    expect(board.leftovers).toBe(0);
  });

  it('returns the value under "data", and the text if there is no such value', async () => {
    const { peer, board } = await start();
    for (const [answer, value] of [
      ['{"data":[1,null,true,{"a":2.5}]}', "[1, None, True, {'a': 2.5}]"],
      ['{"data":null,"error":{"message":"no"}}', 'None'],
      ['{"error":1}', `'{"error":1}'`],
      ['[1]', "'[1]'"],
      ['7', "'7'"],
      ['null', "'null'"],
      ['"data"', `'"data"'`],
      ['no JSON', "'no JSON'"],
      ['{"data":"h\u00e9 \u20ac \u{1f600}"}', String.raw`'h\xe9 \u20ac \U0001f600'`],
    ] as const) {
      peer.answer = () => answer;
      expect(await send(board, '1')).toBe(value);
    }
  });

  it('raises MemoryError for a reply that is too large to parse, and keeps its session', async () => {
    const { peer, board } = await startOpen();
    await board.run(`
import ben2
class Full:
    def loads(text):
        raise MemoryError()
json, ben2.json = ben2.json, Full`);
    await expect(send(board, '1')).rejects.toThrow('MemoryError');
    await board.run('ben2.json = json');
    expect(await send(board, '"next"')).toContain('next');
    expect(peer.upTypes).toEqual([REQ, REQ]);
  });

  it('with noreturn gets {} when the server has the request, and is sent again until then', async () => {
    const { peer, board } = await startOpen();
    peer.upward = loseFirst(REQ);
    expect(await send(board, '"log"', true)).toBe('{}');
    expect([peer.upTypes, countOf(peer, 'log')]).toEqual([[REQ, REQ], 1]);
    expect(peer.down.map(({ length }) => length)).toEqual([23]);
    expect(peer.executed[0]).not.toContain('noreturn');
  });

  it('tells the server how much the board can receive', async () => {
    const { peer, board } = await startOpen({ bufferSize: 1024 });
    peer.answer = () => JSON.stringify({ data: 'x'.repeat(2000) });
    expect(await send(board, '1')).toBe('None');
    expect(peer.up[0]![18]).toBe(0x10);
    const large = await startOpen({ bufferSize: 65_507 });
    await send(large.board, '1');
    expect(large.peer.up[0]![18]).toBe(0xf0);
  });

  it('refuses a request that is longer than the buffer before anything leaves', async () => {
    const { peer, board } = await start({ bufferSize: 512 });
    // 466 bytes of text and padding, and 46 around them.
    const around = "{'action': 'echo', 'data': ''}".length;
    await expect(send(board, `"x" * ${464 - around}`)).rejects.toThrow(
      'ValueError: the request is longer than buffersize',
    );
    expect(peer.up).toEqual([]);
    peer.answer = () => '{"data":1}';
    expect(await send(board, `"x" * ${463 - around}`)).toBe('1');
    expect(peer.up[1]).toHaveLength(510);
  });

  it.each([
    ['timeoutMs', 15_001, 'timeout must be at most 15 s'],
    ['timeoutMs', 0, 'timeout must be at most 15 s'],
    ['bufferSize', 511, 'buffersize is below 512'],
  ])('is not begun with %s %i', async (name, value, message) => {
    await expect(startBoard(1, { [name]: value })).rejects.toThrow(`ValueError: ${message}`);
  });
});

describe('a bad network', () => {
  it.each([
    ['OPEN', 'upward', OPEN, [OPEN, OPEN, REQ1]],
    ['GRANT', 'downward', GRANT, [OPEN, OPEN, REQ1]],
    ['REQ1', 'upward', REQ1, [OPEN, REQ1, REQ1]],
    ['the first REP', 'downward', REP, [OPEN, REQ1, REQ1]],
  ] as const)('that loses %s makes the board send the same bytes again', async (_name, way, type, types) => {
    const { peer, board } = await start();
    peer[way] = loseFirst(type);
    expect(await send(board, '"once"')).toContain('once');
    expect([peer.upTypes, countOf(peer, 'once')]).toEqual([types, 1]);
    expect(new Set(peer.up.map((datagram) => datagram.toString('hex'))).size).toBe(2);
  });

  it.each([
    ['REQ', 'upward', REQ],
    ['REP', 'downward', REP],
  ] as const)('that loses %s makes the board send the same bytes again', async (_name, way, type) => {
    const { peer, board } = await startOpen();
    peer[way] = loseFirst(type);
    expect(await send(board, '"once"')).toContain('once');
    expect([peer.upTypes, countOf(peer, 'once')]).toEqual([[REQ, REQ], 1]);
    expect(peer.up[0]).toEqual(peer.up[1]);
  });

  it('of 30 % loss each way: the success is that of five transmissions, and nothing runs twice', async () => {
    const { peer, board } = await start({ timeoutMs: 900 });
    const random = new Random(2);
    const lossy = (datagram: Buffer) => (random.chance(0.3) ? [] : [datagram]);
    Object.assign(peer, { upward: lossy, downward: lossy });
    const { stdout } = await board.run(`
good = 0
for i in range(40):
    try:
        client.send({"data": "<%d>" % i})
        good += 1
    except OSError:
        pass
print(good)`);
    // A session that has to be opened takes two trips, each of which succeeds with 96.5 %.
    expect(Number(stdout)).toBeGreaterThanOrEqual(34);
    expect(new Set(peer.executed).size).toBe(peer.executed.length);
    expect(peer.executed.length).toBeGreaterThanOrEqual(Number(stdout));
  });

  it('that doubles every datagram runs nothing twice, and spoils no later exchange', async () => {
    const { peer, board } = await start();
    const twice = (datagram: Buffer) => [datagram, datagram];
    Object.assign(peer, { upward: twice, downward: twice });
    for (const data of ['<a>', '<b>', '<c>']) {
      expect(await send(board, `"${data}"`)).toContain(data);
      expect(countOf(peer, data)).toBe(1);
    }
  });

  it('that delays a reply until the next exchange spoils nothing', async () => {
    const { peer, board } = await startOpen();
    const late: Buffer[] = [];
    peer.downward = (datagram) => [...late.splice(0), datagram];
    await send(board, '"a"');
    late.push(peer.down[0]!, peer.down[0]!);
    expect(await send(board, '"b"')).toContain("'b'");
    expect(await send(board, '"c"')).toContain("'c'");
  });

  it('without any answer ends in ETIMEDOUT if nothing ran, and in Unknown if it may have', async () => {
    const { peer, board } = await start();
    await hasten(board);
    peer.upward = () => [];
    await expect(send(board, '1')).rejects.toThrow('OSError: [Errno 110] ETIMEDOUT');
    expect(peer.upTypes).toEqual([OPEN, OPEN, OPEN, OPEN, OPEN]);
    peer.clear();
    peer.upward = (datagram) => (typeOf(datagram) === REQ1 ? [] : [datagram]);
    await board.run('client.rto = 50');
    await expect(send(board, '1')).rejects.toThrow('Unknown: the request may have run');
    expect(peer.upTypes.slice(-6)).toEqual([OPEN, REQ1, REQ1, REQ1, REQ1, REQ1]);
    peer.upward = (datagram) => [datagram];
    await slowDown(board);
    expect(await send(board, '"next"')).toContain('next');
  });

  it('without any answer raises the ETIMEDOUT of its own firmware: 110, or 116 on ESP32', async () => {
    const { peer, board } = await start();
    peer.upward = () => [];
    const { stdout } = await board.run(`
import ben2
ben2.ETIMEDOUT = 116
client.rto = 5
try:
    client.send({})
except OSError as error:
    print(error.args[0])`);
    expect(stdout).toBe('116\n');
  });

  it('can make a call take five steps of five transmissions, and not more', async () => {
    const { peer, board } = await startOpen();
    await board.run('client.rto = 40');
    // Late, so the server refuses the request. Of each step the last transmission arrives, and of the last step none.
    peer.skip(20_500);
    peer.upward = (datagram, turn) => (turn % 5 === 0 && turn < 25 ? [datagram] : []);
    peer.downward = () => {
      peer.downward = asItIs;
      return [Buffer.concat([Buffer.from([0xb2, AGAIN]), peer.up[0]!.subarray(2, 10)])];
    };
    await expect(send(board, '1')).rejects.toThrow('Unknown: the request may have run');
    const steps = [0, 5, 10, 15, 20].map((first) => peer.upTypes.slice(first, first + 5));
    expect(steps).toEqual([REQ, OPEN, REQ, OPEN, REQ1].map((type) => [type, type, type, type, type]));
    expect(peer.up).toHaveLength(25);
  });

  it('that can not be reached is the same as one that loses everything, and Unknown is an OSError', async () => {
    const { board } = await startOpen();
    await hasten(board);
    const { stdout } = await board.run(`
class Down:
    settimeout, recvfrom = client.socket.settimeout, client.socket.recvfrom
    def sendto(self, data, address):
        raise OSError(101)
client.socket = Down()
for i in range(2):
    try:
        client.send({})
    except OSError as error:
        print(type(error).__name__, error)`);
    expect(stdout.split('\n')[0]).toBe('Unknown the request may have run');
    expect(stdout.split('\n')[1]).toContain('110');
  });
});

describe('a datagram that is not the reply', () => {
  it('is ignored: the replies to other requests, truncated and changed ones', async () => {
    const { peer, board } = await startOpen();
    await send(board, '"before"');
    const before = peer.down[0]!;
    peer.downward = (reply) => {
      const renumbered = Buffer.concat([reply.subarray(0, 6), before.subarray(6)]);
      const flipped = Array.from(reply, (value, index) => Buffer.from(reply).fill(value ^ 1, index, index + 1));
      const cut = Array.from({ length: reply.length }, (_, length) => reply.subarray(0, length));
      return [before, renumbered, peer.up.at(-1)!, ...flipped, ...cut, reply];
    };
    expect(await send(board, '"right"')).toContain('right');
  });

  it('is ignored while a session opens: a GRANT for another opening, and a changed one', async () => {
    const { peer, board } = await start();
    const other = await V2Peer.start(KEY);
    await send(await startBoard(other.port), '1');
    peer.downward = (grant) => {
      if (typeOf(grant) !== GRANT) {
        return [grant];
      }
      const flipped = Array.from(grant, (value, index) => Buffer.from(grant).fill(value ^ 1, index, index + 1));
      return [other.down[0]!, ...flipped, grant.subarray(1), grant];
    };
    expect(await send(board, '"right"')).toContain('right');
    expect(peer.upTypes).toEqual([OPEN, REQ1]);
  });
});

describe('AGAIN', () => {
  it('that is forged costs one opening, and the request runs once', async () => {
    const { peer, board } = await startOpen();
    const forged = (request: Buffer) => Buffer.concat([Buffer.from([0xb2, AGAIN]), request.subarray(2, 10)]);
    peer.downward = (datagram) =>
      typeOf(datagram) === REP ? [forged(peer.up[0]!), forged(peer.up[0]!), datagram] : [datagram];
    expect(await send(board, '"once"')).toContain('once');
    expect(countOf(peer, 'once')).toBe(1);
    expect(peer.upTypes.filter((type) => type === OPEN)).toHaveLength(1);
    expect(peer.upTypes.filter((type) => type !== OPEN && type !== REQ)).toEqual([]);
    peer.downward = (datagram) => [datagram];
    peer.clear();
    expect(await send(board, '"next"')).toContain('next');
    expect(peer.upTypes).toEqual([REQ]);
  });

  it.each([
    ['reply', 0, [REQ, OPEN]],
    ['refusal', 20_500, [REQ, OPEN, OPEN, REQ1]],
  ])('that is forged does not keep the board from the %s, if the GRANT is lost', async (_name, delayMs, types) => {
    const { peer, board } = await startOpen();
    peer.skip(delayMs);
    const late: Buffer[] = [];
    peer.downward = (datagram) => {
      late.push(datagram);
      return [Buffer.concat([Buffer.from([0xb2, AGAIN]), peer.up[0]!.subarray(2, 10)])];
    };
    peer.upward = (datagram) => {
      if (typeOf(datagram) === OPEN) {
        peer.downward = () => {
          Object.assign(peer, { upward: asItIs, downward: asItIs });
          return late;
        };
      }
      return [datagram];
    };
    expect(await send(board, '"once"')).toContain('once');
    expect([peer.upTypes, countOf(peer, 'once')]).toEqual([types, 1]);
    expect(await send(board, '"next"')).toContain('next');
    expect(peer.upTypes).toEqual([...types, REQ]);
  });

  it('after a restart that is over: the call returns as if nothing had been', async () => {
    const { peer, board } = await startOpen();
    peer.restart({ upMs: 5000 });
    expect(await send(board, '"once"')).toContain('once');
    expect(countOf(peer, 'once')).toBe(1);
    expect([peer.upTypes, peer.downTypes]).toEqual([
      [REQ, OPEN, REQ1],
      [AGAIN, GRANT, REP],
    ]);
    // The opening asks for the old session.
    expect(peer.up[1]!.subarray(26, 34)).toEqual(peer.up[0]!.subarray(2, 10));
  });

  it('after the session was evicted: the same', async () => {
    const { peer, board } = await startOpen();
    peer.skip(31_000);
    peer.server.forgetSessions();
    expect(await send(board, '"once"')).toContain('once');
    expect([peer.upTypes, countOf(peer, 'once')]).toEqual([[REQ, OPEN, REQ1], 1]);
  });

  it.each([
    ['a restart during the request', { upMs: 10 }],
    ['a restart less than a second before', { upMs: 990 }],
    ['a server without a route', { upMs: 60_000, route: 0 }],
    ['the server of another route', { upMs: 60_000, route: 7 }],
  ])('from %s is Unknown: the request may have run', async (_name, restart) => {
    const { peer, board } = await startOpen();
    peer.downward = (datagram) => {
      peer.downward = (later) => [later];
      peer.restart(restart);
      return typeOf(datagram) === REP ? [] : [datagram];
    };
    await expect(send(board, '"once"')).rejects.toThrow('Unknown: the request may have run');
    expect(countOf(peer, 'once')).toBe(1);
    expect(await send(board, '"next"')).toContain('next');
    expect(peer.upTypes.slice(-2)).toEqual([OPEN, REQ1]);
  });

  it.each([30_001, 0xfffe])('from a server that claims %i ms is Unknown: no such value is defined', async (quiet) => {
    const { peer, board } = await startOpen();
    peer.restart({ upMs: 60_000 });
    const key = deriveKey(KEY);
    peer.downward = (datagram) => {
      const open = readOpen(peer.up.at(-1)!);
      const grant = readGrant(key, datagram, open);
      return [grant ? formatGrant(key, open, { ...grant, quiet }) : datagram];
    };
    await expect(send(board, '1')).rejects.toThrow('Unknown: the request may have run');
    expect([peer.upTypes, peer.executed]).toEqual([[REQ, OPEN], []]);
  });

  it('whose question stays without an answer is Unknown', async () => {
    const { peer, board } = await startOpen();
    await board.run('client.rto = 50');
    peer.restart({ upMs: 5000 });
    peer.upward = (datagram) => (typeOf(datagram) === OPEN ? [] : [datagram]);
    await expect(send(board, '1')).rejects.toThrow('Unknown: the request may have run');
    expect(peer.upTypes.slice(-6)).toEqual([REQ, OPEN, OPEN, OPEN, OPEN, OPEN]);
  });

  it('is ignored in answer to the first request of a session', async () => {
    const { peer, board } = await start();
    peer.downward = (datagram) => {
      const hints = [peer.up.at(-1)!.subarray(13, 21), sidOf(peer)];
      return [...hints.map((hint) => Buffer.concat([Buffer.from([0xb2, AGAIN]), hint])), datagram];
    };
    expect(await send(board, '"once"')).toContain('once');
    expect(peer.upTypes).toEqual([OPEN, REQ1]);
  });
});

describe('a refusal', () => {
  it('of a request that was held back makes the board open a session, and the request runs once', async () => {
    const { peer, board } = await startOpen();
    peer.skip(20_500);
    expect(await send(board, '"once"')).toContain('once');
    expect([peer.upTypes, peer.reasons, countOf(peer, 'once')]).toEqual([[REQ, OPEN, REQ1], ['late-request'], 1]);
  });

  it('does not come within 20 s', async () => {
    const { peer, board } = await startOpen();
    peer.skip(19_500);
    await send(board, '1');
    expect([peer.upTypes, peer.reasons]).toEqual([[REQ], []]);
  });

  it('that repeats itself is EBUSY: nothing ran', async () => {
    const { peer, board } = await startOpen();
    const refused = (datagram: Buffer) => {
      peer.server.isClosing = typeOf(datagram) !== OPEN;
      return [datagram];
    };
    peer.upward = refused;
    await expect(send(board, '"never"')).rejects.toThrow(/OSError: (16|\[Errno 16\] EBUSY)$/);
    expect([peer.upTypes, peer.executed]).toEqual([[REQ, OPEN, REQ1], []]);
  });

  it('can not be undone: a copy of the refused request does not run', async () => {
    const { peer, board } = await startOpen();
    peer.skip(20_500);
    await send(board, '"once"');
    peer.upward = (datagram) => [peer.up[0]!, datagram];
    await send(board, '"next"');
    expect(countOf(peer, 'once')).toBe(1);
  });
});

describe('an exception during a call', () => {
  /** The program of a board that fails at its `n`-th call of `name`: `left` counts down to 0. */
  const failAt = (name: string, n: number) => `
import ben2
left = ${n}
def failing(*args, original=ben2.${name}):
    global left
    left -= 1
    if left == 0:
        raise MemoryError()
    return original(*args)
ben2.${name}, original = failing, ben2.${name}
try:
    client.send(${requestOf('"first"')})
except (MemoryError, OSError) as error:
    print(type(error).__name__)
ben2.${name} = original`;

  it('while it waits for the first reply: the next call runs once, whatever the network has kept', async () => {
    const { peer, board } = await start({ rtcMemory: Buffer.alloc(0) });
    peer.restart({ upMs: 60_000 });
    const kept: Buffer[] = [];
    peer.upward = (datagram) => {
      kept.push(datagram);
      return typeOf(datagram) === REQ1 ? [] : [datagram];
    };
    await board.run(`
class Socket:
    settimeout, sendto = client.socket.settimeout, client.socket.sendto
    def recvfrom(self, size):
        if self.last[1] == ${REQ1}:
            raise MemoryError()
        return socket.recvfrom(size)
    def sendto(self, data, address):
        self.last = data
        return socket.sendto(data, address)
socket, client.socket = client.socket, Socket()
try:
    client.send(${requestOf('"first"')})
except MemoryError:
    client.socket = socket`);
    expect(await rtcOf(board)).toEqual(Buffer.alloc(0));
    peer.upward = (datagram) => {
      kept.push(datagram);
      return [datagram];
    };
    expect(await send(board, '"second"')).toContain('second');
    peer.upward = (datagram) => [...kept, ...kept, datagram];
    expect(await send(board, '"third"')).toContain('third');
    expect(['first', 'second', 'third'].map((data) => countOf(peer, data))).toEqual([1, 1, 1]);
  });

  it.each([
    ['sha256', 'the same client', ''],
    ['aes', 'the same client', ''],
    [
      'sha256',
      'a client that starts from the RTC memory',
      'client = ben2.client(*client.server, timeout=1.5, rtc=rtc)',
    ],
    ['aes', 'a client that starts from the RTC memory', 'client = ben2.client(*client.server, timeout=1.5, rtc=rtc)'],
  ])('at any call of %s: %s uses no session that the server has not made', async (name, _who, restart) => {
    const { peer, board } = await start({ rtcMemory: Buffer.alloc(0), timeoutMs: 1500 });
    let turns = 0;
    let outcome = 'MemoryError';
    for (; outcome === 'MemoryError'; turns++) {
      peer.upward = (datagram) => (typeOf(datagram) === REQ1 ? [] : [datagram]);
      const { stdout } = await board.run(`client.forget()${failAt(name, turns + 1)}`);
      outcome = stdout.trim();
      peer.upward = (datagram) => [datagram];
      await board.run(restart);
      expect(await send(board, '"next"')).toContain('next');
      expect(peer.reasons).toEqual([]);
      // A key has a quota of sessions that were used in the last 30 s.
      peer.skip(31_000);
    }
    expect(outcome).toBe('Unknown');
    expect(turns).toBeGreaterThan(name === 'aes' ? 1 : 20);
  });
});

describe('a busy server', () => {
  it.each([
    ['a further request', startOpen, 'once'],
    ['the first request of a session', start, 'once'],
  ])('answers %s: send returns None, and nothing runs', async (_name, connect, text) => {
    const { peer, board } = await connect();
    peer.server.isBusy = true;
    expect(await send(board, `"${text}"`)).toContain('None');
    peer.server.isBusy = false;
    expect([peer.reasons, countOf(peer, text)]).toEqual([['busy'], 0]);
    expect(await send(board, '"next"')).toContain('next');
  });
});

describe('a key that the server does not have', () => {
  it('is ETIMEDOUT, and the board ignores a server with another key', async () => {
    const { peer, board } = await start({ key: Buffer.alloc(32, 'w'), timeoutMs: 75 });
    await expect(send(board, '1')).rejects.toThrow('OSError: [Errno 110] ETIMEDOUT');
    expect(new Set(peer.reasons)).toEqual(new Set(['unknown-key']));
  });
});

describe('a session', () => {
  it.each([
    ['ends after 24 h', 'client.began = time.ticks_add(client.began, -86400001 - ben2.since(client.began))'],
    ['ends with its last number', 'client.ctr = 0x3fffffff'],
    ['ends if its clock makes no sense', 'client.began = time.ticks_add(time.ticks_ms(), 5000)'],
  ])('%s', async (_name, source) => {
    const { peer, board } = await startOpen();
    await board.run(`import ben2, time\n${source}`);
    expect(await send(board, '"once"')).toContain('once');
    expect(peer.upTypes).toEqual([OPEN, REQ1]);
  });

  it('goes on until then', async () => {
    const { peer, board } = await startOpen();
    await board.run('client.ctr = 0x3ffffffe');
    await send(board, '"once"');
    expect(peer.upTypes).toEqual([REQ]);
    expect(peer.up[0]!.readUInt32BE(10)).toBe(2 ** 30 - 1);
  });
});

describe('deep sleep', () => {
  const NOTHING = Buffer.alloc(0);

  /** A board that sent once and fell asleep. */
  async function fallAsleep(rtcMemory = NOTHING) {
    const { peer, board } = await startOpen({ rtcMemory });
    const memory = await rtcOf(board);
    await board.close();
    return { peer, memory };
  }

  it('keeps the session: the next exchange takes 2 datagrams', async () => {
    const { peer, memory } = await fallAsleep();
    expect(memory).toHaveLength(SAVED_BYTES);
    const board = await startBoard(peer.port, { rtcMemory: memory });
    expect(await send(board, '"awake"')).toContain('awake');
    expect([peer.upTypes, peer.up[0]!.readUInt32BE(10)]).toEqual([[REQ], 2]);
    const next = await startBoard(peer.port, { rtcMemory: await rtcOf(board) });
    await send(next, '"again"');
    expect([peer.upTypes, peer.up[1]!.readUInt32BE(10)]).toEqual([[REQ, REQ], 3]);
  });

  it('leaves the rest of the memory to the application', async () => {
    const rest = Buffer.from('of the application');
    const { peer, memory } = await fallAsleep(Buffer.concat([Buffer.alloc(SAVED_BYTES), rest]));
    expect(memory.subarray(SAVED_BYTES)).toEqual(rest);
    peer.upward = () => [];
    const board = await startBoard(peer.port, { rtcMemory: memory, timeoutMs: 75 });
    await expect(send(board, '1')).rejects.toThrow('Unknown');
    expect(await rtcOf(board)).toEqual(Buffer.concat([Buffer.alloc(SAVED_BYTES), rest]));
  });

  it('loses a number, and nothing else, to a crash between saving and sending', async () => {
    const { peer, memory } = await fallAsleep();
    const crashed = await startBoard(peer.port, { rtcMemory: memory });
    await crashed.run(`
class Crash(Exception):
    pass
def crash(*_):
    raise Crash()
exchange, client.exchange = client.exchange, crash
try:
    client.send(${ECHO})
except Crash:
    pass`);
    expect(peer.up).toEqual([]);
    const board = await startBoard(peer.port, { rtcMemory: await rtcOf(crashed) });
    await send(board, '"once"');
    expect([peer.upTypes, peer.up[0]!.readUInt32BE(10), countOf(peer, 'once')]).toEqual([[REQ], 3, 1]);
  });

  it('keeps no session whose first request was not answered', async () => {
    const { peer, board } = await start({ rtcMemory: NOTHING, timeoutMs: 750 });
    peer.downward = (datagram) => (typeOf(datagram) === REP ? [] : [datagram]);
    await expect(send(board, '1')).rejects.toThrow('Unknown');
    expect(await rtcOf(board)).toEqual(NOTHING);
  });

  it.each([1, 2])('with a state from %i requests ago: nothing runs twice, the call is Unknown', async (age) => {
    const { peer, memory } = await fallAsleep();
    const board = await startBoard(peer.port, { rtcMemory: memory });
    for (let turn = 0; turn < age; turn++) {
      await send(board, `"<${turn}>"`);
    }
    const old = await startBoard(peer.port, { rtcMemory: memory, timeoutMs: 75 });
    await expect(send(old, '"other"')).rejects.toThrow('Unknown');
    expect(new Set(peer.reasons)).toEqual(new Set([age === 1 ? 'counter-reused' : 'replayed']));
    expect(countOf(peer, 'other')).toBe(0);
    await slowDown(old);
    expect(await send(old, '"next"')).toContain('next');
  });

  it.each([
    ['is damaged', (memory: Buffer) => Buffer.from(memory).fill(memory[40]! ^ 1, 40, 41)],
    ['is cut off', (memory: Buffer) => memory.subarray(0, 61)],
    ['was lost', () => NOTHING],
    ['was overwritten', () => Buffer.alloc(100, 0xb2)],
  ])('opens a session if the state %s', async (_name, spoil) => {
    const { peer, memory } = await fallAsleep();
    const board = await startBoard(peer.port, { rtcMemory: spoil(memory) });
    expect(await send(board, '1')).toContain('1');
    expect(peer.upTypes).toEqual([OPEN, REQ1]);
  });

  it('uses no number twice if two clients share the memory', async () => {
    const { peer, memory } = await fallAsleep();
    const board = await startBoard(peer.port, { rtcMemory: memory });
    await board.run(`
import ben2
other = ben2.client(*client.server, timeout=3, rtc=rtc)
results = [each.send({"data": "<%d>" % n}) for n, each in enumerate((client, other, other, client, client))]`);
    expect(peer.reasons).toEqual([]);
    expect(peer.executed.toSorted()).toEqual(Array.from({ length: 5 }, (_, n) => expect.stringContaining(`<${n}>`)));
    // The second client finds the state of the first one, and the first one that of the second.
    expect(peer.upTypes).toEqual([REQ, OPEN, REQ1, REQ, OPEN, REQ1, REQ]);
  });

  it('opens a session if the application overwrites the state while the board is awake', async () => {
    const { peer, memory } = await fallAsleep();
    const board = await startBoard(peer.port, { rtcMemory: memory });
    await board.run('rtc.memory(b"of the application")');
    expect(await send(board, '"once"')).toContain('once');
    expect(peer.upTypes).toEqual([OPEN, REQ1]);
  });

  it('opens a session if the state is of another key', async () => {
    const { memory } = await fallAsleep();
    const key = Buffer.alloc(32, 'n');
    const peer = await V2Peer.start(key);
    await send(await startBoard(peer.port, { key, rtcMemory: memory }), '1');
    expect(peer.upTypes).toEqual([OPEN, REQ1]);
  });

  it.each([
    ['went back', -2, [OPEN, REQ1]],
    ['went on for an hour', 3600, [REQ]],
    ['went on for a day', 86_401, [OPEN, REQ1]],
  ])('with a clock that %s', async (_name, seconds, types) => {
    const { peer, memory } = await fallAsleep();
    const board = await startBoard(peer.port, { rtcMemory: memory });
    await board.run(`
import ben2, time as real
class Clock:
    ticks_ms, ticks_add, ticks_diff = real.ticks_ms, real.ticks_add, real.ticks_diff
    time = staticmethod(lambda: real.time() + ${seconds})
ben2.time = Clock
client.sid = None
client.load()`);
    peer.skip(Math.max(0, seconds * 1000));
    await send(board, '1');
    expect(peer.upTypes).toEqual(types);
  });
});

describe('the vectors', () => {
  const contents = Buffer.from(vectors.keys[0]!.contents, 'hex');
  const openings = vectors.openings.filter(({ key }) => key === vectors.keys[0]!.name);

  it.each(openings)('open a session on the board: $name', async (vector) => {
    const board = await startBoard(1, { key: contents });
    const { stdout } = await board.run(`
import os
os.urandom = lambda size: bytes.fromhex("${vector.nd}")
def exchange(datagram, check):
    print(datagram.hex())
    grant = bytes.fromhex("${vector.grant}")
    return grant if check(grant) else None
client.exchange = exchange
sid = client.start(*client.open(bytes.fromhex("${vector.old}")))
print(sid.hex(), client.p.hex(), client.ke.hex(), client.kre.hex())`);
    expect(stdout.trim().split(/\s+/)).toEqual([vector.open, vector.sid, vector.P, vector.ke, vector.kre]);
  });

  it('match the request of the board, and hold replies that it ignores', async () => {
    const { request, reply, datagrams } = vectors.ignored;
    const board = await startBoard(1, { key: contents });
    const { stdout } = await board.run(`
import ben2, time as real
class Clock:
    ticks_ms = staticmethod(lambda: 5000)
    ticks_add, ticks_diff = real.ticks_add, real.ticks_diff
ben2.time = Clock
client.sid = client.derive(bytes(2), bytes.fromhex("${vectors.openings[0]!.P}"))
client.ctr, client.began = 1, 5000
def exchange(datagram, check):
    print(datagram.hex())
    for each in (${datagrams.map(({ datagram }) => `"${datagram}"`).join(', ')}):
        print(not check(bytes.fromhex(each)))
    reply = bytes.fromhex("${reply}")
    return reply if check(reply) else None
client.exchange = exchange
print(client.send({"action": "echo"}))`);
    expect(stdout.trim().split('\n')).toEqual([request, ...datagrams.map(() => 'True'), '1']);
  });
});

describe('the saved state', () => {
  it.each(vectors.saved)('is that of the vectors, number $ctr', async ({ ctr, t, wall, state }) => {
    const key = Buffer.from(vectors.keys[0]!.contents, 'hex');
    const board = await startBoard(1, { key, rtcMemory: Buffer.from(state, 'hex') });
    const { stdout } = await board.run(`
import ben2, time as real
class Clock:
    ticks_ms = staticmethod(lambda: 5000)
    ticks_add, ticks_diff = real.ticks_add, real.ticks_diff
    time = staticmethod(lambda: ${wall})
ben2.time = Clock
client.load()
print(client.ctr, ben2.since(client.began), client.sid.hex())
rtc.memory(b"")
client.save(client.sid)`);
    expect(stdout.trim()).toBe(`${ctr} ${t} ${vectors.openings[0]!.sid}`);
    expect((await rtcOf(board)).toString('hex')).toBe(state);
  });
});

describe('the heap of a board', () => {
  /**
   * Counts every allocation, without one run of the collector: the most that a board can need. The allocations of the stand-ins for a
   * board's own modules are left out. `size_of` adds the allocations of the real modules.
   */
  const MEASURE = `
import gc, os, ben2
AES_BYTES = 512  # of ESP8266 firmware, the largest
skipped = peak = before = 0
def used():
    return gc.mem_alloc() - before - skipped
def bytes_size(value):
    return 16 + (len(value) + 16) // 16 * 16
def nothing(value):
    return 0
def counted(function, size_of, buffer=0):
    def call(a, b=None):
        global skipped, peak
        peak = max(peak, used() + buffer)
        start = gc.mem_alloc()
        result = function(a) if b is None else function(a, b)
        skipped += gc.mem_alloc() - start - size_of(result)
        return result
    return call
class Cipher:
    def __init__(self, args):
        cipher = aes(*args)
        self.encrypt = counted(cipher.encrypt, lambda given: bytes_size(given) if isinstance(given, bytes) else 0)
        self.decrypt = counted(cipher.decrypt, nothing)
class Socket:
    def __init__(self, socket):
        self.sendto = counted(socket.sendto, nothing)
        # A board takes the whole buffer first, and gives back the unused part. 80 is a tuple with an address.
        self.recvfrom = counted(socket.recvfrom, lambda got: bytes_size(got[0]) + 80, 1536)
        self.settimeout = counted(socket.settimeout, nothing)
aes, create = ben2.aes, counted(Cipher, lambda _: AES_BYTES)
ben2.aes = lambda *args: create(args)
os.urandom = counted(os.urandom, bytes_size)
request = {"action": "echo", "data": "x" * 100}
socket = Socket(client.socket)
def measured(work):
    global skipped, before, peak
    skipped = peak = 0
    before = gc.mem_alloc()
    work()
    return max(peak, used())
def exchange():
    made.send(request)
`;

  it.each([
    ['', 6000, 12_000, {}],
    [', rtc=rtc', 7000, 13_000, { rtcMemory: Buffer.alloc(0) }],
  ])(
    'of client(…%s) with an exchange of 100 bytes is at most %i bytes, and %i for the first one',
    async (rtc, most, first, options) => {
      const { peer, board } = await start(options);
      peer.answer = () => JSON.stringify({ data: 'x'.repeat(100) });
      await board.run(MEASURE);
      const numberOf = async (source: string) => Number((await board.run(`print(${source})`)).stdout);
      const allocatedNow = () => numberOf('gc.mem_alloc()');
      // Collections take place between the runs alone: this VM can't look into its own stack.
      const collect = () => board.run(board.version === '1.20.0' ? '' : 'gc.collect()');
      await collect();
      const without = await allocatedNow();
      await board.run(`made = ben2.client("127.0.0.1", ${peer.port}${rtc})\nmade.socket = socket`);
      // The first exchange allocates 12 kB, because it derives the keys of the session. A board that has less collects in between.
      expect(await numberOf('measured(exchange)')).toBeLessThanOrEqual(first);
      await collect();
      const kept = (await allocatedNow()) - without;
      const next = await numberOf('measured(exchange)');
      expect(kept + next).toBeLessThanOrEqual(most);
    },
  );
});

describe('the file', () => {
  it('is below 8 kB, writes no flash, and needs no module that stock firmware lacks', () => {
    expect(Buffer.byteLength(program)).toBeLessThan(8000);
    expect(
      [...code.matchAll(/\bopen\((.*?)\)/g)].map(([, args]) => args).filter((args) => args!.includes('"')),
    ).toEqual(['keyfile, "rb"']);
    const modules = [...code.matchAll(/^\s*(?:import|from) (\w+)/gm)].map(([, name]) => name!);
    expect(modules.toSorted()).toEqual(['cryptolib', 'errno', 'hashlib', 'json', 'os', 'socket', 'time', 'ucryptolib']);
  });

  it('uses no syntax that MicroPython 1.19 lacks', () => {
    expect(code).not.toMatch(/\bf"|\bf'|:=|\bmatch\b|\basync\b|\bnonlocal\b|__slots__|@property|\*, |->/);
    // Floats cost heap on a board.
    expect(code).not.toMatch(/\b\d+\.\d+\b/);
  });

  it('is listed for mip, with the version of the package, and by a full URL: mip before 2025 knows no relative ones', () => {
    const { version, repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
      repository: { url: string };
    };
    const [, name] = /github\.com\/(.*)\.git$/.exec(repository.url)!;
    const listed = JSON.parse(readFileSync(join(root, 'device/package.json'), 'utf8')) as object;
    expect(listed).toEqual({ urls: [['ben2.py', `github:${name!}/device/ben2.py`]], deps: [], version });
    const page = readFileSync(join(root, 'docs/protocol-v2.md'), 'utf8');
    expect(page).toContain(`mpremote mip install github:${name!}/device@v${version}\n`);
    expect(page).toContain(`mip.install("github:${name!}/device", version="v${version}")\n`);
  });
});
