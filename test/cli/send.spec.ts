/** `send` over real datagrams, to servers of this package and to others. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listen } from '../../lib/cli/listen.js';
import { send } from '../../lib/cli/send.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseTarget } from '../../lib/cli/send.js';
import { bindDatagramSocket, nodePlatform } from '../../lib/net/index.js';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';
import { MAX_HELP_LINES, TestIo, runCommand, startCommand } from '../support/cli-io.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { ScriptedServer } from '../support/scripted-server.js';
import { temporaryFolder } from '../support/temporary-folder.js';
import { unreachablePort } from '../support/unreachable-port.js';
import { UpstreamServer } from '../support/upstream-server.js';
import { createV2Server, datagramOf } from '../support/v2-server.js';

const CONTENTS = Buffer.alloc(32, 'k');
const OTHER = Buffer.alloc(32, 'o');

async function keyFile(contents: Buffer = CONTENTS): Promise<string> {
  const path = join(await temporaryFolder(), 'key.sec');
  await writeFile(path, contents, { mode: 0o600 });
  return path;
}

/** Starts an echo server. `ask` sends it a request. */
async function startServer(...args: string[]) {
  const file = await keyFile();
  const { io } = startCommand(listen, ['--host', '127.0.0.1', '--port', '0', '--key-file', file, '--json', ...args]);
  await io.line(/listening/);
  const target = `127.0.0.1:${io.documents[0]!['port']}`;
  const ask = (...words: string[]) => runCommand(send, [target, ...words, '--key-file', file]);
  return { target, file, ask, io };
}

/**
 * Runs `send` to its end on a clock of the test, which goes on once `isHandled`. In real time, a busy machine could end a step too early.
 */
async function sendInVain(words: readonly string[], isHandled: () => boolean) {
  const clock = new MovablePlatform();
  const { exitCode, io } = startCommand(send, words, { platform: clock });
  let isOver = false;
  void exitCode.then(() => (isOver = true));
  await expect.poll(isHandled).toBe(true);
  const isOverLater = () => {
    clock.advance(1000);
    return isOver;
  };
  await expect.poll(isOverLater).toBe(true);
  return { exitCode: await exitCode, io };
}

describe('send', () => {
  it('prints a text as it is and anything else as JSON', async () => {
    const { ask } = await startServer();
    expect((await ask('echo', '"hé €"')).io.stdout).toEqual(['hé €']);
    expect((await ask('echo', '{"a":[1,2.5,null,true]}')).io.stdout).toEqual(['{"a":[1,2.5,null,true]}']);
    expect((await ask('echo', '12345678901234567890')).io.stdout).toEqual(['12345678901234567890']);
    const { exitCode, io } = await ask('echo');
    expect(io.stdout).toEqual(['null']);
    expect(io.stderr).toEqual([]);
    expect(exitCode).toBe(0);
  });

  it('escapes control characters of the answer', async () => {
    const { ask } = await startServer();
    const { io } = await ask('echo', '"\\u001b[2J \\u202e x\\ny"');
    expect(io.stdout).toEqual(['\\u001b[2J \\u202e x\ny']);
  });

  it('prints one JSON document with --json, and the time of the exchange', async () => {
    const { ask } = await startServer();
    const { io } = await ask('echo', '"hi"', '--json');
    expect(io.documents).toEqual([{ outcome: 'answered', data: 'hi', latencyMs: expect.any(Number) as number }]);
    expect(io.documents[0]!['latencyMs']).toBeGreaterThan(0);
  });

  it('sends --count requests, and prints a document for each', async () => {
    const { ask } = await startServer();
    const { io } = await ask('echo', '1', '--count', '3', '--json', '--latency');
    expect(io.documents.map(({ data }) => data)).toEqual([1, 1, 1]);
    expect(io.errors).toMatch(/^3 requests answered: least \d+\.\d ms, median \d+\.\d ms, most \d+\.\d ms$/);
  });

  it('prints the time of an exchange with --latency', async () => {
    const { ask } = await startServer();
    const { io } = await ask('echo', '1', '--latency');
    expect(io.stdout).toEqual(['1']);
    expect(io.errors).toMatch(/^answered in \d+\.\d ms$/);
  });

  it('does not wait and prints nothing with --noreturn', async () => {
    const { ask, io: server } = await startServer();
    const { exitCode, io } = await ask('report', '{"celsius": 21.5}', '--noreturn');
    expect(exitCode).toBe(0);
    expect(io.stdout).toEqual([]);
    await server.line(/"request"/);
    expect(server.documents.at(-1)).toMatchObject({ action: 'report', noreturn: true, data: { celsius: 21.5 } });
    expect((await ask('report', '--noreturn', '--json')).io.documents).toMatchObject([{ outcome: 'sent' }]);
  });

  it('speaks protocol v2 with --v2', async () => {
    const { ask, io: server } = await startServer();
    const { exitCode, io } = await ask('echo', '"hi"', '--v2', '--count', '2');
    expect([io.stdout, io.stderr, exitCode]).toEqual([['hi', 'hi'], [], 0]);
    await ask('report', '{"celsius": 21.5}', '--v2', '--noreturn');
    const requests = server.documents.filter(({ event }) => event === 'request');
    expect(requests.map(({ protocol, noreturn }) => [protocol, noreturn])).toEqual([
      ['v2', false],
      ['v2', false],
      ['v2', true],
    ]);
  });

  it('names the next step if the opening of a v2 session is not answered', async () => {
    const { target } = await startServer();
    const words = [target, 'echo', '--v2', '--timeout', '100ms', '--key-file', await keyFile(OTHER)];
    const { exitCode, io } = await runCommand(send, words);
    expect(exitCode).toBe(3);
    expect(io.errors).toMatch(
      new RegExp(
        `${target} did not answer the opening of a session within \\d+ ms\\n.*${fingerprint(deriveKey(OTHER))}`,
      ),
    );
    expect((await runCommand(send, [...words, '--json'])).io.documents).toMatchObject([
      { outcome: 'failed', code: 'BEN_TIMEOUT', step: 'hello' },
    ]);
  });

  it('says that a v2 request may have run if its reply does not come', async () => {
    const key = deriveKey(CONTENTS);
    const exchange = createV2Server({ keys: [{ device: 'board', key }], startedAt: -60_000 });
    let received = 0;
    const socket = await bindDatagramSocket(
      { host: '127.0.0.1', port: 0, receiveBufferSize: undefined },
      {
        onDatagram: (datagram, remote) => {
          received++;
          const answer = datagramOf(exchange.receive(datagram, remote, 0));
          if (answer) {
            socket.send(answer, remote.port, remote.address);
          }
        },
        onError: () => undefined,
      },
    );
    onTestFinished(() => socket.close());
    const words = [`127.0.0.1:${socket.address.port}`, 'x', '--v2', '--key-file', await keyFile()];
    // The opening and the request.
    const { exitCode, io } = await sendInVain(words, () => received === 2);
    expect(exitCode).toBe(3);
    expect(io.errors).toMatch(/opened a session, but did not answer the request within \d+ ms\n.*may have run/);
    exchange.stopIssuing();
    const silent = await runCommand(send, [...words, '--timeout', '100ms']);
    expect(silent.io.errors).toContain('did not answer the opening');
  });

  it('exits with 4 if the server answers with an error', async () => {
    const file = await keyFile();
    const script = new ScriptedServer(deriveKey(CONTENTS));
    const socket = await bindDatagramSocket(
      { host: '127.0.0.1', port: 0, receiveBufferSize: undefined },
      {
        onDatagram: (datagram, { port, address }) => {
          const reply = script.reply('{"data":null,"error":{"message":"no such action"}}');
          const answer = datagram.length === 6 ? script.pair() : reply;
          answer.forEach((each) => socket.send(each, port, address));
        },
        onError: () => undefined,
      },
    );
    onTestFinished(() => socket.close());
    const words = [`127.0.0.1:${socket.address.port}`, 'x', '--key-file', file];
    const { exitCode, io } = await runCommand(send, words);
    expect(exitCode).toBe(4);
    expect(io.stdout).toEqual([]);
    expect(io.errors).toBe('The server answered with an error: {"message":"no such action"}');
    const again = await runCommand(send, [...words, '--json', '--count', '2']);
    expect(again.exitCode).toBe(4);
    expect(again.io.documents).toMatchObject([{ outcome: 'error-reply', error: { message: 'no such action' } }]);
  });

  it('exits with 3 without an answer, and names the next step', async () => {
    const silent = await bindDatagramSocket(
      { host: '127.0.0.1', port: 0, receiveBufferSize: undefined },
      { onDatagram: () => undefined, onError: () => undefined },
    );
    onTestFinished(() => silent.close());
    const target = `127.0.0.1:${silent.address.port}`;
    const words = [target, 'echo', '--timeout', '50', '--key-file', await keyFile()];
    const { exitCode, io } = await runCommand(send, words);
    expect(exitCode).toBe(3);
    expect(io.stdout).toEqual([]);
    expect(io.errors).toMatch(new RegExp(`${target} did not answer within \\d+ ms\\n.*listens`));
    const json = await runCommand(send, [...words, '--json']);
    expect(json.io.documents).toMatchObject([{ outcome: 'failed', code: 'BEN_TIMEOUT', step: 'hello' }]);
  });

  it('names the key if the server does not answer the request, as with another key', async () => {
    const { target, io: server } = await startServer();
    const words = [target, 'echo', '--key-file', await keyFile(OTHER)];
    const { exitCode, io } = await sendInVain(words, () => server.text.includes('bad-hash'));
    expect(exitCode).toBe(3);
    expect(io.errors).toContain('issued an id, but did not answer the request');
    expect(io.errors).toContain(
      `another key, because it does not answer then. The key here is ${fingerprint(deriveKey(OTHER))}`,
    );
  });

  it('exits with 3 if the answer does not verify', async () => {
    const script = new ScriptedServer(deriveKey(CONTENTS));
    const liar = new ScriptedServer(deriveKey(CONTENTS), 'another id');
    let received = 0;
    const socket = await bindDatagramSocket(
      { host: '127.0.0.1', port: 0, receiveBufferSize: undefined },
      {
        onDatagram: (datagram, { port, address }) => {
          received++;
          const answer = datagram.length === 6 ? script.pair() : liar.reply('{"data":1}');
          answer.forEach((each) => socket.send(each, port, address));
        },
        onError: () => undefined,
      },
    );
    onTestFinished(() => socket.close());
    const words = [`127.0.0.1:${socket.address.port}`, 'x', '--key-file', await keyFile()];
    const { exitCode, io } = await sendInVain(words, () => received === 2);
    expect(exitCode).toBe(3);
    expect(io.errors).toContain('answered, but with another key or to another request');
  });

  it('speaks with upstream’s server from its own port number', async () => {
    const server = await UpstreamServer.start({
      key: CONTENTS,
      host: '127.0.0.2',
      handlers: { echo: (data) => data },
    });
    const file = await keyFile();
    const local = ['--local-port', String(server.port), '--local-address', '127.0.0.3'];
    const words = [`127.0.0.2:${server.port}`, 'echo', '"hi"', '--key-file', file, ...local];
    const { exitCode, io } = await runCommand(send, words);
    expect(io.errors).toBe('');
    expect(io.stdout).toEqual(['hi']);
    expect(exitCode).toBe(0);
  });

  it('fails at once if no program listens on the port', async () => {
    const target = `127.0.0.1:${await unreachablePort()}`;
    // The test would run out of time if the command waited.
    const words = [target, 'echo', '--timeout', '10m', '--key-file', await keyFile(), '--json'];
    const { exitCode, io } = await runCommand(send, words);
    expect(exitCode).toBe(3);
    expect(io.documents).toMatchObject([{ outcome: 'failed', code: 'BEN_REFUSED', step: 'hello' }]);
    expect(io.errors).toContain(`${target} refused the request: no program listens on that port\nStart the server`);
  });

  it('fails at once with --v2 too', async () => {
    const target = `127.0.0.1:${await unreachablePort()}`;
    const words = [target, 'echo', '--v2', '--timeout', '10m', '--key-file', await keyFile()];
    const { exitCode, io } = await runCommand(send, words);
    expect(exitCode).toBe(3);
    expect(io.errors).toContain(`${target} refused the request: no program listens on that port\nStart the server`);
  });

  it('sends a negative number, with or without --', async () => {
    const { ask, file, target } = await startServer();
    expect((await ask('echo', '-3.59')).io.stdout).toEqual(['-3.59']);
    expect((await ask('echo', '-5e-3', '--json')).io.documents).toMatchObject([{ data: -0.005 }]);
    const after = await runCommand(send, ['--key-file', file, '--', target, 'echo', '-7']);
    expect(after.io.stdout).toEqual(['-7']);
  });

  it('ends by Ctrl+C with 130', async () => {
    const silent = await bindDatagramSocket(
      { host: '127.0.0.1', port: 0, receiveBufferSize: undefined },
      { onDatagram: () => io.interrupt(), onError: () => undefined },
    );
    onTestFinished(() => silent.close());
    const io = new TestIo();
    const file = await keyFile();
    expect(await send([`127.0.0.1:${silent.address.port}`, 'echo', '--key-file', file], io)).toBe(130);
    expect(io.stdout).toEqual([]);
  });

  it('prefers --key-file over BEN_KEY_FILE', async () => {
    const { target, file } = await startServer();
    const byEnv = await runCommand(send, [target, 'echo', '1'], { env: { BEN_KEY_FILE: file } });
    expect(byEnv.exitCode).toBe(0);
    const missing = { env: { BEN_KEY_FILE: '/nowhere/key.sec' } };
    expect((await runCommand(send, [target, 'echo', '1'], missing)).io.errors).toContain('"/nowhere/key.sec"');
    expect((await runCommand(send, [target, 'echo', '1', '--key-file', file], missing)).exitCode).toBe(0);
  });

  it('names the next step if the key file is missing', async () => {
    const { exitCode, io } = await runCommand(send, ['127.0.0.1', 'echo', '--key-file', '/nowhere/key.sec']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('npx nestjs-ben-udp keygen "/nowhere/key.sec"');
  });

  it('accepts a short key file only with --any-key-file', async () => {
    const file = await keyFile(Buffer.from('short'));
    const words = ['127.0.0.1:1', 'echo', '--timeout', '10ms', '--key-file', file];
    expect((await runCommand(send, words)).io.errors).toContain('less than 32 bytes');
    expect((await runCommand(send, [...words, '--any-key-file'])).exitCode).toBe(3);
  });

  it.each([[[]], [['--v2']]])('waits for the address of a host no longer than --timeout %j', async (words) => {
    const platform = { ...nodePlatform, resolveHost: () => new Promise<string>(() => undefined) };
    const args = ['board.local', 'echo', '--key-file', await keyFile(), '--timeout', '50ms', ...words];
    const { exitCode, io } = await runCommand(send, args, { platform });
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/the host "board.local" is not known: no answer within 50 ms\nUse its address/);
  });

  it('names a host that is not known', async () => {
    const words = ['no-such-host.invalid', 'echo', '--key-file', await keyFile()];
    const { exitCode, io } = await runCommand(send, words);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('the host "no-such-host.invalid" is not known');
  });

  it('refuses a request that is too large', async () => {
    const { ask } = await startServer();
    const { exitCode, io } = await ask('echo', JSON.stringify('x'.repeat(4000)));
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/takes up to \d+ bytes/);
  });

  it.each([
    [[], /missing argument HOST\[:PORT\]\n/],
    [['127.0.0.1'], /missing argument ACTION\n/],
    [['127.0.0.1', 'a', '1', '2'], /too many arguments/],
    [['127.0.0.1', 'a', 'hi'], /'"hi"'/],
    [['127.0.0.1:0', 'a'], /port from 1 to 65535/],
    [['127.0.0.1:65536', 'a'], /port from 1 to 65535/],
    [['0.0.0.0', 'a'], /127\.0\.0\.1/],
    [['h', 'a', '--timeout', '9'], /--timeout is a time from 10 to 86400000 ms/],
    [['h', 'a', '--timeout', '86400001'], /--timeout/],
    [['h', 'a', '--timeout', '1e3'], /--timeout/],
    [['h', 'a', '--count', '0'], /--count is a whole number from 1 to 1000000/],
    [['h', 'a', '--local-port', '65536'], /--local-port/],
    [['h', 'a', '--local-address', 'localhost'], /--local-address/],
    [['127.0.0.1', 'a', '--local-address', '::1'], /same family/],
    [['h', 'a', '-x'], /there is no option -x/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(send, args);
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
    expect(io.stdout).toEqual([]);
  });

  it('accepts no key on the command line, and does not repeat it', async () => {
    for (const words of [['--key', 'c0ffee'], ['--key=c0ffee']]) {
      const { exitCode, io } = await runCommand(send, ['127.0.0.1', 'a', ...words]);
      expect(exitCode).toBe(2);
      expect(io.errors).toContain('--key-file');
      expect(io.errors).not.toContain('c0ffee');
    }
  });

  it('explains itself on one screen, with examples', async () => {
    const { exitCode, io } = await runCommand(send, ['--help']);
    expect(exitCode).toBe(0);
    expect(io.text.split('\n').length).toBeLessThan(MAX_HELP_LINES);
    expect(io.text).toContain('\nExamples:\n  npx nestjs-ben-udp ');
  });
});

describe('parseTarget', () => {
  it.each([
    ['server', 'server', 8585],
    ['server.local:1', 'server.local', 1],
    ['10.0.0.7:65535', '10.0.0.7', 65_535],
    ['::1', '::1', 8585],
    ['[::1]', '::1', 8585],
    ['[fe80::1%eth0]:9000', 'fe80::1%eth0', 9000],
  ])('reads %s', (target, host, port) => {
    expect(parseTarget(target)).toEqual({ host, port });
  });

  it.each(['', ':', ':8585', 'a:b', 'a:', 'a:1:2', '[::1', '[]:1', 'a:123456', '::'])('refuses %j', (target) => {
    expect(() => parseTarget(target)).toThrow(/HOST|127\.0\.0\.1/);
  });
});
