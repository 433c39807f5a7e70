/**
 * The program as npm installs it: a link to the built file, run by its first line. These tests need a process of their own: exit codes,
 * signals, streams that end, and a folder without Nest.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { compileLib } from '../support/compiled-lib.js';
import { bindDatagramSocket } from '../../lib/net/index.js';
import { recordedKeyFile, toHexText } from '../support/vectors.js';

let folder: string;
let program: string;

beforeAll(async () => {
  folder = await compileLib();
  // No Nest here.
  await rm(join(folder, 'node_modules'));
  program = join(folder, '.bin', 'nestjs-ben-udp');
  await mkdir(join(folder, '.bin'));
  await symlink(join('..', 'lib', 'cli', 'main.js'), program);
  await chmod(program, 0o755);
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

class Program {
  stdout = '';
  stderr = '';
  readonly ended: Promise<number | null>;

  private constructor(readonly child: ChildProcess) {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(child, 'close').then(([code]) => code as number | null);
  }

  static start(...args: string[]): Program {
    const env = { PATH: process.env['PATH'] };
    // By its first line, if the system reads it.
    const [command, words] = process.platform === 'win32' ? [process.execPath, [program, ...args]] : [program, args];
    const child = spawn(command, words, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    return new Program(child);
  }

  /** Waits until standard output matches. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout);
      if (match) {
        return match;
      }
      await once(this.child.stdout!, 'data');
    }
  }
}

async function runProgram(...args: string[]) {
  const started = Program.start(...args);
  const exitCode = await started.ended;
  return { exitCode, stdout: started.stdout, stderr: started.stderr };
}

describe('nestjs-ben-udp', () => {
  it('lists its commands, and refuses others with 2', async () => {
    expect(await runProgram('--help')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await runProgram('nonsense')).toMatchObject({ exitCode: 2, stdout: '' });
  });

  it('keygen, listen and send: a key is made, a server listens with it, and answers until Ctrl+C', async () => {
    expect(await runProgram('keygen', 'key.sec')).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await stat(join(folder, 'key.sec'))).size).toBe(32);
    expect((await runProgram('keygen', 'key.sec')).exitCode).toBe(1);
    const server = Program.start('listen', '--host', '127.0.0.1', '--port', '0');
    const [, target] = await server.prints(/Listening on (\S+)/);
    expect(await runProgram('send', target!, 'echo', '"hi"')).toEqual({ exitCode: 0, stdout: 'hi\n', stderr: '' });
    const json = await runProgram('send', target!, 'echo', '[1]', '--json', '--count', '2');
    expect(
      json.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toMatchObject([
      { outcome: 'answered', data: [1] },
      { outcome: 'answered', data: [1] },
    ]);
    server.child.kill('SIGINT');
    expect(await server.ended).toBe(0);
    expect(server.stdout).toMatch(/Closed after 3 requests and 0 datagrams without an answer\.\n$/);
    expect(await runProgram('send', target!, 'echo', '--timeout', '50')).toMatchObject({ exitCode: 3, stdout: '' });
  }, 60_000);

  it('send ends by Ctrl+C with 130', async () => {
    const hellos: Buffer[] = [];
    const silent = await bindDatagramSocket(
      { host: '127.0.0.1', port: 0, receiveBufferSize: undefined },
      {
        onDatagram: (datagram) => {
          hellos.push(datagram);
          asking.child.kill('SIGINT');
        },
        onError: () => undefined,
      },
    );
    onTestFinished(() => silent.close());
    const target = `127.0.0.1:${silent.address.port}`;
    const asking = Program.start('send', target, 'echo', '--any-key-file', '--key-file', 'package.json');
    expect(await asking.ended).toBe(130);
    expect(hellos.map(String)).toEqual(['/GETID']);
    expect(asking.stdout).toBe('');
  });

  it('decode opens the recordings, and ends without an error if its reader stops reading', async () => {
    await writeFile(join(folder, 'recorded.txt'), toHexText());
    await writeFile(join(folder, 'recorded.sec'), recordedKeyFile, { mode: 0o600 });
    const words = ['decode', 'recorded.txt', '--key-file', 'recorded.sec'];
    const whole = await runProgram(...words);
    expect(whole).toMatchObject({ exitCode: 0, stderr: '' });
    expect(whole.stdout).toMatch(/\n66 exchanges: 66 opened with key [0-9a-f]{8}\.\n$/);
    const cutOff = Program.start(...words, '--json');
    cutOff.child.stdout!.destroy();
    expect(await cutOff.ended).toBe(0);
    expect(cutOff.stderr).toBe('');
  });

  it('fleet goes on to its numbers and its exit code if nobody reads its progress any more', async () => {
    const words = ['127.0.0.1:9', '--duration', '2500ms', '--any-key-file', '--key-file', 'package.json'];
    const running = Program.start('fleet', '1', ...words);
    running.child.stderr!.destroy();
    expect(await running.ended).toBe(3);
    expect(running.stdout).toMatch(/\n2\.\d s: \d asked, 0 answered/);
  });

  it('decode reads standard input', async () => {
    const child = Program.start('decode', '-');
    expect(await child.ended).toBe(1);
    expect(child.stderr).toContain('this recording contains no exchange');
  });

  it('doctor looks at this machine', async () => {
    const { exitCode, stdout } = await runProgram('doctor', '--key-file', 'none.sec', '--json');
    expect(exitCode).toBe(1);
    const { checks } = JSON.parse(stdout) as { checks: Array<{ name: string; status: string }> };
    expect(checks).toMatchObject([
      { name: 'key file', status: 'wrong' },
      { name: 'port' },
      { name: 'loopback', status: 'ok' },
      { name: 'addresses' },
    ]);
  });
});

describe('the manifest', () => {
  it('names the program', async () => {
    const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
    const { bin } = JSON.parse(text) as { bin: Record<string, string> };
    expect(bin).toEqual({ 'nestjs-ben-udp': 'dist/esm/cli/main.js' });
  });
});
