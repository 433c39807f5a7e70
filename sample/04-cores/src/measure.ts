/** Measures the same boards at one worker and at two: how many each worker has, and the server's CPU for an exchange. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { addUp } from './add-up.js';
import type { BoardsReport } from './boards.js';
import type { Report } from './worker.js';
import { Workers } from './workers.js';

export interface MeasureOptions {
  readonly boards: number;
  readonly seconds: number;
  readonly keyFile: string;
}

export async function measure({ boards, seconds, keyFile }: MeasureOptions): Promise<void> {
  console.log(
    `${boards} boards for ${seconds} s. They and the workers share ${availableParallelism()} cores, so exchanges per second are not a limit ` +
      'of the workers.',
  );
  const rows: Array<Record<string, string | number>> = [];
  for (const count of [1, 2]) {
    const env = { BEN_HOST: '0.0.0.0', BEN_PORT: '0', BEN_KEY_FILE: keyFile };
    const workers = new Workers(env);
    await workers.start(count);
    const before = await workers.reports();
    const asked = await runBoards({
      ...env,
      BEN_PORT: String(workers.port),
      BOARDS: `${boards}`,
      SECONDS: `${seconds}`,
    });
    const after = await workers.reports();
    await workers.stop();
    rows.push(toRow(before, after, asked));
  }
  console.table(rows);
}

async function runBoards(env: NodeJS.ProcessEnv): Promise<BoardsReport> {
  const child = fork(join(import.meta.dirname, 'boards.js'), { env: { ...process.env, ...env } });
  const [[report]] = await Promise.all([once(child, 'message') as Promise<[BoardsReport]>, once(child, 'exit')]);
  return report;
}

function toRow(
  before: readonly Report[],
  after: readonly Report[],
  asked: BoardsReport,
): Record<string, string | number> {
  const usedByWorkers = sum(after.map(({ cpuMs }) => cpuMs)) - sum(before.map(({ cpuMs }) => cpuMs));
  const { outcomes } = addUp(after.map(({ stats }) => stats));
  const usedMs = usedByWorkers + asked.cpuMs;
  return {
    workers: after.length,
    'boards of each': after.map(({ boards }) => boards).join(' + '),
    'exchanges of each': after.map(({ stats }) => stats.outcomes.answered).join(' + '),
    exchanges: outcomes.answered,
    failed: asked.failed,
    'server CPU per exchange': `${(usedByWorkers / outcomes.answered).toFixed(3)} ms`,
    'exchanges/s': Math.round(asked.answered / asked.seconds),
    'CPU of the boards': `${Math.round((100 * asked.cpuMs) / usedMs)} %`,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
