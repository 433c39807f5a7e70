/** The page in a real browser, with virtual boards and a board on the MicroPython interpreter. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest';
import { MicroPythonBoard } from '../../../tools/micropython/board.mjs';
import { App } from './support/app.js';
import { findBarriers, logIn, openPage, startBrowser } from './support/browser.js';
import { type TestDatabase, createDatabase } from './support/databases.js';

const OPEN_SECONDS = process.env['DASHBOARD_LONG'] ? 600 : 30;
const READINGS_PER_SECOND = 50;
const MAX_HEAP_BYTES = 100_000_000;
const MAX_TASK_MS = 100;

const program = await readFile(join(import.meta.dirname, '..', 'device', 'mailbox.py'), 'utf8');

describe.skipIf(inject('browser') === undefined)('the page', () => {
  let database: TestDatabase;
  let app: App;
  let browser: Browser;
  let page: Page;
  let troubles: string[];

  beforeAll(async () => {
    database = await createDatabase('pglite');
    app = await App.start({ database, boards: ['hall', 'kitchen', 'roof', 'shed'], env: { SILENT_AFTER: '4' } });
    await app.logIn();
    browser = await startBrowser();
    ({ page, troubles } = await openPage(browser, app));
  });

  afterAll(async () => {
    await browser.close();
    await app.end();
    await database.remove();
  });

  beforeEach(async () => {
    await page.evaluate(() => {
      location.hash = '#/boards';
    });
  });

  const row = (name: string) =>
    page.getByRole('listitem').filter({ has: page.getByRole('link', { name, exact: true }) });
  const goTo = (view: string) => page.getByRole('navigation').getByRole('link', { name: view }).click();

  it('asks for the password, and says if it is wrong', async () => {
    await page.getByLabel('Password').fill('not the password');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('This is not the password.').waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await logIn(page);
    // A failed login is an error for the browser's console too.
    expect(troubles.splice(0)).toEqual([expect.stringContaining('401')]);
  });

  it('shows boards that were never heard', async () => {
    for (const name of ['hall', 'kitchen', 'roof', 'shed']) {
      await row(name).getByText('Never heard').waitFor();
    }
    expect(await findBarriers(page)).toEqual([]);
  });

  it('shows a reading as it comes, and a board that falls silent', async () => {
    const board = await app.board('kitchen');
    await board.send({ action: 'report', data: { temperature: 21.53 } });
    await row('kitchen').getByText('21.53').waitFor();
    await row('kitchen').getByText('Reporting').waitFor();
    await row('kitchen').getByText('Silent', { exact: true }).waitFor();
    expect(await row('kitchen').textContent()).toMatch(/Silent for \d+ s/);
  });

  it('shows rejections and their reason', async () => {
    await goTo('Rejections');
    await page.getByText('Nothing was rejected in this time.').waitFor();
    const stranger = await app.board('roof', { key: randomBytes(32), timeout: 300 });
    await expect(stranger.send({ action: 'report', data: { temperature: 1 } })).rejects.toThrow();
    await page.getByRole('cell', { name: 'bad-hash' }).first().waitFor();
    await page.getByText('wrong key, expired id, or a forgery').first().waitFor();
    await page.getByRole('img', { name: /datagrams, at most/ }).waitFor();
    expect(await findBarriers(page)).toEqual([]);
  });

  it('shows the steps of an exchange', async () => {
    const board = await app.board('hall');
    await board.send({ action: 'echo', data: 1 });
    await goTo('Exchanges');
    await page.getByRole('heading', { name: 'hall: echo' }).waitFor();
    for (const step of ['Hello to request', 'Request to handler', 'Handler to reply']) {
      await page.getByText(step).waitFor();
    }
    expect(await findBarriers(page)).toEqual([]);
  });

  it('zooms a plot by mouse and by keys, and back', async () => {
    const board = await app.board('kitchen');
    await board.send({ action: 'report', data: { temperature: 22 } });
    await page.getByRole('link', { name: 'kitchen', exact: true }).click();
    const plot = page.locator('.u-over').first();
    await plot.waitFor();
    const { x, y, width, height } = (await plot.boundingBox())!;
    await page.mouse.move(x + width * 0.5, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.9, y + height / 2, { steps: 5 });
    await page.mouse.up();
    const reset = page.getByRole('button', { name: 'Reset zoom' });
    await reset.waitFor();
    await reset.click();
    await reset.waitFor({ state: 'detached' });
    await page.getByRole('img', { name: /^Plot of temperature/ }).press('+');
    await reset.waitFor();
    expect(await findBarriers(page)).toEqual([]);
  });

  it('sends a command to a MicroPython board, and sees it done', async () => {
    const board = await MicroPythonBoard.start({ key: app.keys.get('roof')!, port: app.boardPort });
    onTestFinished(() => board.close());
    await board.run(`open("mailbox.py", "w").write(${JSON.stringify(program)})`);
    await board.run('from mailbox import Mailbox\nmailbox = Mailbox(client, lambda name, data: data["on"])');
    await page.getByRole('link', { name: 'roof', exact: true }).click();
    await page.getByText('replies to unmodified boards are not authentic').waitFor();
    await page.getByRole('textbox', { name: 'Command' }).fill('led');
    await page.getByLabel('Data, as JSON').fill('{"on": true}');
    const checked = board.run('mailbox.check()');
    await page.getByRole('button', { name: 'Send' }).click();
    const command = page.getByRole('row').filter({ hasText: 'led' });
    await checked;
    await command.getByText('Sent').waitFor();
    await board.run('mailbox.check(wait=0)');
    await command.getByText('Done').waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await goTo('Commands');
    await page.getByRole('row').filter({ hasText: 'roof' }).getByText('Done').waitFor();
    expect(await findBarriers(page)).toEqual([]);
  });

  it('says if the data of a command is not JSON, and sends nothing', async () => {
    await page.getByRole('link', { name: 'hall', exact: true }).click();
    await page.getByRole('textbox', { name: 'Command' }).fill('led');
    await page.getByLabel('Data, as JSON').fill("{'on': True}");
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByText('The data is not JSON.').waitFor();
    expect(await app.get('/api/commands?board=hall')).toEqual([]);
  });

  it('can be used with the keyboard alone', async () => {
    await page.reload();
    await row('kitchen').waitFor();
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement!.textContent)).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement!.closest('.board') !== null)).toBe(true);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: /hall|kitchen|roof|shed/ }).waitFor();
  });

  it.each(['dark', 'light'] as const)('has no barriers on a phone, %s', async (colorScheme) => {
    const visit = await openPage(browser, app, { colorScheme, viewport: { width: 390, height: 844 } });
    onTestFinished(() => visit.page.context().close());
    await logIn(visit.page);
    await visit.page.getByRole('link', { name: 'kitchen', exact: true }).waitFor();
    expect(await findBarriers(visit.page)).toEqual([]);
    await visit.page.getByRole('link', { name: 'kitchen', exact: true }).click();
    await visit.page.locator('.u-over').first().waitFor();
    expect(await findBarriers(visit.page)).toEqual([]);
    // Nothing is wider than the phone.
    expect(await visit.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    expect(visit.troubles).toEqual([]);
  });

  it(
    `stays small and quick while it is open for ${OPEN_SECONDS} s at ${READINGS_PER_SECOND} readings a second`,
    { timeout: (OPEN_SECONDS + 120) * 1000 },
    async () => {
      const visit = await openPage(browser, app);
      onTestFinished(() => visit.page.context().close());
      await logIn(visit.page);
      await visit.page.getByRole('link', { name: 'kitchen', exact: true }).click();
      await visit.page.locator('.u-over').first().waitFor();
      await visit.page.evaluate(watchTasks);
      const boards = await Promise.all(['hall', 'kitchen', 'roof'].map((name) => app.board(name)));
      const sent = await sendFor(boards, OPEN_SECONDS, () =>
        visit.page.mouse.wheel(0, Math.random() < 0.5 ? 300 : -300),
      );
      const { tasks, heap } = await visit.page.evaluate(readTasks);
      console.log(
        `page open for ${OPEN_SECONDS} s: ${sent} readings, longest task ${Math.max(0, ...tasks).toFixed(0)} ms, ` +
          `heap ${(heap / 1e6).toFixed(1)} MB`,
      );
      expect(sent).toBeGreaterThan(OPEN_SECONDS * READINGS_PER_SECOND * 0.5);
      expect(heap).toBeLessThan(MAX_HEAP_BYTES);
      expect(tasks.filter((ms) => ms > MAX_TASK_MS)).toEqual([]);
      expect(visit.troubles).toEqual([]);
    },
  );

  it('tries again when the server was gone, and goes on', { timeout: 240_000 }, async () => {
    await app.end();
    await page.getByText('Connection lost, trying again').waitFor();
    const { port } = new URL(app.url);
    await app.restart({ HTTP_PORT: port });
    await page.getByText('Live', { exact: true }).waitFor({ timeout: 60_000 });
    const board = await app.board('shed');
    await board.send({ action: 'report', data: { temperature: 4.25 } });
    await row('shed').getByText('4.25').waitFor();
    // The browser notes each failed try.
    expect(troubles.splice(0).filter((line) => !line.includes('ERR_'))).toEqual([]);
  });

  it('has had no errors, and has asked nobody else', () => {
    expect(troubles).toEqual([]);
  });
});

/** Runs in the page. */
function watchTasks(): void {
  const tasks: number[] = [];
  Object.assign(globalThis, { tasks });
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
    type: 'longtask',
  });
}

/** Runs in the page. */
function readTasks(): { tasks: number[]; heap: number } {
  const { tasks } = globalThis as unknown as { tasks: number[] };
  const { memory } = performance as unknown as { memory: { usedJSHeapSize: number } };
  return { tasks, heap: memory.usedJSHeapSize };
}

/** Three metrics in a report: the readings a second of all boards together. The number that was sent. */
async function sendFor(
  boards: ReadonlyArray<{ send(request: object): Promise<unknown> }>,
  seconds: number,
  meanwhile: () => Promise<void>,
): Promise<number> {
  const perReport = 5;
  const everyMs = (1000 * perReport * boards.length) / READINGS_PER_SECOND;
  const end = Date.now() + seconds * 1000;
  let sent = 0;
  const names = ['temperature', 'humidity', 'pressure', 'light', 'noise'];
  const report = async (board: { send(request: object): Promise<unknown> }): Promise<void> => {
    for (let next = Date.now(); next < end; next += everyMs) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - Date.now())));
      const data = Object.fromEntries(names.map((name) => [name, Math.round(Math.random() * 1000) / 10]));
      await board.send({ action: 'report', data });
      sent += perReport;
    }
  };
  const scroll = async (): Promise<void> => {
    while (Date.now() < end) {
      await meanwhile();
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  };
  await Promise.all([...boards.map(report), scroll()]);
  return sent;
}
