/** Requests from the command line, over real datagrams, to servers of this package and to what is none. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listen, send } from '../../lib/cli/index.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseTarget } from '../../lib/cli/send.js';
import { bindDatagramSocket } from '../../lib/net/index.js';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';
import { TestIo, runCommand, startCommand } from '../support/cli-io.js';
import { ScriptedServer } from '../support/scripted-server.js';
import { temporaryFolder } from '../support/temporary-folder.js';
import { UpstreamServer } from '../support/upstream-server.js';

const CONTENTS = Buffer.alloc(32, 'k');
const OTHER = Buffer.alloc(32, 'o');

async function keyFile(contents: Buffer = CONTENTS): Promise<string> {
  const path = join(await temporaryFolder(), 'key.sec');
  await writeFile(path, contents, { mode: 0o600 });
  return path;
}

/** A server that echoes, and how to ask it. */
async function startServer(...args: string[]) {
  const file = await keyFile();
  const { io } = startCommand(listen, ['--host', '127.0.0.1', '--port', '0', '--key-file', file, '--json', ...args]);
  await io.line(/listening/);
  const target = `127.0.0.1:${io.documents[0]!['port']}`;
  const ask = (...words: string[]) => runCommand(send, [target, ...words, '--key-file', file]);
  return { target, file, ask, io };
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

  it('makes control characters of the answer visible', async () => {
    const { ask } = await startServer();
    const { io } = await ask('echo', '"\\u001b[2J \\u202e x\\ny"');
    expect(io.stdout).toEqual(['\\u001b[2J \\u202e x\ny']);
  });

  it('prints one JSON document with --json, with the time it took', async () => {
    const { ask } = await startServer();
    const { io } = await ask('echo', '"hi"', '--json');
    expect(io.documents).toEqual([{ outcome: 'answered', data: 'hi', latencyMs: expect.any(Number) as number }]);
    expect(io.documents[0]!['latencyMs']).toBeGreaterThan(0);
  });

  it('asks --count times, a document each', async () => {
    const { ask } = await startServer();
    const { io } = await ask('echo', '1', '--count', '3', '--json', '--latency');
    expect(io.documents.map(({ data }) => data)).toEqual([1, 1, 1]);
    expect(io.errors).toMatch(/^3 requests answered: least \d+\.\d ms, median \d+\.\d ms, most \d+\.\d ms$/);
  });

  it('says with --latency how long one took', async () => {
    const { ask } = await startServer();
    const { io } = await ask('echo', '1', '--latency');
    expect(io.stdout).toEqual(['1']);
    expect(io.errors).toMatch(/^answered in \d+\.\d ms$/);
  });

  it('waits for nothing and prints nothing with --noreturn', async () => {
    const { ask, io: server } = await startServer();
    const { exitCode, io } = await ask('report', '{"celsius": 21.5}', '--noreturn');
    expect(exitCode).toBe(0);
    expect(io.stdout).toEqual([]);
    await server.line(/"request"/);
    expect(server.documents.at(-1)).toMatchObject({ action: 'report', noreturn: true, data: { celsius: 21.5 } });
    expect((await ask('report', '--noreturn', '--json')).io.documents).toMatchObject([{ outcome: 'sent' }]);
  });

  it('exits with 4 where the server answers with an error', async () => {
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

  it('exits with 3 where nobody answers, and says what to look at', async () => {
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
    expect(io.errors).toMatch(new RegExp(`${target} did not answer within \\d+ ms\\n.*listen`));
    const json = await runCommand(send, [...words, '--json']);
    expect(json.io.documents).toMatchObject([{ outcome: 'failed', code: 'BEN_TIMEOUT', step: 'hello' }]);
  });

  it('names the key where the server is silent after the request, as one with another key is', async () => {
    const { target } = await startServer();
    const file = await keyFile(OTHER);
    const { exitCode, io } = await runCommand(send, [target, 'echo', '--timeout', '100', '--key-file', file]);
    expect(exitCode).toBe(3);
    expect(io.errors).toContain('is there, but did not answer the request');
    expect(io.errors).toContain(`another key, for it is silent then: the key here is ${fingerprint(deriveKey(OTHER))}`);
  });

  it('exits with 3 where the answer does not verify', async () => {
    const script = new ScriptedServer(deriveKey(CONTENTS));
    const liar = new ScriptedServer(deriveKey(CONTENTS), 'another id');
    const socket = await bindDatagramSocket(
      { host: '127.0.0.1', port: 0, receiveBufferSize: undefined },
      {
        onDatagram: (datagram, { port, address }) => {
          const answer = datagram.length === 6 ? script.pair() : liar.reply('{"data":1}');
          answer.forEach((each) => socket.send(each, port, address));
        },
        onError: () => undefined,
      },
    );
    onTestFinished(() => socket.close());
    const words = [`127.0.0.1:${socket.address.port}`, 'x', '--timeout', '100', '--key-file', await keyFile()];
    const { exitCode, io } = await runCommand(send, words);
    expect(exitCode).toBe(3);
    expect(io.errors).toContain('answered, but not with this key or not to this request');
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

  it('takes the key file of BEN_KEY_FILE, and rather that of --key-file', async () => {
    const { target, file } = await startServer();
    const byEnv = await runCommand(send, [target, 'echo', '1'], { env: { BEN_KEY_FILE: file } });
    expect(byEnv.exitCode).toBe(0);
    const missing = { env: { BEN_KEY_FILE: '/nowhere/key.sec' } };
    expect((await runCommand(send, [target, 'echo', '1'], missing)).io.errors).toContain('"/nowhere/key.sec"');
    expect((await runCommand(send, [target, 'echo', '1', '--key-file', file], missing)).exitCode).toBe(0);
  });

  it('says what to do where the key file is missing', async () => {
    const { exitCode, io } = await runCommand(send, ['127.0.0.1', 'echo', '--key-file', '/nowhere/key.sec']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('nestjs-ben-udp keygen "/nowhere/key.sec"');
  });

  it('takes a short key file only with --any-key-file', async () => {
    const file = await keyFile(Buffer.from('short'));
    const words = ['127.0.0.1:1', 'echo', '--timeout', '10', '--key-file', file];
    expect((await runCommand(send, words)).io.errors).toContain('less than 32 bytes');
    expect((await runCommand(send, [...words, '--any-key-file'])).exitCode).toBe(3);
  });

  it('says where a host is not known', async () => {
    const words = ['no-such-host.invalid', 'echo', '--key-file', await keyFile()];
    const { exitCode, io } = await runCommand(send, words);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('the host "no-such-host.invalid" is not known');
  });

  it('says that a request is too large, and sends nothing', async () => {
    const { ask } = await startServer();
    const { exitCode, io } = await ask('echo', JSON.stringify('x'.repeat(4000)));
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/takes up to \d+ bytes/);
  });

  it.each([
    [[], /nothing was named/],
    [['127.0.0.1'], /too little/],
    [['127.0.0.1', 'a', '1', '2'], /too many words/],
    [['127.0.0.1', 'a', 'hi'], /'"hi"'/],
    [['127.0.0.1:0', 'a'], /port from 1 to 65535/],
    [['127.0.0.1:65536', 'a'], /port from 1 to 65535/],
    [['0.0.0.0', 'a'], /127\.0\.0\.1/],
    [['h', 'a', '--timeout', '9'], /--timeout is a whole number from 10 to 86400000/],
    [['h', 'a', '--timeout', '86400001'], /--timeout/],
    [['h', 'a', '--timeout', '1e3'], /--timeout/],
    [['h', 'a', '--count', '0'], /--count is a whole number from 1 to 1000000/],
    [['h', 'a', '--local-port', '65536'], /--local-port/],
    [['h', 'a', '--local-address', 'localhost'], /--local-address/],
    [['127.0.0.1', 'a', '--local-address', '::1'], /same family/],
    [['h', 'a', '-5'], /'-- "-5"/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(send, args);
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
    expect(io.stdout).toEqual([]);
  });

  it('takes no key on the command line, and does not repeat one', async () => {
    for (const words of [['--key', 'c0ffee'], ['--key=c0ffee']]) {
      const { exitCode, io } = await runCommand(send, ['127.0.0.1', 'a', ...words]);
      expect(exitCode).toBe(2);
      expect(io.errors).toContain('--key-file');
      expect(io.errors).not.toContain('c0ffee');
    }
  });

  it('explains itself on one screen', async () => {
    const { exitCode, io } = await runCommand(send, ['--help']);
    expect(exitCode).toBe(0);
    expect(io.text.split('\n').length).toBeLessThan(25);
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
    expect(() => parseTarget(target)).toThrow(/HOST|address/);
  });
});
