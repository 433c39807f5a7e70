/** The real app with boards and a browser's requests, on both databases. */
import { randomBytes } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sendHostileRequests } from '../../../test/support/hostile-requests.mjs';
import type { Command, Line, RejectionCount } from '../src/database/store.js';
import type { ExchangeRecord } from '../src/boards/exchanges.service.js';
import { App, readStream } from './support/app.js';
import { DATABASES, type TestDatabase, createDatabase, isMissing } from './support/databases.js';

interface Overview {
  readonly boards: Array<{ name: string; hasKey: boolean; lastSeenAt: number | null; address: string | null }>;
  readonly latest: Array<{ board: string; metric: string; value: number }>;
}

interface Rejections {
  readonly counts: RejectionCount[];
  readonly recent: Array<{ reason: string; board: string; address: string }>;
}

const MINUTE = 60_000;
/** A name that a file may have. */
const ODD = 'attic, 50% "é" & #1';

function rangeUntilNow(ms = MINUTE): string {
  const to = Date.now() + 1000;
  return `from=${to - ms}&to=${to}`;
}

describe.each(DATABASES)('%s', (kind) => {
  describe.skipIf(isMissing(kind))('app', () => {
    let database: TestDatabase;
    let app: App;

    beforeAll(async () => {
      database = await createDatabase(kind);
      app = await App.start({ database, boards: [ODD, 'hall', 'kitchen', 'roof', 'shed'] });
      await app.logIn();
    });

    afterAll(async () => {
      await app.end();
      await database.remove();
    });

    it('stores a report before the reply, and shows it', async () => {
      const board = await app.board('kitchen');
      const reply = await board.send({ action: 'report', data: { temperature: 21.5, humidity: 50 } });
      expect(reply).toEqual({ stored: 2, command: null });
      const lines = await app.get<Line[]>(`/api/history?boards=kitchen&points=60&${rangeUntilNow()}`);
      expect(lines.map(({ metric, means }) => [metric, means])).toEqual([
        ['humidity', [50]],
        ['temperature', [21.5]],
      ]);
      const { latest } = await app.get<Overview>('/api/overview');
      expect(latest).toMatchObject([
        { board: 'kitchen', metric: 'temperature', value: 21.5 },
        { board: 'kitchen', metric: 'humidity', value: 50 },
      ]);
    });

    it('lists every key, also of boards that were never heard', async () => {
      const { boards } = await app.get<Overview>('/api/overview');
      expect(boards.map(({ name }) => name)).toEqual([ODD, 'hall', 'kitchen', 'roof', 'shed']);
      expect(boards.find(({ name }) => name === 'shed')).toMatchObject({ hasKey: true, lastSeenAt: null });
      const { lastSeenAt } = boards.find(({ name }) => name === 'kitchen')!;
      expect(Math.abs(lastSeenAt! - Date.now())).toBeLessThan(MINUTE);
    });

    it('plots boards with odd names, and several at once', async () => {
      await (await app.board(ODD)).send({ action: 'report', data: { temperature: 4 } });
      const boards = [ODD, 'kitchen'].map((name) => `boards=${encodeURIComponent(name)}`).join('&');
      const lines = await app.get<Line[]>(`/api/history?${boards}&points=60&${rangeUntilNow()}`);
      expect(lines.map(({ board, means }) => [board, means])).toEqual([
        [ODD, [4]],
        ['kitchen', [50]],
        ['kitchen', [21.5]],
      ]);
      const path = `/api/boards/${encodeURIComponent(ODD)}/commands`;
      expect((await app.post(path, { name: 'led' })).status).toBe(201);
    });

    it('stores a report that waits for no reply', async () => {
      const board = await app.board('roof');
      await board.send({ action: 'dhtsensor', data: { temperature: 3 } }, { noreturn: true });
      const history = () => app.get<Line[]>(`/api/history?boards=roof&points=60&${rangeUntilNow()}`);
      await expect.poll(history).toMatchObject([{ metric: 'temperature', means: [3] }]);
    });

    it.each([
      ['{"temperature": "warm"}', { temperature: 'warm' }, 'the report has no number to store'],
      ['nan', { temperature: NaN }, 'the report has no number to store'],
      ['1e31', { temperature: 1e31 }, 'the report has no number to store'],
      ['a list', [1], 'a report is a dict of numbers, such as {"temperature": 21.5}'],
      [
        '17 metrics',
        Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`m${index}`, 1])),
        'a report has at most 16 metrics, this one has 17',
      ],
    ])('refuses a report of %s, with the reason', async (_title, data, message) => {
      const board = await app.board('kitchen');
      const text = await board.exchange(`{'action': 'report', 'data': ${pythonText(data)}}`);
      expect(JSON.parse(text!)).toEqual({ data: null, error: { status: 'error', message } });
    });

    it('takes 32 metrics of a board, and no 33rd', async () => {
      const board = await app.board('hall');
      const metrics = (from: number, count: number) =>
        Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${from + index}`, true]));
      expect(await board.send({ action: 'report', data: metrics(0, 16) })).toMatchObject({ stored: 16 });
      expect(await board.send({ action: 'report', data: metrics(16, 16) })).toMatchObject({ stored: 16 });
      expect(await board.send({ action: 'report', data: metrics(32, 1) })).toBeNull();
      expect(await board.send({ action: 'report', data: metrics(31, 1) })).toMatchObject({ stored: 1 });
    });

    it('counts rejections by reason', async () => {
      const stranger = await app.board('shed', { key: randomBytes(32), timeout: 200 });
      await expect(stranger.send({ action: 'report', data: { temperature: 1 } })).rejects.toThrow();
      stranger.sendDatagram(Buffer.from('noise'));
      const read = () => app.get<Rejections>(`/api/rejections?bucket=60000&${rangeUntilNow(3 * MINUTE)}`);
      const count = async (reason: string) =>
        (await read()).counts.filter((each) => each.reason === reason).reduce((sum, each) => sum + each.count, 0);
      await expect.poll(() => count('bad-hash')).toBe(1);
      await expect.poll(() => count('unknown-datagram')).toBe(1);
      expect((await read()).recent[0]).toMatchObject({ reason: 'unknown-datagram', board: '', address: '127.0.0.1' });
    });

    it('times the steps of an exchange, in their order', async () => {
      const board = await app.board('kitchen');
      await board.send({ action: 'echo', data: 1 });
      const latest = async () => (await app.get<ExchangeRecord[]>('/api/exchanges'))[0];
      await expect.poll(latest).toMatchObject({ board: 'kitchen', pattern: 'echo', outcome: 'answered' });
      const { hello, request, handler, end } = (await latest())!;
      expect(hello).toBe(0);
      const times = [0, request, handler, end];
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(new Set(times).size).toBe(4);
    });

    it('tells open pages at once, and no point is lost between history and stream', async () => {
      const response = await app.fetch('/api/stream');
      const events = readStream(response);
      expect((await events.next()).value).toMatchObject({ type: 'begin' });
      const board = await app.board('kitchen');
      await board.send({ action: 'report', data: { pressure: 1013 } });
      for await (const { type, data } of events) {
        if (type === 'reading') {
          expect(data).toEqual([['kitchen', 'pressure', expect.any(Number), 1013]]);
          break;
        }
      }
    });

    it('delivers a command to a board that waits, and sees it done', async () => {
      const board = await app.board('roof');
      const asked = board.send({ action: 'inbox' });
      await expect
        .poll(async () => (await app.get<Overview>('/api/overview')).boards.find(({ name }) => name === 'roof'))
        .toMatchObject({ address: '127.0.0.1' });
      const queued = await app.post('/api/boards/roof/commands', { name: 'led', data: { on: true } });
      expect(queued.status).toBe(201);
      const { id } = (await queued.json()) as Command;
      expect(await asked).toEqual({ id, name: 'led', data: { on: true } });
      const read = async () => (await app.get<Command[]>('/api/commands?board=roof'))[0];
      expect(await read()).toMatchObject({ id, state: 'sent', tries: 1 });
      // Until it acknowledges, the board gets it again: also with the reply to a report.
      expect(await board.send({ action: 'report', data: { temperature: 3 } })).toMatchObject({ command: { id } });
      expect(await board.send({ action: 'inbox', data: { done: id, result: 'on', wait: 0 } })).toBeNull();
      expect(await read()).toMatchObject({ id, state: 'done', tries: 2, result: 'on' });
    });

    it('gives a board no command of another board', async () => {
      const [kitchen, hall] = await Promise.all([app.board('kitchen'), app.board('hall')]);
      const { id } = (await (await app.post('/api/boards/hall/commands', { name: 'led' })).json()) as Command;
      expect(await kitchen.send({ action: 'inbox', data: { wait: 0 } })).toBeNull();
      await kitchen.send({ action: 'inbox', data: { done: id, wait: 0 } });
      expect(await hall.send({ action: 'inbox', data: { wait: 0 } })).toMatchObject({ id });
      expect(await hall.send({ action: 'inbox', data: { done: id, wait: 0, result: { text: 'a\0b' } } })).toBeNull();
      expect((await app.get<Command[]>('/api/commands?board=hall'))[0]).toMatchObject({
        state: 'done',
        result: { text: 'ab' },
      });
    });

    it('accepts every result of a command: long ones are cut off, and what the database refuses is left out', async () => {
      const board = await app.board('roof');
      const finish = async (result: string) => {
        const { id } = (await (await app.post('/api/boards/roof/commands', { name: 'led' })).json()) as Command;
        await board.send({ action: 'inbox', data: { wait: 0 } });
        const text = await board.exchange(
          `{'action': 'inbox', 'data': {'done': '${id}', 'wait': 0, 'result': ${result}}}`,
        );
        expect(JSON.parse(text!)).toEqual({ data: null });
        return (await app.get<Command[]>('/api/commands?board=roof'))[0];
      };
      const long = await finish(`'${'x'.repeat(1100)}'`);
      expect(long).toMatchObject({ state: 'done', result: `"${'x'.repeat(1023)} …` });
      expect(await finish(String.raw`{'a\x00b': '\ud83d', 'c': '\\u0000', 'big': 18446744073709551616}`)).toMatchObject(
        {
          state: 'done',
          result: { ab: '\ufffd', c: '\\u0000', big: '18446744073709551616' },
        },
      );
    });

    it('plots the smallest and the largest numbers', async () => {
      const board = await app.board('roof');
      for (const [tiny, huge] of [
        [5e-324, 1e30],
        [0, -1e30],
        [0, 2 ** 53],
      ]) {
        expect(await board.send({ action: 'report', data: { tiny, huge } })).toMatchObject({ stored: 2 });
      }
      const lines = await app.get<Line[]>(`/api/history?boards=roof&points=1&${rangeUntilNow()}`);
      expect(lines.find(({ metric }) => metric === 'huge')).toMatchObject({ lows: [-1e30], highs: [1e30] });
      expect(lines.find(({ metric }) => metric === 'tiny')).toMatchObject({ lows: [0], means: [0], highs: [0] });
    });

    it.each([
      ['/api/history?boards=%00&points=10&from=1&to=4', '"boards" must be a text that matches .'],
      ['/api/history?boards=kitchen&points=10&from=5&to=4', '"from" must be before "to", and at most two years'],
      ['/api/history?boards=kitchen&points=0&from=1&to=4', '"points" must be a number from 1 to 2000'],
      ['/api/history?points=1&from=1&to=4', '"boards" must be a text that matches .'],
      [
        '/api/rejections?from=1&to=400000000&bucket=60000',
        '"bucket" is too small: at most 2000 fit between "from" and "to"',
      ],
    ])('refuses %s, and names the parameter', async (path, message) => {
      const response = await app.fetch(path);
      expect([response.status, await response.json()]).toMatchObject([400, { message }]);
    });

    it('refuses commands that no board could get', async () => {
      const post = async (board: string, body: unknown) =>
        (await app.post(`/api/boards/${board}/commands`, body)).status;
      expect(await post('nobody', { name: 'led' })).toBe(404);
      expect(await post('roof', { name: 'rm -rf' })).toBe(400);
      expect(await post('roof', { name: 'led', data: 'x'.repeat(1024) })).toBe(400);
      expect(await post('roof', {})).toBe(400);
      expect(await post('roof', { name: 'led', data: { 'a\0': 1 } })).toBe(400);
      expect(await post('roof', { name: 'led', data: '\ud83d' })).toBe(400);
    });

    it('outlives hostile requests of a key holder', { timeout: 120_000 }, async () => {
      const { pid } = app.process;
      // A board that asks for a command does not wait for it.
      await sendHostileRequests(['echo', 'report', 'dhtsensor', 'inbox', 'nobody'], () =>
        app.board('shed', { timeout: 500 }),
      );
      const board = await app.board('shed');
      expect(await board.send({ action: 'echo', data: 'still here' })).toBe('still here');
      expect(app.process).toMatchObject({ pid, exitCode: null });
    });

    it('releases a board that waits when the app ends, and keeps its data', async () => {
      const board = await app.board('roof');
      const lastSeenAt = async () =>
        (await app.get<Overview>('/api/overview')).boards.find(({ name }) => name === 'roof')!.lastSeenAt!;
      const before = await lastSeenAt();
      const asked = board.send({ action: 'inbox' });
      await expect.poll(lastSeenAt).toBeGreaterThan(before);
      const begun = performance.now();
      const ended = app.process;
      const exit = new Promise((resolve) => ended.once('exit', resolve));
      ended.kill('SIGTERM');
      expect(await asked).toBeNull();
      await exit;
      expect(performance.now() - begun).toBeLessThan(5000);
      await app.restart();
      const { latest } = await app.get<Overview>('/api/overview');
      expect(latest).toContainEqual(expect.objectContaining({ board: 'kitchen', metric: 'temperature', value: 21.5 }));
    });

    it('keeps the addresses of its boards for its next start', async () => {
      const board = await app.board('hall');
      await board.send({ action: 'echo', data: 1 });
      const { port } = board.address;
      await app.end();
      const files = (await readdir(database.folder)).filter((name) => name.startsWith('known-boards.'));
      const known = await Promise.all(files.map((name) => readFile(join(database.folder, name), 'utf8')));
      expect(known.join('')).toContain(`\n127.0.0.1 ${port} `);
    });
  });
});

function pythonText(value: unknown): string {
  const text = JSON.stringify(value, (_key, each: unknown) => (Number.isNaN(each) ? 'NAN' : each));
  return text.replaceAll('"NAN"', 'nan').replaceAll('true', 'True');
}
