/** `fleet` against the server of `listen`, over real datagrams. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fleet } from '../../lib/cli/fleet.js';
import { listen } from '../../lib/cli/listen.js';
import { MAX_HELP_LINES, runCommand, startCommand } from '../support/cli-io.js';
import { FakePlatform } from '../support/fake-platform.js';
import { temporaryFolder } from '../support/temporary-folder.js';

async function keyFile(fill: string): Promise<string> {
  const path = join(await temporaryFolder(), 'key.sec');
  await writeFile(path, Buffer.alloc(32, fill), { mode: 0o600 });
  return path;
}

async function startServer() {
  const file = await keyFile('k');
  const { io } = startCommand(listen, ['--host', '127.0.0.1', '--port', '0', '--key-file', file, '--json']);
  await io.line(/listening/);
  return { file, target: `127.0.0.1:${io.documents[0]!['port']}`, server: io };
}

describe('fleet', () => {
  it('sends requests of all boards and shows them each second, until Ctrl+C', async () => {
    const { target, file, server } = await startServer();
    const words = ['5', target, '--interval', '100ms', '--action', 'measure', '--data', '{"celsius": 1}'];
    const { io, exitCode } = startCommand(fleet, [...words, '--key-file', file]);
    const line = await io.line(/^\d+\.\d s: \d+ asked, [1-9]\d* answered, \d+ lost, p50 \d+\.\d ms$/);
    const requestsOf = () => server.documents.filter(({ event }) => event === 'request');
    await expect.poll(() => new Set(requestsOf().map(({ from }) => from)).size).toBe(5);
    io.interrupt();
    expect(await exitCode).toBe(0);
    expect(io.stdout[0]).toBe(`5 boards send to ${target}. Stop with Ctrl+C.`);
    expect(io.progressLines).toContain(line);
    expect(io.stdout.at(-1)).toMatch(/^\d+\.\d s: \d+ asked, \d+ answered, 0 lost, p50 \d+\.\d ms$/);
    expect(requestsOf()[0]).toMatchObject({ action: 'measure', data: { celsius: 1 }, noreturn: false });
  });

  it('speaks of one board', async () => {
    const { target, file } = await startServer();
    const { exitCode, io } = startCommand(fleet, ['1', target, '--key-file', file, '--duration', '50ms']);
    await exitCode;
    expect(io.stdout[0]).toBe(`1 board sends to ${target}. Stop with Ctrl+C.`);
  });

  it('has boards of protocol v2 with --v2', async () => {
    const { target, file, server } = await startServer();
    const { exitCode, io } = startCommand(fleet, ['2', target, '--v2', '--interval', '50ms', '--key-file', file]);
    await io.line(/[1-9]\d* answered/);
    io.interrupt();
    expect([await exitCode, io.errors]).toEqual([0, '']);
    const requests = server.documents.filter(({ event }) => event === 'request');
    expect(new Set(requests.map(({ protocol }) => protocol))).toEqual(new Set(['v2']));
  });

  it('counts lost requests, and exits with 3 if none was answered', async () => {
    const { target } = await startServer();
    const words = ['2', target, '--key-file', await keyFile('o'), '--timeout', '50ms'];
    const limits = ['--interval', '100ms', '--duration', '300ms', '--json'];
    const clock = new FakePlatform();
    const { exitCode, io } = startCommand(fleet, [...words, ...limits], { platform: clock });
    const isOverLater = () => {
      clock.advance(10);
      return io.documents.some(({ total }) => total === true);
    };
    await expect.poll(isOverLater, { interval: 1 }).toBe(true);
    expect(await exitCode).toBe(3);
    const total = io.documents.at(-1)!;
    expect(total).toMatchObject({ answered: 0, p50Ms: null, total: true });
    expect(total['lost']).toBe(total['asked']);
    expect(total['lost']).toBeGreaterThanOrEqual(2);
  });

  it.each([
    [[], /missing argument N\n/],
    [['0'], /N is a whole number from 1 to 10000/],
    [['10001'], /N is a whole number from 1 to 10000/],
    [['1', 'h:0'], /HOST/],
    [['1', '--interval', '0'], /--interval is a time/],
    [['1', '--v2', '--timeout', '16s'], /--timeout is a time from 10 to 15000 ms/],
    [['1', '--data', 'hi'], /not JSON/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(fleet, args);
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
  });

  it('reports a missing key file and an unknown host', async () => {
    const missing = await runCommand(fleet, ['1', '--key-file', '/nowhere/key.sec']);
    expect(missing.exitCode).toBe(1);
    expect(missing.io.errors).toContain('npx nestjs-ben-udp keygen "/nowhere/key.sec"');
    const unknown = await runCommand(fleet, ['1', 'no-such-host.invalid', '--key-file', await keyFile('k')]);
    expect(unknown.exitCode).toBe(1);
    expect(unknown.io.errors).toMatch(/board 1 could not start/);
  });

  it('explains itself on one screen, with examples', async () => {
    const { io } = await runCommand(fleet, ['--help']);
    expect(io.text.split('\n').length).toBeLessThan(MAX_HELP_LINES);
    expect(io.text).toContain('\nExamples:\n  npx nestjs-ben-udp ');
  });
});
