/** The page in a real browser, with virtual boards and a board on the MicroPython interpreter. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page, Route } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest';
import { MicroPythonBoard } from '../../../tools/micropython/board.mjs';
import type { Command } from '../src/database/store.js';
import { App, readStream } from './support/app.js';
import { findBarriers, logIn, openPage, startBrowser } from './support/browser.js';
import { type TestDatabase, createDatabase } from './support/databases.js';

const program = await readFile(join(import.meta.dirname, '..', 'device', 'mailbox.py'), 'utf8');

/** As long as the name of a file may be, and without a place to break it. */
const LONG = 'n'.repeat(200);

/** A stream that begins, and ends at once. */
const BEGIN = `retry: 100\nevent: begin\ndata: ${JSON.stringify({ now: Date.now() })}\n\n`;

describe.skipIf(inject('browser') === undefined)('the page', () => {
  let database: TestDatabase;
  let app: App;
  let browser: Browser;
  let page: Page;
  let troubles: string[];

  beforeAll(async () => {
    database = await createDatabase('pglite');
    app = await App.start({ database, boards: ['hall', 'kitchen', 'roof', 'shed', LONG], env: { SILENT_AFTER: '4' } });
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
    await row('kitchen').getByText('21.5 °C').waitFor();
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
    const bars = page.getByRole('img', { name: /datagrams, at most/ });
    await bars.waitFor();
    await page.getByRole('button', { name: 'By board' }).click();
    expect(await bars.textContent()).toMatch(/1 bad-hash, no key verified/);
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

  it('draws the first reading of a board, and one that comes while the history is on the way', async () => {
    const board = await app.board('shed');
    const report = (temperature: number) => board.send({ action: 'report', data: { temperature } });
    const events = readStream(await app.fetch('/api/stream'));
    const told = async (value: number): Promise<void> => {
      for await (const { type, data } of events) {
        if (type === 'reading' && (data as number[][]).some((reading) => reading[3] === value)) {
          return;
        }
      }
    };
    await page.getByRole('link', { name: 'shed', exact: true }).click();
    await page.getByText('No readings yet. A board sends').waitFor();
    // The answer does not have the second reading, which the stream tells before the answer arrives.
    const delay = async (route: Route): Promise<void> => {
      const response = await route.fetch();
      await report(33.25);
      await told(33.25);
      await route.fulfill({ response });
    };
    await page.route(/api\/history/, delay, { times: 1 });
    await report(12.5);
    await page.locator('figcaption').waitFor();
    await expect
      .poll(() => page.locator('figcaption').textContent())
      .toContain('Lowest 12.5\u00a0°C, highest 33.3\u00a0°C');
  });

  it('says if the readings could not be loaded, and tries again', async () => {
    await page.route(/api\/history/, (route) => route.fulfill({ status: 500, body: '{"message": "No space left."}' }));
    await page.getByRole('link', { name: 'kitchen', exact: true }).click();
    await page.getByRole('alert').filter({ hasText: 'No space left.' }).waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await page.unroute(/api\/history/);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.locator('.u-over').first().waitFor();
    // A refusal is an error for the browser's console too.
    expect(troubles.splice(0).filter((line) => !line.includes('500'))).toEqual([]);
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
    await page.getByText('roof has fetched “led”, and has not confirmed it yet.').waitFor();
    await board.run('mailbox.check(wait=0)');
    await command.getByText('Done').waitFor();
    await page.getByText('roof has run “led”.').waitFor();
    await page.getByText('Held for a command').waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await goTo('Commands');
    await page.getByRole('row').filter({ hasText: 'roof' }).getByText('Done').waitFor();
    expect(await findBarriers(page)).toEqual([]);
  });

  it('loads the overview again if that failed, though the stream is open', async () => {
    await page.route(/api\/overview/, (route) => route.fulfill({ status: 503, body: '{}' }), { times: 1 });
    await page.reload();
    await page.getByText('Connection lost, trying again').waitFor();
    await page.getByText('Live', { exact: true }).waitFor();
    await row('kitchen').waitFor();
    expect(troubles.splice(0).filter((line) => !line.includes('503'))).toEqual([]);
  });

  it('loads again when the stream opens again before it has loaded, and shows what comes then', async () => {
    let openGate: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (openGate = resolve));
    const slow = page.waitForRequest(/api\/overview/);
    await page.route(
      /api\/overview/,
      async (route) => {
        await gate;
        await route.fulfill({ status: 503, body: '{}' });
      },
      { times: 1 },
    );
    // The browser connects again by itself when a stream ends.
    await page.route(/api\/stream/, (route) => route.fulfill({ contentType: 'text/event-stream', body: BEGIN }), {
      times: 1,
    });
    await page.reload();
    await slow;
    await page.getByText('Live', { exact: true }).waitFor();
    openGate();
    const board = await app.board('kitchen');
    await board.send({ action: 'report', data: { temperature: 17.25 } });
    await row('kitchen').getByText('17.3 °C').waitFor();
    expect(await page.getByText('Live', { exact: true }).isVisible()).toBe(true);
    expect(troubles.splice(0).filter((line) => !line.includes('503'))).toEqual([]);
  });

  it('says if it could not log out, and stays', async () => {
    await page.reload();
    await row('kitchen').waitFor();
    await page.route(/api\/session\/end/, (route) => route.abort());
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('alert').filter({ hasText: 'Not logged out: The server does not answer.' }).waitFor();
    expect(await row('kitchen').isVisible()).toBe(true);
    await page.unroute(/api\/session\/end/);
    expect(troubles.splice(0).filter((line) => !line.includes('ERR_'))).toEqual([]);
  });

  it('shows the commands of a board, however many others have come since', async () => {
    const post = (board: string) => app.post(`/api/boards/${board}/commands`, { name: 'later' });
    const { id } = (await (await app.post('/api/boards/shed/commands', { name: 'early' })).json()) as { id: string };
    for (let count = 0; count < 100; count++) {
      await post('kitchen');
    }
    await page.reload();
    await page.getByRole('link', { name: 'shed', exact: true }).click();
    const command = page.getByRole('row').filter({ hasText: 'early' });
    await command.getByText('Queued').waitFor();
    const board = await app.board('shed');
    await board.send({ action: 'inbox', data: { wait: 0 } });
    await command.getByText('Sent').waitFor();
    await board.send({ action: 'inbox', data: { done: id, wait: 0 } });
    await command.getByText('Done').waitFor();
    // The list of all has the newest first.
    await goTo('Commands');
    await page.getByRole('row').filter({ hasText: 'later' }).first().waitFor();
    expect(await page.getByRole('row').filter({ hasText: 'early' }).count()).toBe(0);
  });

  it('opens an address with a percent sign that is no escape', async () => {
    await page.evaluate(() => {
      location.hash = '#/boards/%';
    });
    await page.getByText('No board is called “%”').waitFor();
    expect(troubles).toEqual([]);
  });

  it('says if the lines of the list could not be loaded, and tries again', async () => {
    await page.route(/api\/history/, (route) => route.fulfill({ status: 500, body: '{"message": "No space left."}' }));
    await page.reload();
    await page.getByRole('alert').filter({ hasText: 'No space left.' }).waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await page.unroute(/api\/history/);
    await page.getByRole('button', { name: 'Try again' }).click();
    await row('kitchen').locator('polyline').first().waitFor();
    expect(troubles.splice(0).filter((line) => !line.includes('500'))).toEqual([]);
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
    // The next Tab goes on in the new view.
    await expect.poll(() => page.evaluate(() => document.activeElement!.id)).toBe('main');
  });

  it('keeps to the width of a phone with the longest names, commands and results', async () => {
    const visit = await openPage(browser, app, { viewport: { width: 390, height: 844 } });
    onTestFinished(() => visit.page.context().close());
    await logIn(visit.page);
    const board = await app.board(LONG);
    await board.send({ action: 'report', data: { ['m'.repeat(32)]: -1e30 } });
    const data = { text: 'd'.repeat(900) };
    const { id } = (await (
      await app.post(`/api/boards/${LONG}/commands`, { name: 'c'.repeat(32), data })
    ).json()) as Command;
    await board.send({ action: 'inbox', data: { wait: 0 } });
    await board.send({ action: 'inbox', data: { done: id, wait: 0, result: 'r'.repeat(900) } });
    await board.send({ action: '<b>'.repeat(300) });
    const check = async (link: string, content: string): Promise<void> => {
      await visit.page.getByRole('link', { name: link, exact: true }).first().click();
      await visit.page.locator(content).first().waitFor();
      expect(await visit.page.evaluate(() => document.documentElement.scrollWidth), link).toBeLessThanOrEqual(390);
    };
    await check('Boards', '.board');
    await check(LONG, '.u-over');
    await check('Exchanges', '.waterfall');
    await check('Commands', 'td');
    expect(visit.troubles).toEqual([]);
  });

  it.each(['dark', 'light'] as const)('has no barriers on a phone, %s', async (colorScheme) => {
    const visit = await openPage(browser, app, { colorScheme, viewport: { width: 390, height: 844 } });
    onTestFinished(() => visit.page.context().close());
    await logIn(visit.page);
    const check = async (link: string, content: string): Promise<void> => {
      await visit.page.getByRole('link', { name: link, exact: true }).first().click();
      await visit.page.locator(content).first().waitFor();
      expect(await findBarriers(visit.page), link).toEqual([]);
      // Nothing is wider than the phone.
      const width = await visit.page.evaluate(() => document.documentElement.scrollWidth);
      expect(width, link).toBeLessThanOrEqual(390);
    };
    await check('Boards', '.board');
    await check('kitchen', '.u-over');
    await check('Rejections', '.bars');
    await check('Exchanges', '.waterfall');
    await check('Commands', 'td');
    expect(visit.troubles).toEqual([]);
  });

  it('tries again when the server was gone, and goes on', { timeout: 240_000 }, async () => {
    await app.end();
    await page.getByText('Connection lost, trying again').waitFor();
    // Nobody knows now whether a board is silent, so the ages stand still.
    const before = await row('hall').textContent();
    await page.evaluate(leapAnHour);
    expect(await row('hall').textContent()).toBe(before);
    const { port } = new URL(app.url);
    await app.restart({ HTTP_PORT: port });
    await page.getByText('Live', { exact: true }).waitFor({ timeout: 60_000 });
    const board = await app.board('shed');
    await board.send({ action: 'report', data: { temperature: 4.25 } });
    await row('shed').getByText('4.3 °C').waitFor();
    // The browser notes each failed try.
    expect(troubles.splice(0).filter((line) => !line.includes('ERR_'))).toEqual([]);
  });

  it('has had no errors, and has asked nobody else', () => {
    expect(troubles).toEqual([]);
  });
});

/** Runs in the page: an hour passes, and the page, which draws each second, has drawn since. */
async function leapAnHour(): Promise<void> {
  const now = Date.now;
  Date.now = () => now() + 3_600_000;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  Date.now = now;
}
