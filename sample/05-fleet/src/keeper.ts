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
  private child!: ChildProcess;
  private isStopping = false;

  private constructor(private readonly kept: KeptProcess) {}

  /** Rejects if the process ends before it is ready, at its first start. */
  static async start(kept: KeptProcess): Promise<Keeper> {
    const keeper = new Keeper(kept);
    await keeper.run();
    return keeper;
  }

  /** It may end now: Ctrl+C reaches all processes of a terminal at once. */
  expectEnd(): void {
    this.isStopping = true;
  }

  async stop(): Promise<void> {
    this.expectEnd();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exit = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      await exit;
    }
  }

  private async run(): Promise<void> {
    const { name, program, args, env, untilReady } = this.kept;
    const isNode = program === process.execPath;
    const child = spawn(program, args, {
      env: { ...process.env, ...env() },
      stdio: isNode ? ['ignore', 'inherit', 'inherit', 'ipc'] : 'ignore',
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

  private async again(how: string): Promise<void> {
    // Behind the signal that ended both.
    await pause(RESTART_AFTER_MS);
    while (!this.isStopping) {
      console.log(`${this.kept.name} ended (${how}) and is started again`);
      try {
        await this.run();
        return;
      } catch (error) {
        how = (error as Error).message;
      }
      await pause(RESTART_AFTER_MS);
    }
  }
}
