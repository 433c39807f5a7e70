/**
 * How it feels with many boards and a week of data, which SQL makes. `.ci/run` has 100 boards, `.ci/long` 1000. Each figure is the best of
 * a few tries, because other programs on the machine can only make it worse.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { cpus, loadavg } from 'node:os';
import { PGlite } from '@electric-sql/pglite';
import { type SQL, sql } from 'drizzle-orm';
import { drizzle as drizzlePostgres } from 'drizzle-orm/node-postgres';
import { migrate as migratePostgres } from 'drizzle-orm/node-postgres/migrator';
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite';
import { migrate as migratePglite } from 'drizzle-orm/pglite/migrator';
import type { VirtualBoard } from 'nestjs-ben-udp/testing';
import pg from 'pg';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import * as schema from '../src/database/schema.js';
import { type Database, SqlStore } from '../src/database/sql-store.js';
import type { RejectionCount } from '../src/database/store.js';
import { App } from './support/app.js';
import { logIn, openPage, startBrowser } from './support/browser.js';
import { Figures, saveFigures } from './support/figures.js';
import { MAX_HEAP_BYTES, MAX_TASK_MS, READINGS_PER_SECOND, keepOpen, startBoards } from './support/open-page.js';
import { type DatabaseKind, type TestDatabase, createDatabase, isMissing } from './support/databases.js';

const isLong = process.env['DASHBOARD_LONG'] !== undefined;
const BOARDS = isLong ? 1000 : 100;
const KINDS: readonly DatabaseKind[] = isLong ? ['postgres', 'pglite'] : ['pglite'];
const TITLES: Record<DatabaseKind, string> = { pglite: 'PGlite', postgres: 'PostgreSQL' };
const OPEN_SECONDS = isLong ? 600 : 30;
const WINDOWS = 3;
const WINDOW_MS = isLong ? 10_000 : 2000;
const BURST_PER_SECOND = 200;
const CONTACTS_AT_ONCE = 20;
const TRIES = 3;
const WEEK_MS = 7 * 86_400_000;

const MAX_PAINT_MS = 1000;
const MAX_PLOT_MS = 300;
const MAX_DELAY_MS = 20;

const sample = join(import.meta.dirname, '..');
const migrationsFolder = join(sample, 'migrations');
const names = Array.from({ length: BOARDS }, (_, index) => `board-${String(index + 1).padStart(4, '0')}`);
const figures = new Figures();

async function open({ folder, url }: TestDatabase): Promise<{ db: Database; end(): Promise<void> }> {
  if (url === undefined) {
    const pglite = await PGlite.create(join(folder, 'pglite'));
    const db = drizzlePglite(pglite, { schema });
    await migratePglite(db, { migrationsFolder });
    return { db, end: () => pglite.close() };
  }
  const pool = new pg.Pool({ connectionString: url });
  const db = drizzlePostgres(pool, { schema });
  await migratePostgres(db, { migrationsFolder });
  return { db, end: () => pool.end() };
}

/** A day by the minute and six days by the hour, of two metrics for each board. */
function makeWeek(): SQL[] {
  const list = sql`unnest(${sql.param(names)}::text[]) as name`;
  const value = (at: SQL) => sql`20 + 5 * sin(extract(epoch from ${at}) / 13750) + random()`;
  return [
    sql`insert into boards select name, now(), '10.0.0.7' from ${list}`,
    sql`insert into series (board, metric) select name, metric from ${list}, unnest(array['humidity', 'temperature']) as metric`,
    sql`insert into readings select id, at, ${value(sql`at`)}
      from generate_series(now() - interval '1 day', now() - interval '1 minute', interval '1 minute') as at, series`,
    sql`insert into readings_hourly select id, at, 60, ${value(sql`at`)}, 15, 26
      from generate_series(date_trunc('hour', now()) - interval '7 days', now() - interval '25 hours', interval '1 hour') as at,
        series`,
    sql`analyze`,
  ];
}

const best = async (tries: number, measure: () => Promise<number>): Promise<number> => {
  const results: number[] = [];
  for (let attempt = 0; attempt < tries; attempt++) {
    results.push(await measure());
  }
  return Math.min(...results);
};

/** Milliseconds for a reading, in batches of a size. */
function insertCost(store: SqlStore, size: number): Promise<number> {
  return best(TRIES * 3, async () => {
    const boards = Array.from({ length: size }, (_, index) => names[index % BOARDS]!);
    const batch = {
      boards,
      metrics: boards.map(() => 'temperature'),
      times: boards.map(() => Date.now()),
      values: boards.map(() => Math.random()),
    };
    const begun = performance.now();
    await store.addReadings(batch);
    return (performance.now() - begun) / size;
  });
}

describe.each(KINDS)('%s', (kind) => {
  describe.skipIf(isMissing(kind) || inject('browser') === undefined)(`${BOARDS} boards and a week of data`, () => {
    let database: TestDatabase;
    let app: App;
    let browser: Browser;
    const note = (name: string, figure: string) => figures.set(kind, name, figure);

    beforeAll(async () => {
      database = await createDatabase(kind);
      const { db, end } = await open(database);
      for (const statement of makeWeek()) {
        await db.execute(statement);
      }
      const store = new SqlStore(db, end);
      const [single, many] = [await insertCost(store, 1), await insertCost(store, 100)];
      note('Insert of a reading alone', `${single.toFixed(2)} ms`);
      note('Insert of a reading, in a batch of 100', `${many.toFixed(3)} ms`);
      await store.close();
      const nodeArgs = ['--import', join(import.meta.dirname, 'support', 'measure.mjs')];
      app = await App.start({ database, boards: names, nodeArgs });
      await app.logIn();
      browser = await startBrowser();
    }, 900_000);

    afterAll(async () => {
      await browser.close();
      await app.end();
      await database.remove();
    });

    it(`paints the boards in ${MAX_PAINT_MS} ms`, async () => {
      const visit = await openPage(browser, app);
      await logIn(visit.page);
      await visit.page.addInitScript(notePaint);
      const paint = await best(TRIES, async () => {
        await visit.page.reload();
        await visit.page.getByRole('link', { name: 'board-0001' }).waitFor();
        return visit.page.evaluate(() => (globalThis as unknown as { painted: Promise<number> }).painted);
      });
      await visit.page.context().close();
      note('First paint with the boards', `${paint.toFixed(0)} ms`);
      expect(paint).toBeLessThan(MAX_PAINT_MS);
    });

    it(`draws a week in ${MAX_PLOT_MS} ms`, async () => {
      const visit = await openPage(browser, app);
      await logIn(visit.page);
      await visit.page.getByRole('link', { name: 'board-0001' }).click();
      await visit.page.locator('.u-over').first().waitFor();
      const drawn = await best(TRIES, async () => {
        await visit.page.getByRole('button', { name: 'Day' }).click();
        await visit.page.locator('.plots[aria-busy=false] .u-over').first().waitFor();
        return visit.page.evaluate(drawWeek);
      });
      await visit.page.context().close();
      note('Plot of a week, from the click', `${drawn.toFixed(0)} ms`);
      expect(drawn).toBeLessThan(MAX_PLOT_MS);
    });

    it(`keeps the event loop free: ${MAX_DELAY_MS} ms at most in 99 of 100 looks`, { timeout: 300_000 }, async () => {
      const boards = await Promise.all(names.map((name) => app.board(name)));
      // The key of a board is searched for at its first contact. All boards have one address here, which may have 64 searches at once.
      for (let first = 0; first < BOARDS; first += CONTACTS_AT_ONCE) {
        const group = boards.slice(first, first + CONTACTS_AT_ONCE);
        await Promise.all(group.map((board) => board.send({ action: 'echo', data: 0 })));
      }
      const stored: Array<Promise<unknown>> = [];
      let slowestMs = 0;
      let lost = 0;
      const report = async (board: VirtualBoard): Promise<void> => {
        const begun = performance.now();
        try {
          await board.send({ action: 'report', data: { temperature: 20.5, humidity: 50 } });
          slowestMs = Math.max(slowestMs, performance.now() - begun);
        } catch {
          lost++;
        }
      };
      const pace = async (perSecond: number, untilMs: number): Promise<void> => {
        for (let next = Date.now(); next < untilMs; next += 1000 / perSecond) {
          await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - Date.now())));
          const board = boards[Math.floor(Math.random() * BOARDS)]!;
          stored.push(report(board));
        }
      };
      const plot = async (untilMs: number): Promise<void> => {
        while (Date.now() < untilMs) {
          const to = Date.now();
          await app.get(`/api/history?boards=${names[7]}&from=${to - WEEK_MS}&to=${to}&points=500`);
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
      };
      let rss = 0;
      const delay = await best(WINDOWS, async () => {
        app.process.send('reset');
        const until = Date.now() + WINDOW_MS;
        await Promise.all([pace(BURST_PER_SECOND, until), pace(BOARDS / 60, until), plot(until)]);
        await Promise.all(stored.splice(0));
        const answer = once(app.process, 'message') as Promise<Array<{ p99: number; rss: number }>>;
        app.process.send('read');
        const [measured] = await answer;
        rss = Math.max(rss, measured!.rss);
        return measured!.p99;
      });
      note(
        `Delay of the event loop, p99, at ${BURST_PER_SECOND} reports a second and a week's plot`,
        `${delay.toFixed(1)} ms`,
      );
      note('Slowest exchange of a report meanwhile', `${slowestMs.toFixed(0)} ms`);
      note('Memory of the app (RSS)', `${(rss / 1e6).toFixed(0)} MB`);
      const range = `from=${Date.now() - 3_600_000}&to=${Date.now() + 1000}&bucket=3600000`;
      const { counts } = await app.get<{ counts: RejectionCount[] }>(`/api/rejections?${range}`);
      const reasons = counts.map(({ reason, count }) => `${count} ${reason}`).join(', ');
      expect(lost, `rejected: ${reasons}`).toBe(0);
      expect(delay).toBeLessThan(MAX_DELAY_MS);
    });

    // The page does not know which database there is.
    it.runIf(kind === 'pglite')(
      `stays small and quick while it is open for ${OPEN_SECONDS} s at ${READINGS_PER_SECOND} readings a second`,
      { timeout: (OPEN_SECONDS + 120) * 1000 },
      async () => {
        const visit = await openPage(browser, app);
        await logIn(visit.page);
        const boards = await startBoards(app, names.slice(0, 3));
        await visit.page.locator('.spark polyline').first().waitFor();
        const list = await keepOpen(visit.page, app, boards, OPEN_SECONDS / 2);
        // By now the boards that do not report are silent, and come before it in the list.
        await visit.page.getByLabel('Find a board').fill('board-0001');
        await visit.page.getByRole('link', { name: 'board-0001' }).click();
        await visit.page.locator('.u-over').nth(4).waitFor();
        const plots = await keepOpen(visit.page, app, boards, OPEN_SECONDS / 2);
        await visit.page.context().close();
        const longest = Math.max(list.longestTaskMs, plots.longestTaskMs);
        const heap = Math.max(list.heapBytes, plots.heapBytes);
        const during = `page open for ${OPEN_SECONDS} s at ${READINGS_PER_SECOND} readings a second`;
        note(`CPU time of the longest task while scrolling, ${during}`, `${longest.toFixed(0)} ms`);
        note(`Heap, ${during}`, `${(heap / 1e6).toFixed(0)} MB`);
        expect([...list.lost, ...plots.lost]).toEqual([]);
        expect(list.readings + plots.readings).toBeGreaterThan(OPEN_SECONDS * READINGS_PER_SECOND * 0.9);
        expect(heap).toBeLessThan(MAX_HEAP_BYTES);
        expect(longest).toBeLessThanOrEqual(MAX_TASK_MS);
        expect(visit.troubles).toEqual([]);
      },
    );
  });
});

afterAll(async () => {
  const columns = Object.entries(TITLES).filter(([kind]) => KINDS.includes(kind as DatabaseKind));
  const table = figures.table(`${BOARDS} boards`, Object.fromEntries(columns));
  const where = `${cpus().length} cores of ${cpus()[0]?.model ?? 'an unknown processor'}, Node ${process.versions.node}`;
  const load = loadavg()[0]!.toFixed(1);
  console.log(`${table}\n\n${where}, load ${load}`);
  if (process.env['DASHBOARD_SAVE'] !== undefined) {
    await saveFigures(`${table}\n\nMeasured on ${where}, beside the boards and the browser (load ${load}).`);
  }
});

/** Runs in the page before its own scripts: the time of the first paint with boards in it. */
function notePaint(): void {
  const painted = new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      if (document.querySelector('.board')) {
        observer.disconnect();
        // The first callback is before the paint, the second after it.
        requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())));
      }
    });
    observer.observe(document, { childList: true, subtree: true });
  });
  Object.assign(globalThis, { painted });
}

/** Runs in the page: from the click until the plot that is drawn has other lines. */
async function drawWeek(): Promise<number> {
  const button = [...document.querySelectorAll('button')].find(({ textContent }) => textContent?.trim() === 'Week')!;
  const plots = document.querySelector('.plots')!;
  const before = plots.querySelector('.uplot');
  const begun = performance.now();
  button.click();
  while (plots.querySelector('.uplot') === before || plots.querySelector('.uplot') === null) {
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - begun;
}
