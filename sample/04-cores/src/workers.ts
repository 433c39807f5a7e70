/** The first process: it starts the others, starts them again, and asks them how they are. It never touches a datagram. */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type { Report } from './worker.js';

/** A worker that ends by itself is started again after this. */
const RESTART_AFTER_MS = 200;

/** If it can't start, the next attempts come after this, because each costs as much CPU as a start. */
const RETRY_AFTER_MS = 2000;

export class Workers {
  /** From the start of the process to its end. */
  private readonly alive = new Set<Worker>();
  /** Those on the port. */
  private readonly running = new Set<Worker>();
  private readonly stopping = new AbortController();

  private readonly env: NodeJS.ProcessEnv;

  constructor(env: NodeJS.ProcessEnv) {
    // A copy: the port is added, if any free one was asked for.
    this.env = { ...env };
  }

  /** Rejects if a worker ends before it listens, unless all are to end. It has said why. */
  async start(count: number): Promise<void> {
    for (let index = 0; index < count && !this.isStopping; index++) {
      await this.add().catch((error: unknown) => {
        if (!this.isStopping) {
          throw error;
        }
      });
    }
  }

  get port(): number {
    return Number(this.env['BEN_PORT']);
  }

  /** One report for each worker, without those that end meanwhile. */
  async reports(): Promise<Report[]> {
    const reports = await Promise.all(
      [...this.running].map(async (worker) => {
        const exit = once(worker, 'exit');
        // It may have ended already, so an error of this is none.
        worker.send('report', () => undefined);
        const message = once(worker, 'message') as Promise<[{ readonly report: Report }]>;
        return Promise.race([message.then(([{ report }]) => report), exit.then(() => undefined)]);
      }),
    );
    return reports.filter((report) => report !== undefined);
  }

  /**
   * A rolling restart: each worker leaves the port when the one that takes its place is on it. Ends early if a worker can't start, or if
   * all workers are to end.
   */
  async replaceAll(): Promise<void> {
    const old = Array.from(this.running);
    for (const worker of old) {
      if (!(await this.tryToAdd())) {
        return;
      }
      await this.end(worker);
    }
    if (!this.isStopping) {
      console.log('All workers are new.');
    }
  }

  /** Resolves when all have ended, those that are just starting too. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all([...this.alive].map((worker) => this.end(worker)));
  }

  private get isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private async add(): Promise<void> {
    const worker = cluster.fork(this.env);
    this.alive.add(worker);
    worker.once('exit', (code, signal) => void this.onExit(worker, signal ?? code));
    const [message] = (await Promise.race([
      once(worker, 'message'),
      once(worker, 'exit').then(([code]) =>
        Promise.reject(new Error(`a worker ended at its start, with code ${code}`)),
      ),
    ])) as [{ readonly port: number }];
    this.env['BEN_PORT'] = String(message.port);
    this.running.add(worker);
    console.log(`Worker ${worker.process.pid} is on port ${message.port}`);
  }

  private async tryToAdd(): Promise<boolean> {
    if (this.isStopping) {
      return false;
    }
    try {
      await this.add();
      return true;
    } catch {
      if (!this.isStopping) {
        console.error('A worker could not start, for the reason above. The others stay on the port.');
      }
      return false;
    }
  }

  private async onExit(worker: Worker, how: string | number): Promise<void> {
    this.alive.delete(worker);
    if (!this.running.delete(worker) || this.isStopping) {
      return;
    }
    console.log(`Worker ${worker.process.pid} ended (${how}). The kernel gives its boards to the others.`);
    let isBack = false;
    for (let waitMs = RESTART_AFTER_MS; !isBack && !this.isStopping; waitMs = RETRY_AFTER_MS) {
      await pause(waitMs, undefined, { signal: this.stopping.signal }).catch(() => undefined);
      isBack = await this.tryToAdd();
    }
  }

  private async end(worker: Worker): Promise<void> {
    this.running.delete(worker);
    if (this.alive.has(worker)) {
      const exit = once(worker, 'exit');
      worker.process.kill('SIGTERM');
      await exit;
    }
  }
}
