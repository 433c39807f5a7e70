/** Servers of brokers, each on a free port of loopback and in its own folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { findFreePort } from '../../../tools/support/free-port.mjs';
import { type ENGINES, explainMissing, findProgram, isInstalled } from './programs.mjs';

export interface Engine {
  readonly port: number;
  /** Starts it, also again on the same port. Resolves when it accepts connections. */
  start(): Promise<void>;
  kill(): Promise<void>;
  /** Stops it without closing its connections, as a broken network does. Resolves when none of its threads runs any more. */
  freeze(): Promise<void>;
}

/** Why a spec about programs can't run; `undefined` if it can. In CI it throws. */
export function missing(...programs: Array<keyof typeof ENGINES>): string | undefined {
  const absent = programs.filter((program) => !isInstalled(program));
  if (absent.length === 0) {
    return undefined;
  }
  const reason = explainMissing(absent);
  if (process.env['CI'] === 'true') {
    throw new Error(reason);
  }
  return reason;
}

/** Another program may take a port between the check and the bind. */
const MAX_STARTS = 5;

export async function startEngine(program: 'nats-server' | 'redis-server', ...args: string[]): Promise<Engine> {
  const folder = await mkdtemp(join(tmpdir(), 'ben-udp-engine-'));
  let child: ChildProcess | undefined;
  const startAt = async (port: number) => {
    const options = {
      'nats-server': ['-a', '127.0.0.1', '-p', String(port)],
      'redis-server': ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--dir', folder],
    };
    child = spawn(findProgram(program)!, [...options[program], ...args], { stdio: 'ignore' });
    await untilOpen(port, child);
  };
  const kill = async () => {
    if (child && isRunning(child)) {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }
  };
  onTestFinished(async () => {
    await kill();
    await rm(folder, { recursive: true });
  });
  for (let attempt = 1; ; attempt++) {
    const port = await findFreePort();
    try {
      await startAt(port);
      return { port, start: () => startAt(port), kill, freeze: () => freeze(child!.pid!) };
    } catch (error) {
      if (attempt === MAX_STARTS) {
        throw error;
      }
    }
  }
}

/** The signal is not enough: another core may go on for long enough to answer a request. */
async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const isStopped = async (thread: string) => / T /.test(await readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8'));
  while (!(await Promise.all((await readdir(`/proc/${pid}/task`)).map(isStopped))).every(Boolean)) {
    await pause(1);
  }
}

async function untilOpen(port: number, engine: ChildProcess): Promise<void> {
  while (isRunning(engine)) {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) {
      return;
    }
    await pause(20);
  }
  throw new Error(`${engine.spawnfile} ended at its start, with code ${engine.exitCode}`);
}

function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}
