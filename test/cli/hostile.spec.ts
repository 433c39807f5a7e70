/** Input that nobody means: the command line says what is wrong with it, and never ends as a bug. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { EXIT_CODES, run } from '../../lib/cli/index.js';
import { describe, expect, it } from 'vitest';
import { escapeUnprintable, excerptOf, printable } from '../../lib/printable.js';
import { printDocument } from '../../lib/cli/text.js';
import { Random } from '../../lib/testing/random.js';
import { TestIo } from '../support/cli-io.js';
import { direction, ethernet, ipv4, pcap, pcapng, udp } from '../support/pcap.js';
import { recordedExchanges } from '../support/vectors.js';

/** Each moves the cursor, changes colours, hides text or turns its direction. */
const HOSTILE = {
  escape: '\u001b[2J',
  C1: '\u009b31m',
  delete: '\u007f',
  bidi: '\u202e\u2066',
  'zero width': '\u200b\u200d\ufeff',
  tags: '\u{e0041}',
  'line separator': '\u2028\u2029',
  'half a pair': '\ud800',
};

describe('text of a peer', () => {
  it.each(Object.entries(HOSTILE))('is escaped in a line and in JSON: %s', (_what, text) => {
    const isPlain = /^[ -~]*$/;
    expect(printable(`a${text}b`)).toMatch(isPlain);
    expect(escapeUnprintable(text)).toMatch(isPlain);
    const document = printDocument({ data: `a${text}b`, [text]: 1 });
    expect(document).toMatch(isPlain);
    expect(JSON.parse(document)).toEqual({ data: `a${text}b`, [text]: 1 });
  });

  it('stays as it is if it is only not ASCII', () => {
    expect(printable('h\u00e9 \u20ac \u{1f600}\n\t')).toBe('h\u00e9 \u20ac \u{1f600}\n\t');
    expect(printDocument('h\u00e9 \u{1f600}')).toBe('"h\u00e9 \u{1f600}"');
  });

  it('is cut, and its length told', () => {
    expect(excerptOf('x'.repeat(11), 10)).toBe(`${'x'.repeat(10)}… (11 characters)`);
    expect(excerptOf('x'.repeat(10), 10)).toBe('x'.repeat(10));
  });
});

/** Runs a command line; its exit code, and whether all it printed can be shown. */
async function tryRun(args: readonly string[], stdin: Buffer | string = ''): Promise<number> {
  const io = new TestIo({ stdin });
  const exitCode = await run(args, io);
  // Line ends and tabs alone may be there.
  expect(`${io.text}${io.errors}`.replaceAll(/[\n\t]/g, '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  return exitCode;
}

describe('decode', () => {
  it.each([
    ['the largest there is', 0xffff_ffff, 0xffff_ffff],
    ['one past the last of a Date', 0x0020_0000, 0],
    ['zero', 0, 0],
  ])('leaves a time out that no Date can hold, in a pcapng packet: %s', async (_what, high, low) => {
    const packet = ethernet(ipv4(udp(Buffer.from('/GETID'), direction(true)), direction(true)));
    const bytes = pcapng([packet], { time: [high, low] });
    expect(await tryRun(['decode', '-'], bytes)).toBe(EXIT_CODES.failed);
    expect(await tryRun(['decode', '-', '--json'], bytes)).toBe(EXIT_CODES.failed);
  });

  it('says what is wrong with any mutant of a recording, and never ends as a bug', async () => {
    const vectors = await readFile(fileURLToPath(new URL('../vectors/upstream-v1.json', import.meta.url)), 'utf8');
    const small = JSON.stringify({ ...JSON.parse(vectors), runs: JSON.parse(vectors).runs.slice(0, 1) });
    const [first] = recordedExchanges;
    const hello = ethernet(ipv4(udp(first!.hello, direction(true)), direction(true)));
    const request = ethernet(ipv4(udp(first!.envelope, direction(true)), direction(true)));
    const seeds = [
      Buffer.from(small.slice(0, 4000)),
      Buffer.from(`> ${first!.hello.toString('hex')}\n> ${first!.envelope.toString('hex')}`),
      pcap([hello, request]),
      pcapng([hello, request]),
      await readFile(fileURLToPath(new URL('../vectors/loopback.pcap', import.meta.url))),
    ];
    const random = new Random(17);
    const codes = new Set<number>();
    for (let round = 0; round < 1500; round++) {
      const bytes = Buffer.from(random.pick(seeds));
      for (let change = random.below(6); change >= 0; change--) {
        const at = random.below(bytes.length);
        const width = random.pick([1, 4]);
        bytes.fill(random.pick([0, 0xff, 0x7f, random.below(256)]), at, Math.min(at + width, bytes.length));
      }
      const cut = random.chance(0.2) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
      codes.add(await tryRun(random.chance(0.5) ? ['decode', '-'] : ['decode', '-', '--json'], cut));
    }
    expect([...codes].toSorted()).toEqual([EXIT_CODES.ok, EXIT_CODES.failed]);
  });
});

describe('words on the command line', () => {
  const words = [
    '',
    ' ',
    '-',
    '--',
    '--json',
    '--port',
    '--port=0',
    '--port=65536',
    '--port=-1',
    '--timeout=1e99',
    `--count=${'9'.repeat(400)}`,
    '--key-file',
    '--key-file=/nonexistent',
    '--key=secret',
    '--unknown',
    '--host=999.999.999.999',
    '127.0.0.1:1',
    '[::1]:99999',
    'echo',
    '{"a":',
    '[[[[[[',
    'null',
    '1e999',
    ...Object.values(HOSTILE),
    'x'.repeat(100_000),
    '\0',
  ];

  it.each(['keygen', 'send', 'decode', 'doctor', 'nonsense', ''])(
    'of %s, whichever they are, end with a code of the list',
    async (command) => {
      const random = new Random(command.length + 1);
      const codes = new Set<number>();
      for (let round = 0; round < 150; round++) {
        const args = Array.from({ length: random.below(5) }, () => random.pick(words));
        // A key file that is made would stay; one of no folder is refused.
        const safe = args.map((arg) => (command === 'keygen' && !arg.startsWith('-') ? `/nonexistent/${arg}` : arg));
        codes.add(await tryRun([command, ...safe]));
      }
      expect([...codes].filter((code) => code === EXIT_CODES.bug)).toEqual([]);
      expect(codes).toContain(EXIT_CODES.usage);
    },
  );
});
