/** A process that is started again whenever it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';

const RESTART_AFTER_MS = 200;

export interface KeptProcess {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  env(): NodeJS.ProcessEnv;
  /** Resolves when the process does its work. */
  untilReady(child: ChildProcess): Promise<void>;
}

export class Keeper {
  private child: ChildProcess | undefined;
  private isStopping = false;

  constructor(private readonly kept: KeptProcess) {}

  /** Rejects if the process ends before it is ready. */
  async start(): Promise<void> {
    const { name, program, args, env, untilReady } = this.kept;
    const isNode = program === process.execPath;
    const child = spawn(program, args, {
      env: { ...process.env, ...env() },
      stdio: isNode ? ['ignore', 'inherit', 'inherit', 'ipc'] : 'ignore',
      // Ctrl+C reaches all processes of a terminal at once, and NATS would end before the edge has stored what it holds.
      detached: true,
    });
    this.child = child;
    await once(child, 'spawn');
    const exit = once(child, 'exit').then(([code, signal]) => String(signal ?? code));
    await Promise.race([
      untilReady(child),
      exit.then((how) => Promise.reject(new Error(`${name} ended at its start (${how})`))),
    ]);
    console.log(`${name} is process ${child.pid}`);
    void exit.then((how) => this.again(how));
  }

  /** It may end now: systemd, for example, sends its signal to all processes at once. */
  expectEnd(): void {
    this.isStopping = true;
  }

  /** Resolves when the process has ended, one that is just starting too. */
  async stop(): Promise<void> {
    this.expectEnd();
    const { child } = this;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      await exit;
    }
  }

  private async again(how: string): Promise<void> {
    // Behind the signal that ended both.
    await pause(RESTART_AFTER_MS);
    while (!this.isStopping) {
      console.log(`${this.kept.name} ended (${how}) and is started again`);
      try {
        await this.start();
        return;
      } catch (error) {
        how = (error as Error).message;
      }
      await pause(RESTART_AFTER_MS);
    }
  }
}
