/**
 * Actions of an operator, and failures, while many boards are served: replaced keys, hanging handlers, a blocked event loop, a shutdown, a
 * killed process. The other boards must not notice.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { compileLib } from '../support/compiled-lib.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { KEY_CONTENTS, type TestApp, startApp, startBoard } from '../support/nest-app.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }

  @MessagePattern('after')
  async after(@Payload() ms: number) {
    await pause(ms);
    return ms;
  }

  @MessagePattern('hang')
  hang() {
    return new Promise(() => undefined);
  }

  @MessagePattern('throw')
  throw() {
    throw new Error('as asked');
  }
}

/** Boards that send requests until they are stopped, and the results. */
class Crowd {
  readonly answers: string[] = [];
  readonly latencies: number[] = [];
  private isStopped = false;
  private readonly running: Promise<unknown>;

  constructor(boards: readonly VirtualBoard[], pauseMs = 5) {
    this.running = Promise.all(boards.map((board, index) => this.run(board, index, pauseMs)));
  }

  get failures(): string[] {
    return this.answers.filter((answer) => answer !== 'right');
  }

  /** Resolves after this number of further answers. */
  async answered(count: number): Promise<void> {
    const wanted = this.answers.length + count;
    await vi.waitUntil(() => this.answers.length >= wanted, { timeout: 10_000, interval: 5 });
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.running;
  }

  private async run(board: VirtualBoard, index: number, pauseMs: number): Promise<void> {
    for (let number = 0; !this.isStopped; number++) {
      const data = `board ${index}, ${number}`;
      const beganAt = performance.now();
      try {
        const answer = await board.send({ action: 'echo', data });
        this.answers.push(answer === data ? 'right' : `wrong: ${String(answer)}`);
      } catch (error) {
        this.answers.push(String((error as { code?: string }).code));
      }
      this.latencies.push(performance.now() - beganAt);
      await pause(pauseMs);
    }
  }
}

function startBoards(app: TestApp, count: number, options: Parameters<TestApp['board']>[0] = {}) {
  return Promise.all(Array.from({ length: count }, () => app.board({ timeout: 10_000, ...options })));
}

describe('keys replaced under load', () => {
  const [oldKey, newKey] = [Buffer.alloc(32, 'o'), Buffer.alloc(32, 'n')];

  it(
    'fail no exchange in 20 rounds, bad files in between; a revoked key is refused within a second',
    { timeout: 60_000 },
    async () => {
      const folder = await temporaryFolder();
      const path = (name: string) => join(folder, name);
      const put = async (name: string, contents: Uint8Array, mode = 0o600) => {
        await rm(path('draft'), { force: true });
        await writeFile(path('draft'), contents, { mode });
        await rename(path('draft'), path(name));
      };
      await put('a.sec', oldKey);
      await put('b.sec', newKey);
      const app = await startApp(
        { controllers: [Handlers] },
        { key: [], keyFile: [path('a.sec'), path('b.sec')], watchKeyFiles: true },
      );
      const boards = [...(await startBoards(app, 6, { key: oldKey })), ...(await startBoards(app, 6, { key: newKey }))];
      const crowd = new Crowd(boards);
      for (let round = 0; round < 20; round++) {
        const [first, second] = round % 2 === 0 ? [newKey, oldKey] : [oldKey, newKey];
        await put('a.sec', first);
        await put('b.sec', second);
        // Both files may hold the same key for a moment, or one a bad one: the old keys stay.
        await app.transport.reloadKeys().catch(() => undefined);
        const bad = round % 2 === 0 ? Buffer.alloc(0) : Buffer.from('short');
        await put('a.sec', bad);
        await expect(app.transport.reloadKeys()).rejects.toMatchObject({
          code: expect.stringMatching(/^BEN_KEY_FILE_/),
        });
        await put('a.sec', first);
        await crowd.answered(boards.length);
      }
      await crowd.stop();
      expect(crowd.answers.length).toBeGreaterThan(200);
      expect(crowd.failures).toEqual([]);
      const revoked = (await startBoards(app, 1, { key: oldKey, timeout: 300 }))[0]!;
      expect(await revoked.send({ action: 'echo', data: 1 })).toBe(1);
      await put('a.sec', newKey);
      await rm(path('b.sec'));
      const beganAt = performance.now();
      await app.transport.reloadKeys({ keyFile: path('a.sec') });
      await expect(revoked.send({ action: 'echo', data: 2 })).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
      expect(performance.now() - beganAt).toBeLessThan(1000);
      expect(await boards[6]!.send({ action: 'echo', data: 3 })).toBe(3);
    },
  );
});

describe('handlers that are late, throw or hang', () => {
  it('delay no other board, send nothing late, and hold up no board for longer than its timeout', async () => {
    const timeout = 1200;
    const app = await startApp({ controllers: [Handlers] }, { timeout, maxInFlightPerDevice: 2, shutdownTimeout: 100 });
    const good = await startBoards(app, 8, { timeout: 5000 });
    const median = (latencies: number[]) => latencies.toSorted((a, b) => a - b)[latencies.length >> 1]!;
    const before = new Crowd(good);
    await before.answered(200);
    await before.stop();
    const troubled = await startBoards(app, 6, { timeout });
    const during = new Crowd(good);
    const errors: unknown[] = [];
    const ask = (board: VirtualBoard, action: string, data?: number) =>
      board.send({ action, data }).then(
        (answer) => void (answer === null || errors.push(answer)),
        (error: unknown) => void errors.push((error as { code?: string }).code),
      );
    for (let round = 0; round < 3; round++) {
      const [late, alsoLate, throwing, alsoThrowing, hanging, alsoHanging] = troubled as [
        VirtualBoard,
        VirtualBoard,
        VirtualBoard,
        VirtualBoard,
        VirtualBoard,
        VirtualBoard,
      ];
      await Promise.all([
        ask(late, 'after', timeout * 1.2),
        ask(alsoLate, 'after', timeout * 1.5),
        ask(throwing, 'throw'),
        ask(alsoThrowing, 'throw'),
        ask(hanging, 'hang'),
        ask(alsoHanging, 'hang'),
      ]);
    }
    await during.stop();
    // Two boards ask for a late answer in each of three rounds; the next request of a board supersedes it.
    const unsent = ({ late, superseded }: ReturnType<typeof app.transport.getStats>['outcomes']) => late + superseded;
    await expect.poll(() => unsent(app.transport.getStats().outcomes), { timeout: 2 * timeout }).toBe(6);
    // Late and hanging ones time out, four boards three times; those that throw are answered None.
    expect(errors).toEqual(Array(12).fill('BEN_TIMEOUT'));
    expect([...before.failures, ...during.failures]).toEqual([]);
    // A blocked server would add the timeout; the margin is for the machine.
    expect(median(during.latencies) - median(before.latencies)).toBeLessThan(timeout / 3);
    expect(troubled.map(({ leftovers }) => leftovers)).toEqual([0, 0, 0, 0, 0, 0]);
    // Two handlers of a device may hang, no more run; but one that hangs is not counted longer than its device waits.
    for (const board of troubled) {
      expect(await board.send({ action: 'echo', data: 'again' })).toBe('again');
    }
  });
});

describe('an event loop that stands still', () => {
  // 0.3, 0.9 and 1.5 of the time that a device waits: 3, 9 and 15 s for the default of 10 s.
  it.each([
    { share: 0.3, isTooLate: true },
    { share: 0.9, isTooLate: true },
    { share: 1.5, isTooLate: true },
    { share: 0.1, isTooLate: false },
  ])('for $share of the timeout: are the hellos that waited refused? $isTooLate', async ({ share, isTooLate }) => {
    const timeout = 3000;
    const platform = new MovablePlatform();
    const app = await startApp({ controllers: [Handlers] }, { timeout }, undefined, platform);
    const boards = await startBoards(app, 20, { timeout });
    for (const board of boards) {
      expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
    }
    platform.advance(timeout / 10);
    boards.forEach((board) => board.sendDatagram(Buffer.from('/GETID')));
    // The datagrams wait in the queue of the socket until the stall is over.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, timeout * share);
    await expect
      .poll(() => app.transport.getStats().rejected['stale-hello'] + app.transport.getStats().hellos)
      .toBe(2 * boards.length);
    expect(app.transport.getStats().rejected['stale-hello']).toBe(isTooLate ? boards.length : 0);
    // Later, so that the next hello is no duplicate.
    platform.advance(timeout / 10);
    if (isTooLate) {
      expect(boards.map(({ leftovers }) => leftovers)).toEqual(Array(boards.length).fill(0));
      for (const board of boards) {
        expect(await board.send({ action: 'echo', data: 2 })).toBe(2);
      }
    }
  });
});

describe('a board that holds one unread datagram', () => {
  it.each([2, 5, 10])(
    'and takes %i ms to read it is served if datagramGap is longer, and not without a gap',
    async (readDelay) => {
      const paced = await startApp({ controllers: [Handlers] }, { datagramGap: readDelay + 100 });
      const board = await paced.board({ receiveSlots: 1, readDelay, timeout: 5000 });
      for (let number = 0; number < 4; number++) {
        expect(await board.send({ action: 'echo', data: number })).toBe(number);
      }
      const unpaced = await startApp({ controllers: [Handlers] }, { datagramGap: 0 });
      const starved = await unpaced.board({ receiveSlots: 1, readDelay, timeout: 300 });
      await expect(starved.send({ action: 'echo' })).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
    },
  );
});

describe('a shutdown under load', () => {
  it('answers every request that it has taken on, gives out no id after the signal, and ends', async () => {
    const app = await startApp({ controllers: [Handlers] }, { shutdownTimeout: 3000 });
    const boards = await startBoards(app, 30, { timeout: 2500 });
    const crowd = new Crowd(boards.slice(0, 20), 1);
    await crowd.answered(100);
    const slow = boards.slice(20).map((board, index) => board.send({ action: 'after', data: 50 * index }));
    await expect.poll(() => app.transport.getStats().inFlight).toBeGreaterThanOrEqual(5);
    const beganAt = performance.now();
    const closing = app.app.close();
    const { transport } = app;
    const refused = () => transport.getStats().rejected.closing;
    await expect.poll(refused, { interval: 5 }).toBeGreaterThan(0);
    const { hellos } = transport.getStats();
    await expect.poll(refused, { interval: 5 }).toBeGreaterThan(5);
    expect(transport.getStats().hellos).toBe(hellos);
    await closing;
    expect(performance.now() - beganAt).toBeLessThan(3500);
    expect(await Promise.all(slow)).toEqual(Array.from({ length: 10 }, (_, index) => 50 * index));
    await crowd.stop();
    expect(crowd.failures.filter((failure) => failure !== 'BEN_TIMEOUT')).toEqual([]);
  });
});

describe('a server that is killed', () => {
  const PROGRAM = `
    import { Logger } from '@nestjs/common';
    import { BenUdpTransport } from './lib/index.js';
    Logger.overrideLogger(false);
    const [port, key] = process.argv.slice(2);
    const transport = new BenUdpTransport({ host: '127.0.0.1', port: Number(port), key: Buffer.from(key, 'hex'), timeout: 1000 });
    transport.addHandler('echo', async (data) => data);
    transport.listen((error) => {
      if (error) throw error;
      process.send(transport.unwrap().address().port);
    });
  `;

  it('and started again is heard by boards within their timeout and a second', { timeout: 60_000 }, async () => {
    const folder = await compileLib();
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'server.js'), PROGRAM);
    const start = async (port: number): Promise<{ child: ChildProcess; port: number }> => {
      const child = fork(join(folder, 'server.js'), [String(port), KEY_CONTENTS.toString('hex')], { execArgv: [] });
      onTestFinished(() => void child.kill('SIGKILL'));
      const [bound] = (await once(child, 'message')) as [number];
      return { child, port: bound };
    };
    let server = await start(0);
    const { port } = server;
    const timeout = 1000;
    const boards = await Promise.all(Array.from({ length: 10 }, () => startBoard(port, { timeout })));
    for (let cycle = 0; cycle < 3; cycle++) {
      const crowd = new Crowd(boards);
      await crowd.answered(50);
      server.child.kill('SIGKILL');
      await once(server.child, 'exit');
      server = await start(port);
      const restartedAt = performance.now();
      const before = crowd.answers.length;
      await expect.poll(() => crowd.answers.slice(before).includes('right'), { timeout: timeout + 1000 }).toBe(true);
      expect(performance.now() - restartedAt).toBeLessThan(timeout + 1000);
      await crowd.stop();
      expect(crowd.failures.filter((failure) => failure !== 'BEN_TIMEOUT')).toEqual([]);
      // A board whose reply was lost with the server may have waited, not more.
      for (const board of boards) {
        expect(await board.send({ action: 'echo', data: cycle })).toBe(cycle);
      }
    }
  });
});
