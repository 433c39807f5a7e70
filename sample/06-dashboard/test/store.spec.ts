/** The same store on both databases: readings, plots, retention, commands, sessions. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PGlite } from '@electric-sql/pglite';
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite';
import { migrate as migratePglite } from 'drizzle-orm/pglite/migrator';
import { drizzle as drizzlePostgres } from 'drizzle-orm/node-postgres';
import { migrate as migratePostgres } from 'drizzle-orm/node-postgres/migrator';
import { getTableColumns, getTableName, is, sql } from 'drizzle-orm';
import { PgTable } from 'drizzle-orm/pg-core';
import { join } from 'node:path';
import pg from 'pg';
import * as schema from '../src/database/schema.js';
import { PgliteStore } from '../src/database/pglite-store.js';
import { type Database, SqlStore } from '../src/database/sql-store.js';
import { STORE_METHODS, Store } from '../src/database/store.js';
import { DATABASES, type DatabaseKind, type TestDatabase, createDatabase, isMissing } from './support/databases.js';

const migrationsFolder = join(import.meta.dirname, '..', 'migrations');
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Not on the hour. */
const NOW = Date.UTC(2026, 5, 15, 12, 34, 56);

interface Opened {
  readonly db: Database;
  end(): Promise<void>;
}

async function openPglite({ folder }: TestDatabase): Promise<Opened> {
  const pglite = await PGlite.create(join(folder, 'pglite'));
  const db = drizzlePglite(pglite, { schema });
  await migratePglite(db, { migrationsFolder });
  return { db, end: () => pglite.close() };
}

async function openPostgres({ url }: TestDatabase): Promise<Opened> {
  const pool = new pg.Pool({ connectionString: url });
  const db = drizzlePostgres(pool, { schema });
  await migratePostgres(db, { migrationsFolder });
  return { db, end: () => pool.end() };
}

const OPEN: Record<DatabaseKind, (database: TestDatabase) => Promise<Opened>> = {
  pglite: openPglite,
  postgres: openPostgres,
};

it('names every method of the store for the border between threads', () => {
  const methods = Object.getOwnPropertyNames(SqlStore.prototype).filter((name) => name !== 'constructor');
  const own = new Set(['addSeries', 'count', 'rows']);
  expect(methods.filter((name) => !own.has(name)).toSorted()).toEqual([...STORE_METHODS].toSorted());
  expect(SqlStore.prototype).toBeInstanceOf(Store);
});

describe.each(DATABASES)('%s', (kind) => {
  describe.skipIf(isMissing(kind))('store', () => {
    let database: TestDatabase;
    let opened: Opened;
    let store: SqlStore;

    beforeAll(async () => {
      database = await createDatabase(kind);
      opened = await OPEN[kind](database);
      store = new (kind === 'pglite' ? PgliteStore : SqlStore)(opened.db, opened.end);
    });

    afterAll(async () => {
      await store.close();
      await database.remove();
    });

    const add = (board: string, metric: string, points: Array<[at: number, value: number]>) =>
      store.addReadings({
        boards: points.map(() => board),
        metrics: points.map(() => metric),
        times: points.map(([at]) => at),
        values: points.map(([, value]) => value),
      });

    it('has the tables and columns of the schema', async () => {
      for (const table of Object.values(schema).filter((each) => is(each, PgTable))) {
        const { rows } = (await opened.db.execute(
          sql`select column_name from information_schema.columns where table_name = ${getTableName(table)}`,
        )) as { rows: Array<{ column_name: string }> };
        const columns = Object.values(getTableColumns(table)).map(({ name }) => name);
        expect(rows.map(({ column_name }) => column_name).toSorted()).toEqual(columns.toSorted());
      }
    });

    it('returns readings as a line, exactly', async () => {
      await add('exact', 'celsius', [
        [NOW - 3, 21.5],
        [NOW - 2, -0.1],
        [NOW - 1, 1e22],
      ]);
      const [line] = await store.history({ boards: ['exact'], from: NOW - 10, to: NOW, points: 10 });
      expect(line).toEqual({
        board: 'exact',
        metric: 'celsius',
        times: [NOW - 3, NOW - 2, NOW - 1],
        means: [21.5, -0.1, 1e22],
        lows: [21.5, -0.1, 1e22],
        highs: [21.5, -0.1, 1e22],
        counts: [1, 1, 1],
        newest: NOW - 1,
      });
    });

    it('sums up readings of one bucket, and leaves out those before and after', async () => {
      await add('bucket', 'celsius', [
        [NOW - 101, 999],
        [NOW - 100, 1],
        [NOW - 60, 3],
        [NOW - 51, 5],
        [NOW - 50, 7],
        [NOW, 999],
      ]);
      const [line] = await store.history({ boards: ['bucket'], from: NOW - 100, to: NOW, points: 2 });
      expect(line).toMatchObject({
        times: [NOW - 100, NOW - 50],
        means: [3, 7],
        lows: [1, 7],
        highs: [5, 7],
        counts: [3, 1],
      });
    });

    it('knows a series without readings in the range, and no series of other boards', async () => {
      await add('quiet', 'celsius', [[NOW - DAY, 1]]);
      expect(await store.history({ boards: ['quiet'], from: NOW - HOUR, to: NOW, points: 10 })).toEqual([
        { board: 'quiet', metric: 'celsius', times: [], means: [], lows: [], highs: [], counts: [], newest: null },
      ]);
      expect(await store.history({ boards: ['nobody'], from: NOW - HOUR, to: NOW, points: 10 })).toEqual([]);
    });

    it('keeps a day as it is and older readings by the hour, without a change of the plot', async () => {
      const old = NOW - DAY - 3 * HOUR;
      const points = Array.from({ length: 240 }, (_, index): [number, number] => [old + index * MINUTE, index]);
      await add('retention', 'celsius', points);
      const range = { boards: ['retention'], from: Math.floor(old / HOUR) * HOUR, to: NOW, points: 1 };
      const [before] = await store.history(range);
      expect(await store.tidy(NOW)).toMatchObject({ toHours: 180 });
      const [after] = await store.history(range);
      expect(after!.means[0]).toBeCloseTo(before!.means[0]!, 9);
      expect(after).toMatchObject({ lows: [0], highs: [239] });
      // Again: nothing is left to do, and a later reading joins its hour.
      expect(await store.tidy(NOW)).toMatchObject({ toHours: 0 });
      await add('retention', 'celsius', [[old + 1, 1000]]);
      expect(await store.tidy(NOW)).toMatchObject({ toHours: 1 });
      const [joined] = await store.history(range);
      expect(joined!.means[0]).toBeCloseTo((before!.means[0]! * 240 + 1000) / 241, 9);
    });

    it('knows the hour of readings that are no longer raw, also within it', async () => {
      const hour = Math.floor((NOW - 3 * DAY) / HOUR) * HOUR;
      await add('hour', 'celsius', [[hour + 10 * MINUTE, 4]]);
      await store.tidy(NOW);
      const within = (from: number) => store.history({ boards: ['hour'], from, to: from + 10 * MINUTE, points: 10 });
      expect(await within(hour + 20 * MINUTE)).toMatchObject([{ times: [hour + 20 * MINUTE], means: [4] }]);
      expect(await within(hour + HOUR - 1)).toMatchObject([{ means: [4] }]);
      expect(await within(hour + HOUR)).toMatchObject([{ means: [] }]);
      expect(await within(hour - 10 * MINUTE)).toMatchObject([{ means: [] }]);
    });

    it('moves a limited number of readings at once', async () => {
      const points = Array.from({ length: 10_001 }, (_, index): [number, number] => [NOW - 2 * DAY + index, index]);
      await add('much', 'celsius', points);
      expect(await store.tidy(NOW)).toMatchObject({ toHours: 10_000 });
      expect(await store.tidy(NOW)).toMatchObject({ toHours: 1 });
    });

    it.runIf(kind === 'pglite')('does the work of a server: ends the log, and counts rows', async () => {
      const read = async () => {
        const { rows } = (await opened.db.execute(sql`
          select redo_lsn::text as log, (select count(*)::int from pg_stats where tablename = 'readings') as known
          from pg_control_checkpoint()`)) as { rows: Array<{ log: string; known: number }> };
        return rows[0]!;
      };
      const before = await read();
      await store.maintain();
      const after = await read();
      expect(after.log).not.toBe(before.log);
      // Columns that the planner knows.
      expect([before.known, after.known]).toEqual([0, 3]);
    });

    it('deletes a limited number of hours at once, and finds them without reading the others', async () => {
      await opened.db.execute(sql`
        insert into readings_hourly (series_id, hour, count, mean, min, max)
        select 1000 + number, to_timestamp(${NOW - 400 * DAY}::float8 / 1000), 1, 1, 1, 1 from generate_series(1, 10001) as number`);
      expect((await store.tidy(NOW)).deleted).toEqual([10_000, 0, 0, 0]);
      expect((await store.tidy(NOW)).deleted).toEqual([1, 0, 0, 0]);
      await opened.db.execute(sql`analyze readings_hourly`);
      const { rows } = (await opened.db.execute(
        sql`explain select ctid from readings_hourly where hour < to_timestamp(0) order by hour limit 10000`,
      )) as { rows: Array<Record<string, string>> };
      expect(JSON.stringify(rows)).not.toContain('Seq Scan');
    });

    it('deletes hours after a year', async () => {
      await add('ancient', 'celsius', [
        [NOW - 366 * DAY, 1],
        [NOW - 364 * DAY, 2],
      ]);
      await store.tidy(NOW);
      const [line] = await store.history({ boards: ['ancient'], from: NOW - 400 * DAY, to: NOW, points: 400 });
      expect(line!.means).toEqual([2]);
    });

    it('tells the newest reading of a series, also if only hours are left', async () => {
      await add('newest', 'celsius', [
        [NOW - 2, 1],
        [NOW - 1, 2],
      ]);
      const latest = await store.latestReadings();
      expect(latest.find(({ board }) => board === 'newest')).toEqual({
        board: 'newest',
        metric: 'celsius',
        at: NOW - 1,
        value: 2,
      });
      expect(latest.find(({ board }) => board === 'ancient')).toMatchObject({ value: 2 });
    });

    it('adds rejections up, by minute, reason and board', async () => {
      const at = Math.floor(NOW / MINUTE) * MINUTE;
      await store.addRejections([{ at, reason: 'bad-hash', board: '', count: 2 }]);
      await store.addRejections([
        { at, reason: 'bad-hash', board: '', count: 3 },
        { at, reason: 'bad-text', board: 'hall', count: 1 },
      ]);
      expect(await store.rejections(at, at + MINUTE, MINUTE)).toEqual([
        { at, reason: 'bad-hash', board: '', count: 5 },
        { at, reason: 'bad-text', board: 'hall', count: 1 },
      ]);
      expect(await store.rejections(at - HOUR, at, MINUTE)).toEqual([]);
    });

    it('hands out the oldest command again until it is done', async () => {
      const queue = (id: string) =>
        store.queueCommand({
          id,
          board: 'hall',
          name: 'led',
          data: { on: true },
          createdAt: NOW,
          expiresAt: NOW + HOUR,
        });
      expect(await queue('first')).toMatchObject({ id: 'first', state: 'queued', tries: 0, data: { on: true } });
      await queue('second');
      expect(await store.boardsWithCommands()).toEqual(['hall']);
      expect(await store.takeCommand('kitchen', NOW)).toBeUndefined();
      expect(await store.takeCommand('hall', NOW)).toMatchObject({ id: 'first', state: 'sent', tries: 1 });
      expect(await store.takeCommand('hall', NOW)).toMatchObject({ id: 'first', tries: 2 });
      // Neither another board nor a command that was never sent.
      expect(await store.finishCommand('kitchen', 'first', null, NOW)).toBeUndefined();
      expect(await store.finishCommand('hall', 'second', null, NOW)).toBeUndefined();
      expect(await store.finishCommand('hall', 'first', 'ok', NOW + 5)).toMatchObject({
        state: 'done',
        doneAt: NOW + 5,
        result: 'ok',
      });
      expect(await store.takeCommand('hall', NOW)).toMatchObject({ id: 'second', tries: 1 });
      expect((await store.listCommands('hall', 10)).map(({ id }) => id)).toEqual(['second', 'first']);
      expect(await store.listCommands(undefined, 1)).toHaveLength(1);
    });

    it('expires commands, and hands out none that has expired', async () => {
      await store.queueCommand({
        id: 'late',
        board: 'roof',
        name: 'x',
        data: null,
        createdAt: NOW,
        expiresAt: NOW + 5,
      });
      expect(await store.takeCommand('roof', NOW + 5)).toBeUndefined();
      expect(await store.expireCommands(NOW + 4)).toEqual([]);
      expect(await store.expireCommands(NOW + 5)).toMatchObject([{ id: 'late', state: 'expired' }]);
    });

    it('finishes a command that expired after it was sent: the board has run it', async () => {
      const life = { createdAt: NOW, expiresAt: NOW + 5 };
      await store.queueCommand({ id: 'ran', board: 'loft', name: 'x', data: null, ...life });
      await store.queueCommand({ id: 'never sent', board: 'loft', name: 'x', data: null, ...life });
      await store.takeCommand('loft', NOW + 4);
      await store.expireCommands(NOW + 5);
      expect(await store.finishCommand('loft', 'ran', 1, NOW + 6)).toMatchObject({ state: 'done', result: 1 });
      expect(await store.finishCommand('loft', 'ran', 2, NOW + 7)).toBeUndefined();
      expect(await store.finishCommand('loft', 'never sent', 1, NOW + 6)).toBeUndefined();
    });

    it('deletes commands after 90 days', async () => {
      const queue = (id: string, createdAt: number) =>
        store.queueCommand({ id, board: 'past', name: 'x', data: null, createdAt, expiresAt: createdAt + HOUR });
      await queue('gone', NOW - 90 * DAY - 1);
      await queue('kept', NOW - 90 * DAY);
      expect((await store.tidy(NOW)).deleted.at(-1)).toBe(1);
      expect((await store.listCommands('past', 10)).map(({ id }) => id)).toEqual(['kept']);
    });

    it('remembers boards, settings and sessions', async () => {
      await store.noteSeen([{ name: 'hall', lastSeenAt: NOW, address: '10.0.0.7' }]);
      await store.noteSeen([{ name: 'hall', lastSeenAt: NOW + 1, address: '10.0.0.8' }]);
      expect(await store.seenBoards()).toEqual([{ name: 'hall', lastSeenAt: NOW + 1, address: '10.0.0.8' }]);
      expect(await store.readSetting('x')).toBeUndefined();
      expect(await store.keepSetting('x', '1')).toBe('1');
      expect(await store.keepSetting('x', '2')).toBe('1');
      for (let index = 0; index < 4; index++) {
        await store.addSession({ tokenHash: `token ${index}`, expiresAt: NOW + index }, 3);
      }
      const live = async (now: number) => (await store.liveSessions(now)).map(({ tokenHash }) => tokenHash);
      expect(await live(NOW)).toEqual(['token 1', 'token 2', 'token 3']);
      expect(await live(NOW + 1)).toEqual(['token 2', 'token 3']);
      await store.removeSession('token 3');
      expect(await live(NOW)).toEqual(['token 1', 'token 2']);
    });
  });
});
