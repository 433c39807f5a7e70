/** Debian's Chromium, driven by playwright-core. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContextOptions, type Page, chromium } from 'playwright-core';
import { inject } from 'vitest';
import type { App } from './app.js';
import { PASSWORD } from './app.js';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  // `performance.memory` in bytes, not in steps.
  '--enable-precise-memory-info',
];
const TIMEOUT_MS = 30_000;

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: inject('browser')!, args: FLAGS });
}

export interface Visit {
  readonly page: Page;
  /** Errors of the page, and requests to other machines. There should be none. */
  readonly troubles: string[];
}

/** A page in a window of its own. */
export async function openPage(browser: Browser, app: App, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const troubles: string[] = [];
  page.on('pageerror', (error) => troubles.push(String(error.stack)));
  page.on('console', (message) => message.type() === 'error' && troubles.push(message.text()));
  page.on('request', (request) => request.url().startsWith(app.url) || troubles.push(`asks for ${request.url()}`));
  await page.goto(app.url);
  return { page, troubles };
}

export async function logIn(page: Page): Promise<void> {
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('link', { name: 'Skip to the content' }).waitFor({ state: 'attached' });
}

/** What axe finds: the rule and the place. The policy of the page allows no other script, so it is run by the debugger. */
export async function findBarriers(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe: checker } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: Array<{ id: string; nodes: Array<{ html: string }> }> }> };
    };
    const { violations } = await checker.run();
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
  });
}
