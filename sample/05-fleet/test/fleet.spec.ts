/** The whole fleet, as `npm run start:fleet` runs it, with `kill -9` for each of its parts: `npm run test:fleet`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { VirtualBoard, type VirtualBoardOptions } from 'nestjs-ben-udp/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { sendHostileRequests } from '../../../test/support/hostile-requests.mjs';

const main = join(import.meta.dirname, '..', 'dist', 'main.js');

const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
const hasNats = FOLDERS.some((folder) => existsSync(join(folder, 'nats-server')));

if (!hasNats && process.env['CI'] === 'true') {
  throw new Error('nats-server is not installed. On Debian and Ubuntu: sudo apt-get install nats-server');
}

describe.skipIf(!hasNats)('the fleet (needs nats-server)', () => {
  let folder: string;
  let child: ChildProcess;
  let server: VirtualBoardOptions;
  let board: VirtualBoard;
  let output = '';
  let readings = 0;

  /** Resolves when the output has at least this number of matches. */
  async function untilPrinted(pattern: RegExp, times = 1): Promise<RegExpMatchArray[]> {
    await vi.waitUntil(() => [...output.matchAll(pattern)].length >= times, { timeout: 60_000 });
    return [...output.matchAll(pattern)];
  }

  /** The process that has this name now. */
  function pidOf(name: string): number {
    return Number([...output.matchAll(new RegExp(`^${name} is process (\\d+)$`, 'gm'))].at(-1)![1]);
  }

  async function kill(name: string): Promise<void> {
    const starts = new RegExp(`^${name} is process`, 'gm');
    const times = [...output.matchAll(starts)].length;
    process.kill(pidOf(name), 'SIGKILL');
    await untilPrinted(starts, times + 1);
  }

  /** Which readings workers have, each once. */
  function used(): Set<number> {
    return new Set(
      [...output.matchAll(/has reading \d+ of board-01: \{"number":(\d+)\}/g)].map(([, number]) => Number(number)),
    );
  }

  async function report(times: number): Promise<void> {
    for (let count = 0; count < times; count++) {
      await board.send({ action: 'dhtsensor', data: { number: readings++ } }, { noreturn: true });
    }
  }

  /** Readings that no worker has. */
  function unused(): number[] {
    const numbers = used();
    return Array.from({ length: readings }, (_, number) => number).filter((number) => !numbers.has(number));
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleet-'));
    const keyFile = join(folder, 'key.sec');
    child = spawn(process.execPath, [main], {
      cwd: folder,
      env: {
        ...process.env,
        BEN_HOST: '127.0.0.1',
        BEN_PORT: '0',
        NATS_PORT: '0',
        BEN_KEY_FILE: keyFile,
        NO_COLOR: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const [line] = await untilPrinted(/The fleet runs: boards on udp \S+ port (\d+)/g);
    server = { key: await readFile(keyFile), port: Number(line![1]), timeout: 8000 };
    board = await VirtualBoard.start(server);
  });

  afterAll(async () => {
    await board?.close();
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true });
  });

  it('answers requests by both workers, which know the board', async () => {
    const answers = [];
    for (let count = 0; count < 30; count++) {
      answers.push((await board.send({ action: 'who' })) as { pid: number; device: string });
    }
    expect(new Set(answers.map(({ pid }) => pid))).toEqual(new Set([pidOf('Worker 1'), pidOf('Worker 2')]));
    expect(answers.every(({ device }) => device === 'board-01')).toBe(true);
  });

  it('answers a board that waits when its reading is stored', async () => {
    const first = (await board.send({ action: 'dhtsensor', data: { number: readings++ } })) as { stored: number };
    expect(first).toEqual({ stored: expect.any(Number) });
    expect(await board.send({ action: 'dhtsensor', data: { number: readings++ } })).toEqual({
      stored: first.stored + 1,
    });
    await expect.poll(unused, { timeout: 20_000 }).toEqual([]);
  });

  it('loses no reading when both workers are killed', async () => {
    await report(20);
    await Promise.all([kill('Worker 1'), kill('Worker 2'), report(20)]);
    await expect.poll(unused, { timeout: 20_000 }).toEqual([]);
  });

  it('stores what boards reported while NATS was dead, each once, and tells a board that waits', async () => {
    await report(1);
    await expect.poll(unused, { timeout: 20_000 }).toEqual([]);
    const { stored: before } = (await board.send({ action: 'dhtsensor', data: { number: readings++ } })) as {
      stored: number;
    };
    const back = kill('NATS');
    await report(10);
    const startedAt = performance.now();
    // NATS may be back already: then it is stored.
    const answer = await board.send({ action: 'dhtsensor', data: { number: readings } });
    expect(performance.now() - startedAt).toBeLessThan(3000);
    readings += answer === null ? 0 : 1;
    await back;
    await expect.poll(unused, { timeout: 20_000 }).toEqual([]);
    await expect.poll(() => board.send({ action: 'who' }), { timeout: 5000 }).toMatchObject({ device: 'board-01' });
    const { stored } = (await board.send({ action: 'dhtsensor', data: { number: readings++ } })) as { stored: number };
    expect(stored - before).toBeLessThanOrEqual(answer === null ? 12 : 13);
    expect(stored - before).toBeGreaterThanOrEqual(11);
  });

  it('outlives hostile requests of a key holder, and stores readings that JSON can not carry', async () => {
    const pids = [...output.matchAll(/is process (\d+)$/gm)].length;
    await sendHostileRequests(['dhtsensor', 'who', 'echo', 'temperature', 'nobody'], () => VirtualBoard.start(server));
    await untilPrinted(/has reading \d+ of board-01: "1180591620717411303424"/g, 2);
    await untilPrinted(/has reading \d+ of board-01: \[\[\[1,2\],3\]\]/g, 2);
    expect(await board.send({ action: 'who' })).toMatchObject({ device: 'board-01' });
    expect([...output.matchAll(/is process (\d+)$/gm)]).toHaveLength(pids);
  });

  it('ends with all its processes', async () => {
    const pids = [...output.matchAll(/is process (\d+)$/gm)].map(([, pid]) => Number(pid));
    expect(pids.length).toBeGreaterThanOrEqual(7);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(output).toContain('The fleet has ended.');
    pids.forEach((pid) => expect(() => process.kill(pid, 0)).toThrow('ESRCH'));
  });
});
