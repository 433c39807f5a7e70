/** `provision` with a stand-in for `mpremote` on the PATH, which notes its arguments and keeps the copied files. */
import { chmod, mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BOARD_CLIENT } from '../../lib/cli/board-client.js';
import { BOARD_CLIENT_V2 } from '../../lib/cli/board-client-v2.js';
import { provision } from '../../lib/cli/provision.js';
import { formatProgram } from '../../lib/cli/provision.js';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';
import { MAX_HELP_LINES, runCommand, startCommand } from '../support/cli-io.js';
import { temporaryFolder } from '../support/temporary-folder.js';

/** Copies files as `mpremote cp` does, into the folder `board`. */
const STAND_IN = `#!/bin/sh
echo "$*" >> "$STAND_IN/log"
[ "$1" = connect ] && shift 2
case "$1" in
  exec) if [ -f "$STAND_IN/board/main.py" ]; then echo True; else echo False; fi;;
  cp) cp "$2" "$STAND_IN/board/\${3#:}";;
  reset) ;;
esac
if [ -f "$STAND_IN/fails" ]; then echo "Traceback" >&2; echo "mpremote: no device found" >&2; exit 1; fi
`;

async function setUp() {
  const folder = await temporaryFolder();
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await mkdir(join(folder, 'board'));
  await writeFile(join(bin, 'mpremote'), STAND_IN);
  await chmod(join(bin, 'mpremote'), 0o755);
  const keyFile = join(folder, 'keys', 'kitchen.sec');
  const env = { PATH: `${bin}${delimiter}${process.env['PATH']}`, STAND_IN: folder };
  const words = ['kitchen', '--host', '192.168.1.10', '--key-file', keyFile];
  return {
    folder,
    keyFile,
    words,
    env,
    run: (...args: string[]) => runCommand(provision, [...words, ...args], { env }),
    log: () => readFile(join(folder, 'log'), 'utf8'),
    board: (file: string) => readFile(join(folder, 'board', file)),
  };
}

describe.skipIf(process.platform === 'win32')('provision', () => {
  it('makes the key, copies key, client and program to the board, and prints the line of the server', async () => {
    const { run, keyFile, board, log } = await setUp();
    const { exitCode, io } = await run();
    expect([io.errors, exitCode]).toEqual(['', 0]);
    const key = await readFile(keyFile);
    expect(key).toHaveLength(32);
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
    expect(await board('key.sec')).toEqual(key);
    expect((await board('benclient.py')).toString()).toBe(BOARD_CLIENT);
    expect((await board('main.py')).toString()).toContain('board = client("192.168.1.10", 8585)');
    expect(
      (await log())
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0]),
    ).toEqual(['exec', 'cp', 'cp', 'cp', 'reset']);
    expect(io.text).toContain(`Made ${keyFile}: key ${fingerprint(deriveKey(key))}.`);
    expect(io.text).toContain(`The server:  new BenUdpTransport({ keys: { kitchen: '${keyFile}' } })`);
    expect(io.text).toContain('It sends to 192.168.1.10:8585.');
  });

  it('copies the client of protocol v2 with --v2, and prints a line of the server that refuses v1', async () => {
    const { run, keyFile, board, folder } = await setUp();
    const { exitCode, io } = await run('--v2');
    expect([io.errors, exitCode]).toEqual(['', 0]);
    expect((await board('ben2.py')).toString()).toBe(BOARD_CLIENT_V2);
    expect((await board('main.py')).toString()).toContain('from ben2 import client\n');
    expect(await readdir(join(folder, 'board'))).not.toContain('benclient.py');
    expect(io.text).toContain('Copied key.sec, ben2.py and main.py');
    expect(io.text).toContain(
      `The server:  new BenUdpTransport({ keys: { kitchen: { keyFile: '${keyFile}', protocol: 'v2' } } })`,
    );
  });

  it('quotes a name that is no identifier', async () => {
    const { words, env } = await setUp();
    const { io } = await runCommand(provision, [...words.with(0, 'room-2'), '--v2', '--dry-run', '--json'], { env });
    expect(io.documents[0]!['server']).toContain("keys: { 'room-2': { keyFile: ");
    expect(io.documents[0]!['commands']).toContain('mpremote cp ben2.py :ben2.py');
  });

  it('uses a key file that is there', async () => {
    const { run, keyFile, folder } = await setUp();
    await mkdir(join(folder, 'keys'));
    await writeFile(keyFile, Buffer.alloc(32, 'k'), { mode: 0o600 });
    const { exitCode, io } = await run();
    expect(exitCode).toBe(0);
    expect(io.text).toContain(`Used ${keyFile}`);
    expect(await readFile(keyFile)).toEqual(Buffer.alloc(32, 'k'));
  });

  it('keeps a main.py of the board unless --force is given', async () => {
    const { run, folder, board, keyFile } = await setUp();
    await writeFile(join(folder, 'board', 'main.py'), 'precious');
    const refused = await run();
    expect(refused.exitCode).toBe(1);
    expect(refused.io.errors).toMatch(/has a main\.py already\n.*--force/);
    expect((await board('main.py')).toString()).toBe('precious');
    await expect(stat(keyFile)).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await run('--force')).exitCode).toBe(0);
    expect((await board('main.py')).toString()).not.toBe('precious');
  });

  it('names the serial port in every command with --device', async () => {
    const { run, log } = await setUp();
    expect((await run('--device', '/dev/ttyUSB7')).exitCode).toBe(0);
    expect(
      (await log())
        .trim()
        .split('\n')
        .every((line) => line.startsWith('connect /dev/ttyUSB7 ')),
    ).toBe(true);
  });

  it('prints the commands with --dry-run, and changes nothing', async () => {
    const { run, folder, keyFile } = await setUp();
    const { exitCode, io } = await run('--dry-run', '--ssid', 'home');
    expect(exitCode).toBe(0);
    expect(io.stdout.slice(2, 9)).toEqual([
      `  mpremote exec "import os; print('main.py' in os.listdir())"`,
      `  mkdir -p -m 700 ${dirname(keyFile)}`,
      `  npx nestjs-ben-udp keygen ${keyFile}`,
      `  mpremote cp ${keyFile} :key.sec`,
      '  mpremote cp benclient.py :benclient.py',
      '  mpremote cp main.py :main.py',
      '  mpremote reset',
    ]);
    expect(io.text).toContain('  wlan.connect("home", "…")');
    expect((await readdir(folder)).toSorted()).toEqual(['bin', 'board']);
  });

  it('prints the same steps with --dry-run as it runs', async () => {
    const { run, folder, log } = await setUp();
    const { io } = await run('--dry-run', '--json');
    const planned = (io.documents[0]!['commands'] as string[]).filter((command) => command.startsWith('mpremote '));
    await run();
    const ran = (await log()).trim().split('\n');
    const verbOf = (command: string) => command.replace('mpremote ', '').split(' ')[0];
    expect(ran.map(verbOf)).toEqual(planned.map(verbOf));
    expect((await stat(join(folder, 'keys'))).mode & 0o777).toBe(0o700);
  });

  it('makes no folder for a key file in this one', async () => {
    const { words, env } = await setUp();
    const args = [...words.slice(0, 3), '--key-file', 'kitchen.sec', '--dry-run'];
    const { io } = await runCommand(provision, args, { env });
    expect(io.text).toContain('  npx nestjs-ben-udp keygen kitchen.sec\n');
    expect(io.text).not.toContain('mkdir -p');
  });

  it('prints no password of the Wi-Fi, and writes it to the board', async () => {
    const { words, env, board } = await setUp();
    const secret = { ...env, BEN_WIFI_PASSWORD: 'hunter2' };
    for (const args of [['--dry-run'], ['--json'], ['--force']]) {
      const { io } = await runCommand(provision, [...words, '--ssid', 'home', ...args], { env: secret });
      expect(io.text + io.errors).not.toContain('hunter2');
    }
    expect((await board('main.py')).toString()).toContain('wlan.connect("home", "hunter2")');
  });

  it.each([
    ['raspberrypi.local', 1],
    ['192.168.1.10', 0],
  ])('tells for the host %s whether the firmware must look up a name', async (host, hints) => {
    const { words, env } = await setUp();
    const { io } = await runCommand(provision, ['kitchen', '--host', host, ...words.slice(3)], { env });
    expect(io.text.match(/only ESP32 looks up names/g) ?? []).toHaveLength(hints);
  });

  it('tells how to install mpremote', async () => {
    const { words } = await setUp();
    const { exitCode, io } = await runCommand(provision, words, { env: { PATH: '/nowhere' } });
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/mpremote is not installed\n[\s\S]*pipx install mpremote[\s\S]*uv tool install/);
  });

  it('ends with 130 by Ctrl+C, and does not say that mpremote is not installed', async () => {
    const { folder, words, env, board } = await setUp();
    await writeFile(join(folder, 'bin', 'mpremote'), STAND_IN.replace('cp) cp', 'cp) exec sleep 60; cp'));
    const { io, exitCode } = startCommand(provision, words, { env });
    await expect.poll(() => readFile(join(folder, 'log'), 'utf8').catch(() => '')).toContain('cp ');
    io.interrupt();
    expect(await exitCode).toBe(130);
    expect(io.errors).toMatch(/provision: interrupted\nThe board may have a part of the files/);
    await expect(board('main.py')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('passes on the reason of mpremote if no board is connected', async () => {
    const { run, folder } = await setUp();
    await writeFile(join(folder, 'fails'), '');
    const { exitCode, io } = await run('--json');
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('mpremote failed: mpremote: no device found\nConnect the board by USB');
    expect(io.documents).toMatchObject([{ outcome: 'failed' }]);
  });

  it.each([
    [[], /missing argument NAME/],
    [['../kitchen', '--host', 'h'], /NAME is 1 to 64 letters/],
    [['x'.repeat(65), '--host', 'h'], /NAME is 1 to 64 letters/],
    [['kitchen', '--host', 'h', '--port', '0'], /--port/],
    [['kitchen'], /name the server with --host/],
    [['kitchen', '--host', ''], /--host is empty: name an address, or leave it out for that of this machine/],
    [['kitchen', '--host', '', '--dry-run'], /--host is empty/],
    [['kitchen', '--host', 'fe80::1', '--dry-run'], /--host "fe80::1" is an IPv6 address, and boards send IPv4/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(provision, args, { interfaces: () => ({}) });
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
  });

  it('explains itself on one screen, with examples', async () => {
    const { io } = await runCommand(provision, ['--help']);
    expect(io.text.split('\n').length).toBeLessThan(MAX_HELP_LINES);
    expect(io.text).toContain('\nExamples:\n  npx nestjs-ben-udp ');
  });
});

describe('the files of a board', () => {
  it('are the clients that the package contains', async () => {
    const file = new URL('../../sample/device/benclient.py', import.meta.url);
    expect(BOARD_CLIENT).toBe(await readFile(file, 'utf8'));
    expect(BOARD_CLIENT_V2).toBe(await readFile(new URL('../../device/ben2.py', import.meta.url), 'utf8'));
  });

  it('contain a program in which quotes and backslashes are escaped', () => {
    const options = { name: 'kitchen', host: 'h', port: 9000, ssid: 'a"b\\c', password: '', protocol: 'v1' } as const;
    expect(formatProgram(options)).toContain('wlan.connect("a\\"b\\\\c", "")');
    expect(formatProgram({ ...options, ssid: undefined })).toContain('# boot.py connects the board');
  });
});
