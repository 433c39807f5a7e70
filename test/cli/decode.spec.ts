/** What a person and a script are told of a recording. What is found in it is tested in test/decode. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decode } from '../../lib/cli/index.js';
import { describe, expect, it } from 'vitest';
import { fingerprint, deriveKey } from '../../lib/keys/index.js';
import { runCommand } from '../support/cli-io.js';
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
  it('names each step and prints what it opens to', async () => {
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

  it('reads standard input where the file is -', async () => {
    const { exitCode, io } = await runCommand(decode, ['-'], { stdin: await readFile(CAPTURE) });
    expect(exitCode).toBe(0);
    expect(io.text).toContain('3 exchanges: steps named; to open them, name the key by --key-file.');
    expect(io.text).toContain('Exchange 1, 127.0.0.2:18585 > 127.0.0.1:18585, 2026-');
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
        { step: 'hello', sender: 'device', bytes: 6, place: 'packet 15' },
        { step: 'id', sender: 'server', bytes: 16, place: 'packet 16' },
        { step: 'id-iv', sender: 'server', bytes: 16, place: 'packet 17' },
        { step: 'request', sender: 'device', bytes: 457, place: 'packet 18' },
      ],
      noreturn: true,
      faults: [],
    });
  });

  it('exits with 1 and says why where an exchange does not open', async () => {
    const { exitCode, io } = await runCommand(decode, [await file(HEX), '--key-file', await file(Buffer.alloc(32, 7))]);
    expect(exitCode).toBe(1);
    expect(io.text).toContain('  ! request: sealed with another key: nothing in it opens to a text (wrong-key)');
    expect(io.text).toContain('1 exchange: 0 opened with key');
    expect(io.text).toContain('; 1 with something wrong (!).');
  });

  it('takes several keys, and the one of BEN_KEY_FILE where none is named', async () => {
    const [right, wrong] = [await file(recordedKeyFile), await file(Buffer.alloc(32, 7))];
    const hex = await file(HEX);
    expect((await runCommand(decode, [hex, '--key-file', wrong, '--key-file', right])).exitCode).toBe(0);
    const env = { BEN_KEY_FILE: right };
    expect((await runCommand(decode, [hex], { env })).io.text).toContain('1 opened');
    expect((await runCommand(decode, [hex, '--key-file', wrong], { env })).exitCode).toBe(1);
  });

  it('says what a capture without exchanges held, and what to try', async () => {
    const packets = [ethernet(ipv4(udp(Buffer.from('x'), { to: ['10.0.0.2', 53], from: ['10.0.0.7', 999] })))];
    const { exitCode, io } = await runCommand(decode, [await file(pcap([...packets, Buffer.alloc(60)]))]);
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/there is no exchange.*\nPackets left out: 1 no IP packet\.\n.*--port/);
  });

  it.each([
    ['junk', 'hello there', /line 1 is no datagram in hex/],
    ['JSON', '{"runs": []}', /line 1 is no datagram in hex/],
    ['nothing', '', /there is no exchange in this recording\nIt holds no datagram/],
  ])('refuses %s', async (_what, content, message) => {
    const { exitCode, io } = await runCommand(decode, [await file(content)]);
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(message);
  });

  it('says where a file can’t be read', async () => {
    const { exitCode, io } = await runCommand(decode, ['/nowhere/file', '--json']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('"/nowhere/file" can\'t be read (ENOENT)');
    expect(io.documents).toMatchObject([{ outcome: 'failed', code: 'ENOENT' }]);
    expect((await runCommand(decode, [await temporaryFolder()])).io.errors).toContain('EISDIR');
  });

  it('does not begin without a key that was named', async () => {
    const { exitCode, io } = await runCommand(decode, [CAPTURE, '--key-file', '/nowhere/key.sec']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('does not exist');
  });

  it('stops reading what never ends', async () => {
    const { exitCode, io } = await runCommand(decode, ['/dev/zero']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('larger than 16777216 bytes, and no pcap file');
  });

  it.each([
    [[], /nothing was named/],
    [['a', 'b'], /too many words/],
    [['a', '--port', '0'], /--port is a whole number from 1 to 65535/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(decode, args);
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
  });

  it('explains itself on one screen', async () => {
    const { exitCode, io } = await runCommand(decode, ['--help']);
    expect(exitCode).toBe(0);
    expect(io.text.split('\n').length).toBeLessThan(25);
  });
});
