/** The findings of `doctor`, on this machine and on simulated ones. */
import { chmod, writeFile } from 'node:fs/promises';
import type { NetworkInterfaceInfo } from 'node:os';
import { join } from 'node:path';
import { doctor } from '../../lib/cli/doctor.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listAddresses } from '../../lib/cli/addresses.js';
import { describeContents } from '../../lib/cli/doctor.js';
import { bindDatagramSocket, nodePlatform } from '../../lib/net/index.js';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';
import { MAX_HELP_LINES, type TestIoOptions, runCommand } from '../support/cli-io.js';
import { randomBytes } from 'node:crypto';
import { temporaryFolder } from '../support/temporary-folder.js';

const CONTENTS = randomBytes(32);

async function keyFile(contents: Uint8Array = CONTENTS, mode = 0o600): Promise<string> {
  const path = join(await temporaryFolder(), 'key.sec');
  await writeFile(path, contents);
  await chmod(path, mode);
  return path;
}

/** A machine on which every port is free: other processes come and go on this one. */
const FREE = {
  ...nodePlatform,
  bindSocket: ((options, handlers) =>
    nodePlatform.bindSocket({ ...options, port: 0 }, handlers)) as typeof nodePlatform.bindSocket,
};

function ip(address: string, { family = 'IPv4', internal = false } = {}): NetworkInterfaceInfo {
  return { address, family, internal, netmask: '', mac: '', cidr: null } as NetworkInterfaceInfo;
}

const LOOPBACK = [ip('127.0.0.1', { internal: true }), ip('::1', { family: 'IPv6', internal: true })];
const HOME = { lo: LOOPBACK, wlan0: [ip('192.168.1.2'), ip('fe80::1', { family: 'IPv6' })] };

interface Checks {
  readonly outcome: string;
  readonly checks: ReadonlyArray<{ name: string; status: string; message: string; hint?: string }>;
  readonly addresses: readonly unknown[];
}

/** The findings on a machine in a home network by default. */
async function examine(args: readonly string[] = [], options: TestIoOptions = {}) {
  const file = args.includes('--key-file') ? [] : ['--key-file', await keyFile()];
  const host = args.includes('--host') ? [] : ['--host', '127.0.0.1'];
  const words = [...args, ...file, ...host, '--json'];
  const { exitCode, io } = await runCommand(doctor, words, { interfaces: () => HOME, platform: FREE, ...options });
  const { checks, ...rest } = io.documents[0] as unknown as Checks;
  return { exitCode, ...rest, checks: Object.fromEntries(checks.map((check) => [check.name, check])) };
}

describe('doctor', () => {
  it('finds no problem on a good machine', async () => {
    const words = ['--key-file', await keyFile(), '--port', '9000'];
    const { exitCode, io } = await runCommand(doctor, words, { interfaces: () => HOME, platform: FREE });
    expect(exitCode).toBe(0);
    const lines = io.text.split('\n');
    expect(lines[0]).toMatch(new RegExp(`^ok +key file +".*" is readable: key ${fingerprint(deriveKey(CONTENTS))}$`));
    expect(lines[1]).toBe('ok     port       0.0.0.0:9000 is free');
    expect(lines[2]).toMatch(/^ok +loopback +exchanges on 127\.0\.0\.1 worked \(v1 \d+ ms, v2 \d+ ms\)$/);
    expect(lines[3]).toBe('ok     addresses  boards in the same network reach 192.168.1.2');
    expect(lines[4]).toContain('192.168.1.2  wlan0');
    expect(io.text).toContain('sudo ufw allow 9000/udp');
    expect(lines.length).toBeLessThan(25);
    expect(io.stderr).toEqual([]);
  });

  it('prints the findings as one JSON document with --json', async () => {
    const { outcome, checks, addresses } = await examine(['--host', '0.0.0.0']);
    expect(outcome).toBe('ok');
    expect(Object.values(checks).map(({ status }) => status)).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(addresses).toEqual([{ address: '192.168.1.2', name: 'wlan0', isLikely: true }]);
  });

  it.each([
    ['missing', undefined, 0o600, /does not exist/, /keygen/],
    ['short', Buffer.alloc(31, 1), 0o600, /less than 32 bytes/, /--any-key-file/],
    ['readable by others', CONTENTS, 0o640, /other users/, /chmod 600/],
  ])('reports a key file that is %s, and checks the rest', async (_what, contents, mode, message, hint) => {
    const path = contents ? await keyFile(contents, mode) : '/nowhere/key.sec';
    const { exitCode, outcome, checks } = await examine(['--key-file', path]);
    expect([exitCode, outcome]).toEqual([1, 'problem']);
    expect(checks['key file']).toMatchObject({ status: 'wrong' });
    expect(checks['key file']!.message).toMatch(message);
    expect(checks['key file']!.hint).toMatch(hint);
    expect(checks['loopback']!.status).toBe('ok');
  });

  it('hints at a key file with a text and a line end', async () => {
    const text = Buffer.from(`${'0123456789abcdef'.repeat(4)}\n`);
    const { exitCode, checks } = await examine(['--key-file', await keyFile(text)]);
    expect(exitCode).toBe(0);
    expect(checks['key file']).toMatchObject({ status: 'hint' });
    expect(checks['key file']!.hint).toContain('the line end counts');
  });

  it('reports a port in use', async () => {
    const nothing = { onDatagram: () => undefined, onError: () => undefined };
    const socket = await bindDatagramSocket({ host: '127.0.0.1', port: 0, receiveBufferSize: undefined }, nothing);
    onTestFinished(() => socket.close());
    const { exitCode, checks } = await examine(['--port', String(socket.address.port)], { platform: nodePlatform });
    expect(exitCode).toBe(1);
    expect(checks['port']).toMatchObject({ status: 'wrong' });
    expect(checks['port']!.hint).toContain('your own server');
  });

  it('reports a host that is not an address of this machine', async () => {
    const { checks } = await examine(['--host', '192.0.2.77', '--port', '8585']);
    expect(checks['port']).toMatchObject({
      status: 'wrong',
      message: expect.stringContaining('not an address') as string,
    });
  });

  it.each(['127.0.0.1', 'localhost'])('hints that no board reaches %s', async (host) => {
    const { exitCode, checks } = await examine(['--host', host]);
    expect(exitCode).toBe(0);
    expect(checks['addresses']).toMatchObject({ status: 'hint' });
    expect(checks['addresses']!.hint).toContain('--host 0.0.0.0');
  });

  it('reports a machine without a network', async () => {
    const { exitCode, checks } = await examine(['--host', '0.0.0.0'], { interfaces: () => ({ lo: LOOPBACK }) });
    expect(exitCode).toBe(1);
    expect(checks['addresses']).toMatchObject({ status: 'wrong' });
    expect(checks['addresses']!.message).toContain('no IPv4 address except loopback');
  });

  it('hints at a machine with unlikely addresses only', async () => {
    const interfaces = () => ({ docker0: [ip('172.17.0.1')], eth0: [ip('169.254.3.4')] });
    const { exitCode, checks } = await examine(['--host', '0.0.0.0'], { interfaces });
    expect(exitCode).toBe(0);
    expect(checks['addresses']).toMatchObject({ status: 'hint' });
  });

  it('reports a machine on which UDP does not work', async () => {
    // Every socket drops all datagrams, as behind a firewall.
    const deaf = {
      ...FREE,
      bindSocket: ((options, handlers) =>
        FREE.bindSocket(options, {
          ...handlers,
          onDatagram: () => undefined,
        })) as typeof nodePlatform.bindSocket,
    };
    const { exitCode, checks } = await examine([], { platform: deaf });
    expect(exitCode).toBe(1);
    expect(checks['loopback']).toMatchObject({ status: 'wrong' });
    expect(checks['loopback']!.hint).toContain('firewall');
  });

  it('explains a problem in words', async () => {
    const words = ['--key-file', '/nowhere/key.sec', '--host', '127.0.0.1'];
    const { exitCode, io } = await runCommand(doctor, words, { interfaces: () => HOME, platform: FREE });
    expect(exitCode).toBe(1);
    expect(io.text).toMatch(
      /^WRONG {2}key file {3}the key file "\/nowhere\/key\.sec" does not exist\n {18}Name it with/,
    );
    expect(io.text).toContain('Found a problem');
  });

  it.each([
    [['x'], /too many arguments/],
    [['--port', '0'], /--port/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(doctor, args);
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
  });

  it('explains itself on one screen, with examples', async () => {
    const { exitCode, io } = await runCommand(doctor, ['--help']);
    expect(exitCode).toBe(0);
    expect(io.text.split('\n').length).toBeLessThan(MAX_HELP_LINES);
    expect(io.text).toContain('\nExamples:\n  npx nestjs-ben-udp ');
  });
});

describe('describeContents', () => {
  it.each([
    ['random bytes', CONTENTS, undefined],
    ['few bytes', Buffer.from('secret'), /6 bytes/],
    ['32 equal bytes', Buffer.alloc(32), /bytes are the same/],
    ['text', Buffer.from('0123456789abcdef'.repeat(4)), /the text itself is the key/],
    ['text with a line end', Buffer.from(`${'0123456789abcdef'.repeat(4)}\n`), /line end counts/],
  ])('of %s', (_what, contents, remark) => {
    const found = describeContents(contents);
    expect(found ?? '').toMatch(remark ?? /^$/);
    expect(found ?? '').not.toContain('01234567');
  });
});

describe('listAddresses', () => {
  it('has the likely ones first, and leaves out loopback and IPv6', () => {
    const interfaces = {
      lo: LOOPBACK,
      docker0: [ip('172.17.0.1')],
      'br-1234': [ip('172.18.0.1')],
      eth1: [ip('169.254.9.9')],
      wlan0: HOME.wlan0,
      gone: undefined,
    };
    expect(listAddresses(interfaces).map(({ address, isLikely }) => [address, isLikely])).toEqual([
      ['192.168.1.2', true],
      ['172.17.0.1', false],
      ['172.18.0.1', false],
      ['169.254.9.9', false],
    ]);
  });
});
