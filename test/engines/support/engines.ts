/** Servers of brokers, each on a free port of loopback and in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { explainMissing, findProgram } from './programs.mjs';

export interface Engine {
  readonly port: number;
  /** Starts it, also again on the same port. Resolves when it accepts connections. */
  start(): Promise<void>;
  kill(): Promise<void>;
}

/** Why a spec about a program can't run; `undefined` if it can. In CI it throws. */
export function missing(program: 'nats-server' | 'redis-server'): string | undefined {
  if (findProgram(program) !== undefined) {
    return undefined;
  }
  const reason = explainMissing([program]);
  if (process.env['CI'] === 'true') {
    throw new Error(reason);
  }
  return reason;
}

export async function startEngine(program: 'nats-server' | 'redis-server', ...args: string[]): Promise<Engine> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'ben-udp-engine-'));
  const options = {
    'nats-server': ['-a', '127.0.0.1', '-p', String(port)],
    'redis-server': ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--dir', folder],
  };
  let child: ChildProcess | undefined;
  const engine: Engine = {
    port,
    start: async () => {
      child = spawn(findProgram(program)!, [...options[program], ...args], { stdio: 'ignore' });
      await untilOpen(port);
    },
    kill: async () => {
      if (child && child.exitCode === null && child.signalCode === null) {
        const exit = once(child, 'exit');
        child.kill('SIGKILL');
        await exit;
      }
    },
  };
  onTestFinished(async () => {
    await engine.kill();
    await rm(folder, { recursive: true });
  });
  await engine.start();
  return engine;
}

/** No program has it now. The engine binds it at once. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function untilOpen(port: number): Promise<void> {
  for (;;) {
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
}
