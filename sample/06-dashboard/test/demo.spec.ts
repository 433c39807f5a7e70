/** `npm run dashboard -- --demo` as a visitor sees it, and the pictures of it in the README. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { App } from './support/app.js';
import { logIn, openPage, startBrowser } from './support/browser.js';
import { type TestDatabase, createDatabase } from './support/databases.js';

/** Two lines of text. */
const MAX_LINES_PX = 72;

const sample = join(import.meta.dirname, '..');

describe.skipIf(inject('browser') === undefined)('the demo', () => {
  let database: TestDatabase;
  let app: App;
  let browser: Browser;
  let page: Page;
  let troubles: string[];

  beforeAll(async () => {
    database = await createDatabase('pglite');
    app = await App.start({ database, boards: [], args: ['--demo'], env: { SILENT_AFTER: '8' } });
    browser = await startBrowser();
    const options = { viewport: { width: 1180, height: 840 }, deviceScaleFactor: 1.5 };
    ({ page, troubles } = await openPage(browser, app, options));
    await logIn(page);
  });

  afterAll(async () => {
    await browser.close();
    await app.end();
    await database.remove();
  });

  const row = (name: string) =>
    page.getByRole('listitem').filter({ has: page.getByRole('link', { name, exact: true }) });
  const tile = (label: string) => page.locator('.tile').filter({ hasText: label });

  it('says what there is to see', async () => {
    await expect.poll(() => app.output).toMatch(/attic +reports for .*\n +garage +has a wrong key/);
  });

  it('has boards that report, one that falls silent, and one with a wrong key', async () => {
    for (const name of ['attic', 'cellar', 'greenhouse', 'kitchen']) {
      await row(name).getByText('Reporting').waitFor();
      await row(name).locator('polyline').nth(1).waitFor();
    }
    await row('shed').getByText('Never heard').waitFor();
    await row('garage').getByText('Never heard').waitFor();
    await row('attic').getByText('Silent', { exact: true }).waitFor();
    expect(Number(await tile('Rejected in the last hour').locator('dd').textContent())).toBeGreaterThan(0);
    await keepPicture(page, 'boards', false);
  });

  it('has a week to look at, and boards that fetch commands', async () => {
    await page.getByRole('link', { name: 'greenhouse', exact: true }).click();
    await page.getByRole('textbox', { name: 'Command' }).fill('fan');
    await page.getByLabel('Data, as JSON').fill('{"on": true}');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('row').filter({ hasText: 'fan' }).getByText('Done').waitFor();
    const day = await page.locator('.uplot').elementHandles();
    await page.getByRole('button', { name: 'Week' }).click();
    await page.waitForFunction((plots) => plots.every(({ isConnected }) => !isConnected), day);
    await page.locator('.plots[aria-busy=false] .u-over').nth(1).waitFor();
    await keepPicture(page, 'board', true);
    expect(troubles).toEqual([]);
  });
});

/** `--save` renews the picture. */
async function keepPicture(page: Page, name: string, fullPage: boolean): Promise<void> {
  const file = `screenshot-${name}.png`;
  // Nothing is under the mouse.
  await page.mouse.move(0, 0);
  const picture = await page.screenshot({ fullPage });
  if (process.env['DASHBOARD_SAVE'] !== undefined) {
    await writeFile(join(sample, file), picture);
  }
  const [[width, height], [keptWidth, keptHeight]] = [sizeOf(picture), sizeOf(await readFile(join(sample, file)))];
  expect(keptWidth).toBe(width);
  // A command that was sent twice takes another line.
  expect(Math.abs(keptHeight - height)).toBeLessThan(MAX_LINES_PX);
  expect(await readFile(join(sample, 'README.md'), 'utf8')).toContain(`](${file})`);
}

/** Width and height of a PNG. */
function sizeOf(picture: Buffer): [number, number] {
  return [picture.readUInt32BE(16), picture.readUInt32BE(20)];
}
