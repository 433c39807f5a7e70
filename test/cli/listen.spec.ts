/** `listen` with virtual boards over real datagrams. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listen } from '../../lib/cli/listen.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';
import { type Platform, nodePlatform } from '../../lib/net/index.js';
import { MAX_HELP_LINES, runCommand, startCommand } from '../support/cli-io.js';
import { FakePlatform } from '../support/fake-platform.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, startBoard, unanswered } from '../support/nest-app.js';
import { temporaryFolder } from '../support/temporary-folder.js';

async function keyFile(): Promise<string> {
  const path = join(await temporaryFolder(), 'key.sec');
  await writeFile(path, KEY_CONTENTS, { mode: 0o600 });
  return path;
}

async function start(...args: string[]) {
  return startOn(nodePlatform, ...args);
}

async function startOn(platform: Platform, ...args: string[]) {
  const words = ['--host', '127.0.0.1', '--port', '0', '--key-file', await keyFile(), ...args];
  const { io, exitCode } = startCommand(listen, words, { platform });
  const first = await io.line(/istening/);
  const port = Number(/127\.0\.0\.1:(\d+)|"port":(\d+)/.exec(first)!.slice(1).join(''));
  return { io, exitCode, port };
}

describe('listen', () => {
  it('echoes, and prints requests and answers', async () => {
    const { io, port } = await start();
    const board = await startBoard(port);
    expect(await board.send({ action: 'echo', data: ['hi', 1] })).toEqual(['hi', 1]);
    const { port: from } = board.address;
    expect(io.stdout.slice(-2)).toEqual([
      expect.stringMatching(
        new RegExp(`^\\d\\d:\\d\\d:\\d\\d 127\\.0\\.0\\.1:${from}  \\{'action': 'echo', 'data': \\['hi', 1\\]\\}$`),
      ),
      '         answered {"data":["hi",1]}',
    ]);
    expect(io.stdout[0]).toContain(`with key ${fingerprint(deriveKey(KEY_CONTENTS))}. Stop with Ctrl+C.`);
  });

  it('answers every request with --answer', async () => {
    const { port } = await start('--answer', '{"ok": true, "n": 12345678901234567890}');
    const board = await startBoard(port);
    expect(await board.send({ action: 'echo', data: 'hi' })).toEqual({ ok: true, n: 12345678901234567890n });
    expect(await board.send({ action: 'other' })).toEqual({ ok: true, n: 12345678901234567890n });
  });

  it('tells that a board expects no answer', async () => {
    const { io, port } = await start();
    const board = await startBoard(port);
    await board.send({ action: 'report' }, { noreturn: true });
    await io.line(/the board expects no answer/);
    expect(board.leftovers).toBe(0);
  });

  it('prints a JSON document for each event with --json', async () => {
    const { io, port, exitCode } = await start('--json');
    const board = await startBoard(port);
    await board.send({ action: 'echo', data: 7 });
    io.interrupt();
    expect(await exitCode).toBe(0);
    const at = '2026-01-02T12:00:00.000Z';
    expect(io.documents).toEqual([
      { event: 'listening', at, address: '127.0.0.1', port, key: fingerprint(deriveKey(KEY_CONTENTS)) },
      {
        event: 'request',
        at,
        from: `127.0.0.1:${board.address.port}`,
        protocol: 'v1',
        text: "{'action': 'echo', 'data': 7}",
        action: 'echo',
        data: 7,
        noreturn: false,
        answer: '{"data":7}',
      },
      { event: 'closed', at, requests: 1, rejected: 0 },
    ]);
  });

  it('marks requests of protocol v2', async () => {
    const { io, port } = await start();
    const board = await VirtualBoard.start({ key: KEY_CONTENTS, port, protocol: 'v2' });
    onTestFinished(() => board.close());
    await board.send({ action: 'echo', data: 7 });
    expect(await io.line(/action/)).toMatch(
      /^\d\d:\d\d:\d\d 127\.0\.0\.1:\d+ {2}v2 {2}\{'action': 'echo', 'data': 7\}$/,
    );
  });

  it('prints only the text of data without a JSON form, and answers with an error', async () => {
    const { io, port } = await start('--json');
    const board = await startBoard(port);
    const answer = await board.exchange("{'action': 'echo', 'data': {(1, 2): 3}}");
    expect(JSON.parse(answer!)).toMatchObject({ data: null, error: { status: 'error' } });
    const [, request] = io.documents;
    expect(request).toMatchObject({ text: "{'action': 'echo', 'data': {(1, 2): 3}}", action: 'echo' });
    expect(request).not.toHaveProperty('data');
  });

  it('escapes control characters of a board', async () => {
    const { io, port } = await start('--answer', '1');
    const board = await startBoard(port);
    await board.exchange("{'action': '\u202e'}");
    expect(io.text).toContain("{'action': '\\u202e'}");
  });

  it('prints the reason for a datagram without an answer, and goes on', async () => {
    const { io, port } = await start();
    const board = await startBoard(port);
    board.sendDatagram(Buffer.from('junk'));
    expect(await io.line(/unknown-datagram/)).toContain('no answer (unknown-datagram): neither a hello nor');
    const clock = new MovablePlatform();
    const stranger = await startBoard(port, { key: Buffer.alloc(32, 'other') }, clock);
    const isRejected = () => io.text.includes('bad-hash');
    const outcome = await unanswered(clock, stranger.send({ action: 'echo' }), isRejected);
    expect(outcome).toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(await io.line(/bad-hash/)).toContain('wrong key');
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
  });

  it('prints at most 10 lines a second about datagrams without an answer, and counts the rest', async () => {
    const { io, port, exitCode } = await startOn(new FakePlatform(), '--json');
    const board = await startBoard(port);
    for (let index = 0; index < 25; index++) {
      board.sendDatagram(Buffer.from('junk'));
    }
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
    io.interrupt();
    await exitCode;
    const rejected = io.documents.filter(({ event }) => event === 'rejected');
    expect(rejected.filter(({ reason }) => reason === 'unknown-datagram')).toHaveLength(10);
    expect(rejected.at(-1)).toMatchObject({ untold: 15 });
    expect(io.documents.at(-1)).toMatchObject({ event: 'closed', requests: 1, rejected: 25 });
  });

  it('ends after --count requests and answers the last one', async () => {
    const { io, port, exitCode } = await start('--count', '2');
    const board = await startBoard(port);
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
    expect(await board.send({ action: 'echo', data: 2 })).toBe(2);
    expect(await exitCode).toBe(0);
    expect(io.stdout.at(-1)).toBe('Closed after 2 requests and 0 datagrams without an answer.');
  });

  it('pauses for --datagram-gap between the datagrams of an answer', async () => {
    const { port } = await start('--datagram-gap', '40');
    const board = await startBoard(port);
    const begin = performance.now();
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
    // One gap in the pair, two in the reply.
    expect(performance.now() - begin).toBeGreaterThan(110);
  });

  it('reports a port in use, with the next step', async () => {
    const { port } = await start();
    const words = ['--host', '127.0.0.1', '--port', String(port), '--key-file', await keyFile()];
    const { exitCode, io } = await runCommand(listen, words);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain(`127.0.0.1:${port} is in use\nIf it is your own server`);
  });

  it('reports an address of another machine', async () => {
    const words = ['--host', '192.0.2.77', '--port', '0', '--key-file', await keyFile(), '--json'];
    const { exitCode, io } = await runCommand(listen, words);
    expect(exitCode).toBe(1);
    expect(io.documents).toMatchObject([{ outcome: 'failed', code: 'EADDRNOTAVAIL' }]);
    expect(io.errors).toContain('is not an address of this machine');
  });

  it('does not start without a key', async () => {
    const { exitCode, io } = await runCommand(listen, ['--key-file', '/nowhere/key.sec']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('keygen');
  });

  it.each([
    [['x'], /too many arguments/],
    [['--port', '65536'], /--port is a whole number from 0 to 65535/],
    [['--datagram-gap', '1001ms'], /--datagram-gap is a time from 0 to 1000 ms/],
    [['--count', '0'], /--count/],
    [['--answer', 'hi'], /'"hi"'/],
    [['--answer', JSON.stringify('x'.repeat(5000))], /the text of --answer can't be sent/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(listen, args);
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
  });

  it('explains itself on one screen, with examples', async () => {
    const { exitCode, io } = await runCommand(listen, ['-h']);
    expect(exitCode).toBe(0);
    expect(io.text.split('\n').length).toBeLessThan(MAX_HELP_LINES);
    expect(io.text).toContain('\nExamples:\n  npx nestjs-ben-udp ');
  });
});
