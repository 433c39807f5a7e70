/** The whole fleet, as `npm run start:fleet` runs it, with `kill -9` for each of its parts: `npm run test:fleet`. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualBoard, type VirtualBoardOptions } from 'nestjs-ben-udp/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sendHostileRequests } from '../../../test/support/hostile-requests.mjs';
import { Fleet, hasNats } from './support/fleet.js';

describe.skipIf(!hasNats)('the fleet (needs nats-server)', () => {
  let folder: string;
  let fleet: Fleet;
  let server: VirtualBoardOptions;
  let board: VirtualBoard;
  let readings = 0;

  async function kill(name: string): Promise<void> {
    const pid = fleet.pidOf(name);
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => fleet.pidOf(name), { timeout: 60_000 }).not.toBe(pid);
  }

  /** Which readings workers have, each once. */
  function used(): Set<number> {
    return new Set(
      [...fleet.output.matchAll(/has reading \d+ of board-01: \{"number":(\d+)\}/g)].map(([, number]) =>
        Number(number),
      ),
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
    fleet = new Fleet(folder);
    const port = await fleet.untilRunning();
    server = { key: await readFile(fleet.keyFile), port, timeout: 8000 };
    board = await VirtualBoard.start(server);
  });

  afterAll(async () => {
    await board?.close();
    await fleet.end();
    await rm(folder, { recursive: true });
  });

  it('answers requests by both workers, which know the board', async () => {
    const answers = [];
    for (let count = 0; count < 30; count++) {
      answers.push((await board.send({ action: 'who' })) as { pid: number; device: string });
    }
    expect(new Set(answers.map(({ pid }) => pid))).toEqual(new Set([fleet.pidOf('Worker 1'), fleet.pidOf('Worker 2')]));
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
    const { pids } = fleet;
    await sendHostileRequests(['dhtsensor', 'who', 'echo', 'temperature', 'nobody'], () => VirtualBoard.start(server));
    await fleet.untilPrinted(/has reading \d+ of board-01: "1180591620717411303424"/g, 2);
    await fleet.untilPrinted(/has reading \d+ of board-01: \[\[\[1,2\],3\]\]/g, 2);
    expect(await board.send({ action: 'who' })).toMatchObject({ device: 'board-01' });
    expect(fleet.pids).toEqual(pids);
  });

  it('ends with all its processes', async () => {
    expect(fleet.pids.length).toBeGreaterThanOrEqual(7);
    expect(await fleet.end()).toEqual([0, null]);
    expect(fleet.output).toContain('The fleet has ended.');
    expect(fleet.running).toEqual([]);
  });
});
