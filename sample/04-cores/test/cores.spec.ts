/** The whole sample, as `npm run start:cores` runs it: `npm run test:cores`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sendHostileRequests } from '../../../test/support/hostile-requests.mjs';
import { addUp } from '../src/add-up.js';

const main = join(import.meta.dirname, '..', 'dist', 'main.js');

interface Sample {
  readonly child: ChildProcess;
  readonly keyFile: string;
  /** All that it has printed. */
  output(): string;
  /** Resolves when the output has at least this number of matches. */
  untilPrinted(pattern: RegExp, times?: number): Promise<RegExpMatchArray[]>;
}

async function startSample(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Sample> {
  const folder = await mkdtemp(join(tmpdir(), 'cores-'));
  const keyFile = join(folder, 'key.sec');
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    env: { ...process.env, BEN_HOST: '127.0.0.1', BEN_PORT: '0', BEN_KEY_FILE: keyFile, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true });
  });
  return {
    child,
    keyFile,
    output: () => output,
    untilPrinted: async (pattern, times = 1) => {
      await expect.poll(() => [...output.matchAll(pattern)].length, { timeout: 30_000 }).toBeGreaterThanOrEqual(times);
      return [...output.matchAll(pattern)];
    },
  };
}

const WORKER = /Worker (\d+) is on port (\d+)/g;

async function startBoards(sample: Sample, count: number): Promise<VirtualBoard[]> {
  const [first] = await sample.untilPrinted(WORKER);
  const key = await readFile(sample.keyFile);
  const boards = await Promise.all(
    Array.from({ length: count }, () => VirtualBoard.start({ key, port: Number(first![2]), timeout: 3000 })),
  );
  onTestFinished(async () => {
    await Promise.all(boards.map((board) => board.close()));
  });
  return boards;
}

/** Which process answers each board. */
async function pidsOf(boards: readonly VirtualBoard[]): Promise<number[]> {
  const answers = await Promise.all(boards.map((board) => board.send({ action: 'who' })));
  return (answers as Array<{ pid: number }>).map(({ pid }) => pid);
}

describe('workers on one port', () => {
  it('share the boards, are replaced after a crash and by SIGHUP, and end with the first process', async () => {
    const sample = await startSample([], { WORKERS: '2' });
    const started = await sample.untilPrinted(WORKER, 2);
    const [one, other] = started.map(([, pid]) => Number(pid));
    // Of 40 boards all have one worker in 1 of 10^12 runs.
    const boards = await startBoards(sample, 40);
    expect(new Set(await pidsOf(boards))).toEqual(new Set([one, other]));

    process.kill(one!, 'SIGKILL');
    const [, , third] = await sample.untilPrinted(WORKER, 3);
    expect(new Set(await pidsOf(boards))).toEqual(new Set([other, Number(third![1])]));

    sample.child.kill('SIGUSR2');
    const [counters] = await sample.untilPrinted(/^\{.*\}$/gm);
    const { boards: heard, sum } = JSON.parse(counters![0]) as {
      boards: number[];
      sum: { outcomes: { answered: number }; rejected: Record<string, number> };
    };
    expect(heard).toHaveLength(2);
    // The one that was killed has taken its counters with it.
    expect(sum.outcomes.answered).toBeGreaterThanOrEqual(40);
    expect(sum.outcomes.answered).toBeLessThan(80);

    sample.child.kill('SIGHUP');
    await sample.untilPrinted(/All workers are new/g);
    const pids = (await sample.untilPrinted(WORKER, 5)).map(([, pid]) => Number(pid));
    expect(new Set(await pidsOf(boards))).toEqual(new Set(pids.slice(3)));

    sample.child.kill('SIGTERM');
    expect(await once(sample.child, 'exit')).toEqual([0, null]);
    expect(sample.output()).toContain('All workers have ended.');
    pids.forEach((pid) => expect(() => process.kill(pid, 0)).toThrow('ESRCH'));
  });

  it('outlive hostile requests of a key holder', async () => {
    const sample = await startSample([], { WORKERS: '2' });
    const boards = await startBoards(sample, 40);
    const pids = new Set(await pidsOf(boards));
    const [first] = await sample.untilPrinted(WORKER);
    const server = { key: await readFile(sample.keyFile), port: Number(first![2]), timeout: 3000 };
    await sendHostileRequests(['echo', 'who', 'dhtsensor', 'nobody'], () => VirtualBoard.start(server));
    expect(new Set(await pidsOf(boards))).toEqual(pids);
  });

  it.each([
    ['during', 2, ['SIGHUP', 'SIGTERM']],
    ['right before', 2, ['SIGTERM', 'SIGHUP']],
    ['in the start, and before', 1, ['SIGHUP', 'SIGTERM']],
  ] as const)('all end if SIGTERM comes %s a rolling restart', async (_when, workers, signals) => {
    const sample = await startSample([], { WORKERS: '2' });
    await sample.untilPrinted(WORKER, workers);
    signals.forEach((signal) => sample.child.kill(signal));
    expect(await once(sample.child, 'exit')).toEqual([0, null]);
    const lines = sample.output().trim().split('\n');
    expect(lines.at(-1)).toBe('All workers have ended.');
    expect(lines).not.toContain('All workers are new.');
    for (const [, pid] of sample.output().matchAll(WORKER)) {
      expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH');
    }
  });

  it('stay if those that take their places can not start, and are replaced when these can', async () => {
    const sample = await startSample([], { WORKERS: '2' });
    const [one, other] = (await sample.untilPrinted(WORKER, 2)).map(([, pid]) => Number(pid));
    const boards = await startBoards(sample, 40);
    const key = await readFile(sample.keyFile);

    await writeFile(sample.keyFile, '');
    sample.child.kill('SIGHUP');
    await sample.untilPrinted(/A worker could not start/g);
    expect(new Set(await pidsOf(boards))).toEqual(new Set([one, other]));
    process.kill(one!, 'SIGKILL');
    await sample.untilPrinted(/A worker could not start/g, 2);
    expect(new Set(await pidsOf(boards))).toEqual(new Set([other]));

    await writeFile(sample.keyFile, key);
    const [, , third] = (await sample.untilPrinted(WORKER, 3)).map(([, pid]) => Number(pid));
    expect(new Set(await pidsOf(boards))).toEqual(new Set([other, third]));
    expect(sample.output()).not.toContain('All workers are new.');
    sample.child.kill('SIGHUP');
    await sample.untilPrinted(/All workers are new/g);
  });

  it('are added up without one that ends meanwhile', async () => {
    const sample = await startSample([], { WORKERS: '2' });
    const [, other] = (await sample.untilPrinted(WORKER, 2)).map(([, pid]) => Number(pid));
    await sample.untilPrinted(/SIGUSR2 shows/g);
    // It gets the question, and can't answer.
    process.kill(other!, 'SIGSTOP');
    sample.child.kill('SIGUSR2');
    process.kill(other!, 'SIGKILL');
    const [counters] = await sample.untilPrinted(/^\{.*\}$/gm);
    expect(JSON.parse(counters![0])).toMatchObject({ boards: [0] });
  });

  it.each(['0', 'two'])('are not started if WORKERS is %s', async (count) => {
    const sample = await startSample([], { WORKERS: count });
    expect(await once(sample.child, 'exit')).toEqual([1, null]);
    expect(sample.output()).toContain(`WORKERS must be a number of processes, 1 or more, and is ${count}`);
  });

  it('end the first process if they can not start', async () => {
    const sample = await startSample([], { WORKERS: '2', BEN_HOST: '192.0.2.1' });
    expect(await once(sample.child, 'exit')).toEqual([1, null]);
    expect(sample.output()).toContain('192.0.2.1');
  });
});

describe('--measure', () => {
  it('shows the split of the boards and the CPU of an exchange at one worker and at two', async () => {
    const sample = await startSample(['--measure', '--boards', '40', '--seconds', '1']);
    expect(await once(sample.child, 'exit')).toEqual([0, null]);
    const rows = sample
      .output()
      .split('\n')
      .filter((line) => /│ \d+ +│ \d/.test(line))
      .map((line) => line.split('│').map((cell) => cell.trim().replaceAll("'", '')));
    expect(rows).toHaveLength(2);
    for (const [index, [, , workers, boards, each, exchanges, failed, cpu, perSecond, share]] of rows.entries()) {
      expect(workers).toBe(String(index + 1));
      const split = boards!.split(' + ').map(Number);
      expect(split).toHaveLength(index + 1);
      expect(split.every((count) => count > 0)).toBe(true);
      expect(split.reduce((sum, count) => sum + count)).toBe(40);
      expect(each!.split(' + ').reduce((sum, count) => sum + Number(count), 0)).toBe(Number(exchanges));
      expect(failed).toBe('0');
      expect(Number.parseFloat(cpu!)).toBeGreaterThan(0);
      expect(Number.parseFloat(cpu!)).toBeLessThan(10);
      expect(Number(perSecond)).toBeGreaterThan(0);
      expect(Number.parseInt(share!, 10)).toBeGreaterThan(0);
    }
  });
});

describe('addUp', () => {
  it('adds counters at every depth, also those that one process lacks, and leaves percentiles out', () => {
    const one = { received: 3, rejected: { 'bad-hash': 1 }, handlerMs: { p50: 4 } };
    const other = { received: 4, rejected: { 'bad-hash': 2, malformed: 1 }, handlerMs: { p50: 6 } };
    expect(addUp<object>([one, other])).toEqual({ received: 7, rejected: { 'bad-hash': 3, malformed: 1 } });
  });
});
