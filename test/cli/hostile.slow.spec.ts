/** Hostile input: the command line names the fault, prints nothing raw, and never ends as a bug. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { decode } from '../../lib/cli/decode.js';
import { EXIT_CODES } from '../../lib/cli/exit-code.js';
import type { CliIo } from '../../lib/cli/io.js';
import { listen } from '../../lib/cli/listen.js';
import { run } from '../../lib/cli/run.js';
import { send } from '../../lib/cli/send.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { escapeUnprintable, excerptOf, printable } from '../../lib/printable.js';
import { describeBug, excerpt, printDocument } from '../../lib/cli/text.js';
import { sealRequest } from '../../lib/exchange/index.js';
import { type Platform, bindDatagramSocket, nodePlatform } from '../../lib/net/index.js';
import { deriveKey } from '../../lib/keys/index.js';
import { type TestIoOptions, TestIo, runCommand, startCommand } from '../support/cli-io.js';
import { KEY_CONTENTS, startBoard } from '../support/nest-app.js';
import { direction, ethernet, ipv4, pcap, pcapng, udp } from '../support/pcap.js';
import { Random } from '../../lib/testing/random.js';
import { ScriptedServer } from '../support/scripted-server.js';
import { temporaryFolder } from '../support/temporary-folder.js';
import { recordedExchanges } from '../support/vectors.js';

const KEY = deriveKey(KEY_CONTENTS);

/** Each moves the cursor, changes colours, hides in a text, or turns its direction. */
const HOSTILE = {
  escape: '\u001b[2J',
  bell: '\u0007',
  'carriage return': 'all is well\rERROR',
  C1: '\u009b31m\u0085',
  delete: '\u007f',
  bidi: '\u202e\u2066\u061c',
  'zero width': '\u200b\u200d\ufeff\u2060',
  'soft hyphen': '\u00ad',
  annotation: '\ufff9\ufffb',
  tags: '\u{e0041}\u{e007f}',
  'unassigned beside tags': '\u{e0000}\u{e0fff}',
  'variation selectors': '\ufe0f\u{e0100}',
  fillers: '\u115f\u3164\uffa0',
  'combining grapheme joiner': '\u034f',
  'line separator': '\u2028\u2029',
  'half a pair': '\ud800',
};

/** All of them in one text. */
const WORST = Object.values(HOSTILE).join('x');

/** The same without half a pair, which UTF-8 can't carry. */
const WORST_IN_UTF8 = WORST.replaceAll(/\p{Cs}/gu, '');

/** Printable ASCII alone. All of `HOSTILE` becomes that. */
const PLAIN = /^[ -~]*$/;

/** A whole output: line ends may be there besides. */
const PLAIN_LINES = /^[\n -~…]*$/;

async function keyFile(): Promise<string> {
  const path = join(await temporaryFolder(), 'key.sec');
  await writeFile(path, KEY_CONTENTS, { mode: 0o600 });
  return path;
}

describe('text of a peer', () => {
  it.each(Object.entries(HOSTILE))('is escaped in a line and in JSON: %s', (_what, text) => {
    expect(printable(`a${text}b`)).toMatch(PLAIN);
    expect(escapeUnprintable(text)).toMatch(PLAIN);
    const document = printDocument({ data: `a${text}b`, [text]: 1 });
    expect(document).toMatch(PLAIN);
    expect(JSON.parse(document)).toEqual({ data: `a${text}b`, [text]: 1 });
  });

  it('is the same value in JSON for any characters', () => {
    const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
    const character = fc.integer({ min: 0, max: 0x10ffff }).map((code) => String.fromCodePoint(code));
    const text = fc.string({ unit: fc.oneof(unit, character, fc.constantFrom('\\', '"', 'u', ...WORST)) });
    fc.assert(
      fc.property(text, (value) => {
        expect(JSON.parse(printDocument([value]))).toEqual([value]);
      }),
      { numRuns: 1000 },
    );
  });

  it('stays as it is if it is visible, ASCII or not', () => {
    expect(printable('h\u00e9 \u20ac \u{1f600} e\u0301 \u3042\n\t')).toBe(
      'h\u00e9 \u20ac \u{1f600} e\u0301 \u3042\n\t',
    );
    expect(printDocument('h\u00e9 \u{1f600}')).toBe('"h\u00e9 \u{1f600}"');
  });

  it('is cut, with its length behind', () => {
    expect(excerptOf('x'.repeat(11), 10)).toBe(`${'x'.repeat(10)}… (11 characters)`);
    expect(excerptOf('x'.repeat(10), 10)).toBe('x'.repeat(10));
    expect(excerpt(`${'x'.repeat(119)}\n`)).toBe(`${'x'.repeat(119)}\\n`);
    expect(excerpt(`${'x'.repeat(120)}\n`)).toBe(`${'x'.repeat(120)}… (121 characters)`);
  });

  it('is not cut inside a character', () => {
    expect(excerptOf('abc\u{1f600}d', 4)).toBe('abc… (6 characters)');
    expect(excerptOf('abc\u{1f600}d', 5)).toBe('abc\u{1f600}… (6 characters)');
    // Half a pair of the peer's own is shown.
    expect(excerptOf('abc\ud83dd', 4)).toBe('abc\\ud83d… (5 characters)');
  });

  it('is escaped in the report of a bug', () => {
    const report = describeBug(Object.assign(new Error(WORST), { code: WORST }));
    expect(report).toContain('please report it: Error: \\u001b[2J');
    expectShowable(report);
  });
});

/** Allows line ends and tabs. Independent of the set in `lib`. */
function expectShowable(text: string): void {
  expect(text.replaceAll(/[\n\t]/g, '')).not.toMatch(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u,
  );
}

/** Runs a command line to its end. Fails if it ends as a bug, or if its output has raw characters. */
async function tryRun(
  args: readonly string[],
  options: TestIoOptions = {},
): Promise<{ exitCode: number; text: string }> {
  const io = new TestIo({ platform: ANY_FREE_PORT, ...options });
  // `listen` ends at once.
  io.interrupt();
  const exitCode = await run(args, io);
  const text = `${io.text}\n${io.errors}`;
  expectShowable(text);
  expect(NOT_A_BUG).toContain(exitCode);
  return { exitCode, text };
}

/** Another program may have the port that a word names. */
const ANY_FREE_PORT: Platform = {
  ...nodePlatform,
  bindSocket: (options, handlers) => bindDatagramSocket({ ...options, port: 0 }, handlers),
};

const NOT_A_BUG: readonly number[] = Object.values(EXIT_CODES).filter((code) => code !== EXIT_CODES.bug);

describe('an io whose parts are private', () => {
  class PrivateIo implements CliIo {
    readonly #io = new TestIo({ env: { BEN_KEY_FILE: '/nowhere/key.sec' } });
    readonly out = (line: string) => this.#io.out(line);
    readonly err = (line: string) => this.#io.err(line);
    readonly progress = (line: string) => this.#io.progress(line);
    readonly runProgram: CliIo['runProgram'] = (...args) => this.#io.runProgram(...args);
    readonly interfaces = () => this.#io.interfaces();

    get stdin() {
      return this.#io.stdin;
    }
    get env() {
      return this.#io.env;
    }
    get signal() {
      return this.#io.signal;
    }
    get platform() {
      return this.#io.platform;
    }
    get errors() {
      return this.#io.errors;
    }
  }

  it('runs a command', async () => {
    const io = new PrivateIo();
    expect(await run(['send', '127.0.0.1', 'echo'], io)).toBe(EXIT_CODES.failed);
    expect(io.errors).toContain('"/nowhere/key.sec" does not exist');
  });
});

describe('listen', () => {
  it.each(['', '--json'])('shows no raw character of a request %s', async (flag) => {
    const args = flag ? [flag] : [];
    const words = ['--host', '127.0.0.1', '--port', '0', '--key-file', await keyFile(), ...args];
    const { io, exitCode } = startCommand(listen, words);
    const port = Number(
      /127\.0\.0\.1:(\d+)|"port":(\d+)/
        .exec(await io.line(/istening/))!
        .slice(1)
        .join(''),
    );
    const board = await startBoard(port);
    expect(await board.send({ action: WORST_IN_UTF8, data: { [WORST_IN_UTF8]: WORST_IN_UTF8 } })).toEqual({
      [WORST_IN_UTF8]: WORST_IN_UTF8,
    });
    // MicroPython 1.29 prints characters raw.
    await board.exchange(`{'action': '${WORST_IN_UTF8.replaceAll(/[\p{Cc}]/gu, '')}'}`);
    board.sendDatagram(Buffer.from(WORST));
    await io.line(/unknown-datagram/);
    io.interrupt();
    expect(await exitCode).toBe(EXIT_CODES.ok);
    expect(`${io.text}\n${io.errors}`).toMatch(PLAIN_LINES);
    expect(io.text).toContain('\\u202e\\u2066');
  });
});

describe('send', () => {
  /** A server that answers every request with the same text. */
  async function ask(reply: string, ...args: string[]) {
    const script = new ScriptedServer(KEY);
    const socket = await bindDatagramSocket(
      { host: '127.0.0.1', port: 0, receiveBufferSize: undefined },
      {
        onDatagram: (datagram, { port, address }) => {
          const answer = datagram.length === 6 ? script.pair() : script.reply(reply);
          answer.forEach((each) => socket.send(each, port, address));
        },
        onError: () => undefined,
      },
    );
    onTestFinished(() => socket.close());
    return runCommand(send, [`127.0.0.1:${socket.address.port}`, 'x', '--key-file', await keyFile(), ...args]);
  }

  it.each([
    ['data', { data: WORST }, EXIT_CODES.ok],
    ['keys of data', { data: { [WORST]: [WORST] } }, EXIT_CODES.ok],
    ['an error', { data: null, error: WORST }, EXIT_CODES.errorReply],
    ['an error without data', { error: { message: WORST } }, EXIT_CODES.errorReply],
  ])('shows no raw character of %s', async (_what, reply, expected) => {
    for (const args of [[], ['--json']]) {
      const { io, exitCode } = await ask(JSON.stringify(reply), ...args);
      expect(exitCode).toBe(expected);
      expect(`${io.text}${io.errors}`).toMatch(PLAIN);
    }
  });

  it('shows no raw character of a reply that is not JSON', async () => {
    const { io, exitCode } = await ask(`no JSON ${WORST_IN_UTF8}`);
    expect(exitCode).toBe(EXIT_CODES.ok);
    expect(io.text).toMatch(PLAIN);
  });

  it('prints an error on one line, because a second line could look like a line of the program', async () => {
    const { io } = await ask(JSON.stringify({ error: 'no\nnestjs-ben-udp send:\tkey accepted' }));
    expect(io.stderr).toEqual(['The server answered with an error: no\\nnestjs-ben-udp send:\\tkey accepted']);
  });

  it('prints the JSON text of a reply that is nested too deep, and does not call it a failure', async () => {
    const deep = (levels: number) => `${'['.repeat(levels)}1${']'.repeat(levels)}`;
    const atLimit = await ask(`{"data":${deep(64)}}`);
    expect([atLimit.exitCode, atLimit.io.stdout]).toEqual([EXIT_CODES.ok, [deep(64)]]);
    const beyond = `{"data":${deep(65)}}`;
    const words = await ask(beyond);
    expect([words.exitCode, words.io.stdout, words.io.stderr]).toEqual([EXIT_CODES.ok, [beyond], []]);
    const json = await ask(beyond, '--json');
    expect(json.exitCode).toBe(EXIT_CODES.ok);
    expect(json.io.documents).toEqual([{ outcome: 'answered', text: beyond, latencyMs: expect.any(Number) as number }]);
    const error = `{"data":null,"error":${deep(2000)}}`;
    expect((await ask(error)).io.stderr).toEqual([`The server answered with an error: ${error}`]);
    const failed = await ask(error, '--json');
    expect(failed.exitCode).toBe(EXIT_CODES.errorReply);
    expect(failed.io.documents).toMatchObject([{ outcome: 'error-reply', text: error }]);
  });
});

/** The seven datagrams of an exchange, with who sends them. */
function exchangeOf(request: string, reply: string): Array<readonly [isDevice: boolean, bytes: Buffer]> {
  const server = new ScriptedServer(KEY);
  const { sealer } = server;
  const id = Buffer.from(server.id);
  return [
    [true, Buffer.from('/GETID')],
    ...server.pair().map((bytes) => [false, bytes] as const),
    [true, sealRequest(sealer, id, request)],
    ...server.reply(reply).map((bytes) => [false, bytes] as const),
  ];
}

type Datagrams = ReturnType<typeof exchangeOf>;

function toHex(datagrams: Datagrams): string {
  return datagrams.map(([isDevice, bytes]) => `${isDevice ? '>' : '<'} ${bytes.toString('hex')}`).join('\n');
}

function toPackets(datagrams: Datagrams): Buffer[] {
  return datagrams.map(([isDevice, bytes]) => ethernet(ipv4(udp(bytes, direction(isDevice)), direction(isDevice))));
}

describe('decode', () => {
  it.each(['', '--json'])('shows no raw character of requests and replies %s', async (flag) => {
    const args = flag ? [flag] : [];
    const raw = WORST_IN_UTF8.replaceAll(/\p{Cc}/gu, '');
    const good = exchangeOf(`{'action': '${raw}'}`, `{"data":"${raw}"}`);
    // A text that is refused is shown too.
    const bad = exchangeOf(`{'action': ${WORST_IN_UTF8}`, `{"data":"${WORST_IN_UTF8}"`);
    const stdin = `${toHex(good)}\n${toHex(bad)}`;
    const { io, exitCode } = await runCommand(decode, ['-', '--key-file', await keyFile(), ...args], { stdin });
    expect(exitCode).toBe(EXIT_CODES.failed);
    expect(io.text).toMatch(PLAIN_LINES);
    expect(io.text.match(/\\u202e\\u2066/g)!.length).toBeGreaterThanOrEqual(4);
  });

  it.each([
    ['the largest number there is', [0xffff_ffff, 0xffff_ffff], undefined],
    ['one past the last of a Date', [0x001e_b208, 0xc2dc_0001], undefined],
    ['the last of a Date', [0x001e_b208, 0xc2dc_0000], '+275760-09-13T00:00:00.000Z'],
    ['zero', [0, 0], '1970-01-01T00:00:00.000Z'],
  ] as const)('omits a time of a pcapng packet that no Date can hold: %s', async (_what, time, shown) => {
    const stdin = pcapng(toPackets(exchangeOf("{'action': 'x'}", '{}')).slice(0, 1), { time, resolution: 3 });
    const words = await tryRun(['decode', '-'], { stdin });
    expect(words.text).toContain(`Exchange 1, 10.0.0.7:8585 > 10.0.0.2:8585${shown ? `, ${shown}` : ''}\n`);
    const json = await tryRun(['decode', '-', '--json'], { stdin });
    expect(JSON.parse(json.text)).toMatchObject({ exchanges: [{ ...(shown && { at: Date.parse(shown) }) }] });
    expect(json.text.includes('"at"')).toBe(shown !== undefined);
  });

  it('reads every time resolution with the least and the largest time', async () => {
    const packets = toPackets(exchangeOf("{'action': 'x'}", '{}')).slice(0, 1);
    for (let resolution = 0; resolution <= 0xff; resolution++) {
      for (const time of [
        [0, 0],
        [0, 1],
        [0xffff_ffff, 0xffff_ffff],
      ] as const) {
        const { exitCode } = await tryRun(['decode', '-'], { stdin: pcapng(packets, { resolution, time }) });
        expect(exitCode).toBe(EXIT_CODES.failed);
      }
    }
  });

  describe('of a mutant', () => {
    const random = new Random(17);
    const [first] = recordedExchanges;
    const datagrams = exchangeOf("{'action': 'echo', 'data': [1, 'x']}", '{"data":[1,"x"]}');
    const packets = toPackets(datagrams);
    const options = { isLittle: false, resolution: 9 };
    const binary = [
      pcap(packets),
      pcap(packets, { isLittle: false, isNano: true, snaplen: 100 }),
      pcapng(packets),
      pcapng(packets, options),
      pcapng(packets, { isSimple: true }),

      pcap([fragment(datagrams[3]![1], 0, 64), fragment(datagrams[3]![1], 64, 1000)], { linkType: 101 }),
      readFileSync(new URL('../vectors/loopback.pcap', import.meta.url)),
    ];
    /** So short that most changes meet a header. */
    const short = [pcapng(packets.slice(0, 1)), pcap(packets.slice(0, 1))];
    const texts = [
      toHex(datagrams),
      `# comment\n${toHex(datagrams).replaceAll(/(..)/g, '$1 ')}`,
      `> ${first!.envelope.toString('hex')}`,
    ];
    const seeds = random.fork();

    function fragment(payload: Buffer, start: number, end: number): Buffer {
      const whole = udp(payload, direction(true));
      return ipv4(whole.subarray(start, end), { ...direction(true), offset: start, hasMore: end < whole.length });
    }

    /** Overwrites fields with the least and the largest numbers. */
    function spoilBytes(seed: Buffer): Buffer {
      const mutant = Buffer.from(seed);
      for (let change = random.below(6); change >= 0; change--) {
        // Most fields lie at multiples of four bytes.
        const at = random.below(mutant.length) & (random.chance(0.5) ? -4 : -1);
        const width = random.pick([1, 2, 4, 8]);
        mutant.fill(random.pick([0, 0xff, 0x7f, 0x80, random.below(256)]), at, Math.min(at + width, mutant.length));
      }
      return random.chance(0.2) ? mutant.subarray(0, random.below(mutant.length)) : mutant;
    }

    /** Inserts marks, odd characters and pieces of other lines. */
    function spoilText(seed: string): string {
      let mutant = seed;
      for (let change = random.below(4); change >= 0; change--) {
        const at = random.below(mutant.length);
        const piece = random.pick([
          '',
          '\n',
          '>',
          '<',
          '#',
          '0x',
          'ff',
          '\0',
          'g',
          WORST,
          mutant.slice(at, at + 80),
          '{',
          '\ufeff',
        ]);
        mutant = mutant.slice(0, at) + piece + mutant.slice(at + random.below(3));
      }
      return mutant;
    }

    it.each([
      ['a capture', 1000, () => spoilBytes(seeds.pick(binary))],
      ['a capture of one packet', 1000, () => spoilBytes(seeds.pick(short))],
      ['hex', 400, () => spoilText(seeds.pick(texts))],
    ])('of %s ends with a message, never as a bug', async (_what, rounds, spoil) => {
      const key = ['--key-file', await keyFile()];
      const codes = new Set<number>();
      for (let round = 0; round < rounds; round++) {
        const args = ['decode', '-', ...(random.chance(0.5) ? ['--json'] : []), ...(random.chance(0.7) ? key : [])];
        const { exitCode } = await tryRun(args, { stdin: spoil() });
        codes.add(exitCode);
      }
      expect([...codes].toSorted()).toEqual([EXIT_CODES.ok, EXIT_CODES.failed]);
    });
  });
});

describe('words on the command line', () => {
  const keyOf = (file: string) => [`--key-file=${file}`];
  /** Each is tried as the value of every option, and as a word of its own. */
  const ODD_WORDS = Object.values({
    blanks: ['', ' ', '-', '--'],
    numbers: ['-1', '0', '1', '65535', '65536', '1e99', '9'.repeat(400), 'NaN', '0x10', '\u0661'],
    paths: ['.', '/', '/nowhere/key.sec', '/dev/null', '\0', 'a\0b', '%', 'x'.repeat(100_000)],
    addresses: ['127.0.0.1:9', '[::1]:99999', '::', '999.999.999.999', '224.0.0.1', 'fe80::1%none', 'http://x', '*'],
    json: [
      'null',
      '{"a":',
      '"hi"',
      '1e999',
      '{"__proto__":1}',
      '"\\ud800"',
      `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    ],
    hostile: Object.values(HOSTILE),
  }).flat();
  const OPTIONS = {
    keygen: ['--c', '--python', '--existing', '--any-key-file', '--json'],
    provision: ['--host', '--port', '--key-file', '--device', '--ssid', '--force', '--json'],
    fleet: ['--action', '--data', '--interval', '--duration', '--timeout', '--key-file', '--json'],
    send: [
      '--noreturn',
      '--timeout',
      '--latency',
      '--count',
      '--local-port',
      '--local-address',
      '--key-file',
      '--json',
    ],
    listen: ['--host', '--port', '--answer', '--datagram-gap', '--count', '--key-file', '--any-key-file', '--json'],
    decode: ['--key-file', '--any-key-file', '--port', '--json'],
    doctor: ['--host', '--port', '--key-file', '--any-key-file', '--json'],
  };

  it.each(Object.keys(OPTIONS) as Array<keyof typeof OPTIONS>)(
    'of %s: each odd word in each place ends with a listed code',
    async (command) => {
      const [folder, file] = [await temporaryFolder(), await keyFile()];
      // The rest of the line is right, so that no other fault hides that of the word.
      const rest = {
        keygen: (word: string) => [join(folder, 'missing', word)],
        send: (word: string) => ['127.0.0.1:9', 'echo', ...keyOf(file), word],
        provision: (word: string) => ['kitchen', '--dry-run', '--host=h', word],
        fleet: (word: string) => ['1', '127.0.0.1:9', ...keyOf(file), word],
        listen: (word: string) => ['--host=127.0.0.1', '--port=0', ...keyOf(file), word],
        decode: (word: string) => ['-', word],
        doctor: (word: string) => [...keyOf(file), word],
      }[command];
      const codes = new Set<number>();
      for (const word of ODD_WORDS) {
        const lines = [
          rest(word),
          ...(command === 'send'
            ? [
                [word, 'echo'],
                ['127.0.0.1:9', word],
              ]
            : []
          ).map((line) => [...line, ...keyOf(file)]),
          ...OPTIONS[command].map((option) => [...rest('--json'), `${option}=${word}`]),
        ];
        for (const args of lines) {
          codes.add((await tryRun([command, ...args])).exitCode);
        }
      }
      expect(codes).toContain(EXIT_CODES.usage);
      expect(codes.size).toBeGreaterThan(1);
    },
  );

  it.each([...Object.keys(OPTIONS), 'nonsense', ''])(
    'of %s: odd words in any order end with a listed code',
    async (command) => {
      const random = new Random(command.length + 1);
      const folder = await temporaryFolder();
      const words = [...ODD_WORDS, ...Object.values(OPTIONS).flat(), '--help', '--key=secret', '--unknown', '-x'];
      for (let round = 0; round < 150; round++) {
        const args = Array.from({ length: random.below(5) }, () => random.pick(words));
        // A new key file must be gone after the test. A lone dash is a file name, a negative number too, and every word after two dashes.
        const end = args.includes('--') ? args.indexOf('--') : Infinity;
        const isOption = (arg: string, index: number) => index <= end && /^-[-a-z]/.test(arg);
        const safe = args.map((arg, index) =>
          command === 'keygen' && !isOption(arg, index) ? join(folder, 'missing', arg) : arg,
        );
        expect((await tryRun([command, ...safe])).exitCode).not.toBe(EXIT_CODES.bug);
      }
    },
  );

  it.each(['listen', 'doctor'])(
    'of %s: an empty --host is refused, because the system would bind every address',
    async (command) => {
      const { exitCode, text } = await tryRun([command, '--host=', '--key-file', await keyFile()]);
      expect(exitCode).toBe(EXIT_CODES.usage);
      expect(text).toContain('--host is empty');
    },
  );
});
