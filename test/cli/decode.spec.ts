/** The output of `decode` for people and scripts. test/decode tests the findings. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decode } from '../../lib/cli/decode.js';
import { describe, expect, it } from 'vitest';
import { nodePlatform } from '../../lib/net/index.js';
import { fingerprint, deriveKey } from '../../lib/keys/index.js';
import { MAX_HELP_LINES, runCommand } from '../support/cli-io.js';
import { ethernet, ipv4, pcap, udp } from '../support/pcap.js';
import { temporaryFolder } from '../support/temporary-folder.js';
import { recordedExchanges, recordedKey, recordedKeyFile, toHexText } from '../support/vectors.js';

const CAPTURE = fileURLToPath(new URL('../vectors/loopback.pcap', import.meta.url));

async function file(content: string | Buffer): Promise<string> {
  const path = join(await temporaryFolder(), 'file');
  await writeFile(path, content, { mode: 0o600 });
  return path;
}

const [first] = recordedExchanges;
const HEX = toHexText([first!]);

describe('decode', () => {
  it('names each step and prints its contents', async () => {
    const { exitCode, io } = await runCommand(decode, [await file(HEX), '--key-file', await file(recordedKeyFile)]);
    expect(exitCode).toBe(0);
    expect(io.text).toBe(
      [
        'Exchange 1',
        '  > 1 hello                6 bytes  line 1',
        '  < 2 id                  16 bytes  line 2',
        `  < 3 id IV               16 bytes  line 3       id ${first!.id.toString()}`,
        `  > 4 request            310 bytes  line 4       ${first!.request}`,
        '  < 5 reply hash          32 bytes  line 5',
        '  < 6 reply IV            16 bytes  line 6',
        `  < 7 reply ciphertext    32 bytes  line 7       ${first!.response}`,
        '',
        `1 exchange: 1 opened with key ${fingerprint(recordedKey)}.`,
      ].join('\n'),
    );
    expect(io.stderr).toEqual([]);
  });

  it('opens all 66 recordings', async () => {
    const { exitCode, io } = await runCommand(decode, [
      await file(toHexText()),
      '--key-file',
      await file(recordedKeyFile),
    ]);
    expect(exitCode).toBe(0);
    expect(io.stdout.at(-1)).toBe(`66 exchanges: 66 opened with key ${fingerprint(recordedKey)}.`);
    expect(io.stdout.filter((line) => line.startsWith('Exchange'))).toHaveLength(66);
    expect(io.text).not.toContain(recordedKey.toString('hex'));
  });

  it('reads standard input if the file is -', async () => {
    const { exitCode, io } = await runCommand(decode, ['-'], { stdin: await readFile(CAPTURE) });
    expect(exitCode).toBe(0);
    expect(io.text).toContain('3 exchanges: steps named, nothing opened: name the key with --key-file.');
    expect(io.text).toContain('Exchange 1, 127.0.0.2:18585 > 127.0.0.1:18585, 2026-');
  });

  it('prints the time of each step since the first one, if the recording has times', async () => {
    const { io } = await runCommand(decode, [CAPTURE]);
    expect(io.stdout.slice(1, 5)).toEqual([
      '  > 1 hello                6 bytes  packet 1        +0.0 ms',
      '  < 2 id                  16 bytes  packet 2        +2.9 ms',
      '  < 3 id IV               16 bytes  packet 3        +4.1 ms',
      '  > 4 request            364 bytes  packet 4       +17.1 ms',
    ]);
  });

  it('names each datagram that is left over, and counts them', async () => {
    const { io } = await runCommand(decode, ['-'], { stdin: `${HEX}< ${'00'.repeat(16)}\n> c0ffee\n` });
    expect(io.text).toContain('line 8       left over: the device reads it in its next exchange');
    expect(io.text).toContain('line 9       neither a hello nor a request');
    expect(io.text).toContain('2 datagrams of no step: see "extra datagram" above.');
  });

  it('shows its progress once a second on standard error', async () => {
    let now = 0;
    // Each look at the clock takes 400 ms.
    const platform = { ...nodePlatform, now: () => (now += 400) };
    const stdin = '> 2f4745544944\n'.repeat(6001);
    const { io } = await runCommand(decode, ['-', '--json'], { stdin, platform });
    expect(io.progressLines).toEqual(['decoded 3000 of 6001 exchanges', 'decoded 6000 of 6001 exchanges']);
    expect(io.stdout).toHaveLength(1);
  });

  it('prints one JSON document with --json', async () => {
    const words = [CAPTURE, '--json', '--key-file', await file(Buffer.alloc(32, 'k'))];
    const { io } = await runCommand(decode, words);
    const [document] = io.documents as Array<{ exchanges: unknown[] }>;
    expect(document).toMatchObject({
      recording: 'pcap',
      keys: [fingerprint(deriveKey(Buffer.alloc(32, 'k')))],
      skipped: {},
    });
    expect(document!.exchanges).toHaveLength(3);
    expect(document!.exchanges[2]).toMatchObject({
      conversation: '127.0.0.2:18585 > 127.0.0.1:18585',
      steps: [
        { step: 'hello', sender: 'device', bytes: 6, place: 'packet 15', at: expect.any(Number) as number },
        { step: 'id', sender: 'server', bytes: 16, place: 'packet 16' },
        { step: 'id-iv', sender: 'server', bytes: 16, place: 'packet 17' },
        { step: 'request', sender: 'device', bytes: 457, place: 'packet 18' },
      ],
      noreturn: true,
      faults: [],
    });
  });

  it('exits with 1 and names the fault if an exchange does not open', async () => {
    const { exitCode, io } = await runCommand(decode, [await file(HEX), '--key-file', await file(Buffer.alloc(32, 7))]);
    expect(exitCode).toBe(1);
    expect(io.text).toContain('  ! request: sealed with another key: it does not decrypt to a text (wrong-key)');
    expect(io.text).toContain('1 exchange: 0 opened with key');
    expect(io.text).toContain('; 1 with a problem (!).');
  });

  it('accepts several keys, and that of BEN_KEY_FILE if none is named', async () => {
    const [right, wrong] = [await file(recordedKeyFile), await file(Buffer.alloc(32, 7))];
    const hex = await file(HEX);
    expect((await runCommand(decode, [hex, '--key-file', wrong, '--key-file', right])).exitCode).toBe(0);
    const env = { BEN_KEY_FILE: right };
    expect((await runCommand(decode, [hex], { env })).io.text).toContain('1 opened');
    expect((await runCommand(decode, [hex, '--key-file', wrong], { env })).exitCode).toBe(1);
  });

  it('tells the contents of a capture without exchanges, and the next step', async () => {
    const packets = [ethernet(ipv4(udp(Buffer.from('x'), { to: ['10.0.0.2', 53], from: ['10.0.0.7', 999] })))];
    const { exitCode, io } = await runCommand(decode, [await file(pcap([...packets, Buffer.alloc(60)]))]);
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/contains no exchange\nSkipped packets: 1 no IP packet\.\n.*--port/);
  });

  it.each([
    ['junk', 'hello there', /line 1 is not a datagram in hex/],
    ['JSON', '{"runs": []}', /line 1 is not a datagram in hex/],
    ['nothing', '', /this recording contains no exchange\nIt contains no datagram/],
  ])('refuses %s', async (_what, content, message) => {
    const { exitCode, io } = await runCommand(decode, [await file(content)]);
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(message);
  });

  it('names a file that can’t be read', async () => {
    const { exitCode, io } = await runCommand(decode, ['/nowhere/file', '--json']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('"/nowhere/file" can\'t be read (ENOENT)');
    expect(io.documents).toMatchObject([{ outcome: 'failed', code: 'ENOENT' }]);
    expect((await runCommand(decode, [await temporaryFolder()])).io.errors).toContain('EISDIR');
  });

  it('does not start if a named key is missing', async () => {
    const { exitCode, io } = await runCommand(decode, [CAPTURE, '--key-file', '/nowhere/key.sec']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('does not exist');
  });

  it('stops reading an endless file', async () => {
    const { exitCode, io } = await runCommand(decode, ['/dev/zero']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('larger than 16777216 bytes and not a pcap file');
  });

  it.each([
    [[], /missing argument FILE\nUsage: npx nestjs-ben-udp decode FILE \[options\]/],
    [['a', 'b'], /too many arguments/],
    [['a', '--port', '0'], /--port is a whole number from 1 to 65535/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(decode, args);
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
  });

  it('explains itself on one screen, with examples', async () => {
    const { exitCode, io } = await runCommand(decode, ['--help']);
    expect(exitCode).toBe(0);
    expect(io.text.split('\n').length).toBeLessThan(MAX_HELP_LINES);
    expect(io.text).toContain('\nExamples:\n  npx nestjs-ben-udp ');
  });
});
