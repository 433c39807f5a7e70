/** The whole sample in a folder of its own, and what it prints. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { vi } from 'vitest';

const main = join(import.meta.dirname, '..', '..', 'dist', 'main.js');

const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];

export const hasNats = FOLDERS.some((folder) => existsSync(join(folder, 'nats-server')));

if (!hasNats && process.env['CI'] === 'true') {
  throw new Error('nats-server is not installed. On Debian and Ubuntu: sudo apt-get install nats-server');
}

const STARTED = /is process (\d+)$/gm;

export class Fleet {
  output = '';
  readonly keyFile: string;
  readonly child: ChildProcess;

  /** Starts it on free ports, as the first process of a terminal. */
  constructor(folder: string, env: NodeJS.ProcessEnv = {}) {
    this.keyFile = join(folder, 'key.sec');
    this.child = spawn(process.execPath, [main], {
      cwd: folder,
      env: {
        ...process.env,
        BEN_HOST: '127.0.0.1',
        BEN_PORT: '0',
        NATS_PORT: '0',
        BEN_KEY_FILE: this.keyFile,
        NO_COLOR: '1',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
  }

  /** Processes that were started so far, in this order. */
  get pids(): number[] {
    return [...this.output.matchAll(STARTED)].map(([, pid]) => Number(pid));
  }

  /** Those that still run. */
  get running(): number[] {
    return this.pids.filter((pid) => isRunning(pid));
  }

  /** Resolves when the output has at least this number of matches. */
  async untilPrinted(pattern: RegExp, times = 1): Promise<RegExpMatchArray[]> {
    await vi.waitUntil(() => [...this.output.matchAll(pattern)].length >= times, { timeout: 60_000 });
    return [...this.output.matchAll(pattern)];
  }

  /** Resolves to the port for boards. */
  async untilRunning(): Promise<number> {
    const [line] = await this.untilPrinted(/The fleet runs: boards on udp \S+ port (\d+)/g);
    return Number(line![1]);
  }

  /** The process that has this name now. */
  pidOf(name: string): number {
    return Number([...this.output.matchAll(new RegExp(`^${name} is process (\\d+)$`, 'gm'))].at(-1)![1]);
  }

  /** Resolves to its exit code and signal. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<unknown[]> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) {
      return [child.exitCode, child.signalCode];
    }
    const exit = once(child, 'exit');
    child.kill(signal);
    return exit;
  }
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
