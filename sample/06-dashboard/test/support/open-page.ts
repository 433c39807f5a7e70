/** A page that is open while readings come. */
import { cpus, loadavg } from 'node:os';
import type { Page } from 'playwright-core';
import type { ExchangeRecord } from '../../src/boards/exchanges.service.js';
import type { RecentRejection } from '../../src/boards/rejections.service.js';
import type { App } from './app.js';

export const READINGS_PER_SECOND = 50;
export const MAX_HEAP_BYTES = 100_000_000;
export const MAX_TASK_MS = 100;

const METRICS = ['temperature', 'humidity', 'pressure', 'light', 'noise'];
const SCROLL_MS = 250;

interface Reporter {
  send(request: object): Promise<unknown>;
}

export interface OpenPage {
  /** Readings that were stored. */
  readonly readings: number;
  /** Reports without a reply, each with the records of the server about it. */
  readonly lost: string[];
  readonly longestTaskMs: number;
  readonly heapBytes: number;
}

/**
 * Processes that want to run for each core, at least 1. The browser counts the time in which a task waits for a core, too: the same page
 * had a longest task of 71 ms in one run and 434 ms in another, both beside other programs. The figures have no such factor.
 */
export function slowness(): number {
  return Math.max(1, loadavg()[0]! / cpus().length);
}

/** Boards that have reported once. */
export async function startBoards(app: App, names: readonly string[]): Promise<Map<string, Reporter>> {
  const boards = new Map(await Promise.all(names.map(async (name) => [name, await app.board(name)] as const)));
  await Promise.all([...boards.values()].map(reportAll));
  return boards;
}

/** A report of every metric. */
async function reportAll(board: Reporter): Promise<void> {
  const data = Object.fromEntries(METRICS.map((name) => [name, Math.round(Math.random() * 1000) / 10]));
  await board.send({ action: 'report', data });
}

/** Boards report, by their names, while the page scrolls up and down. */
export async function keepOpen(
  page: Page,
  app: App,
  boards: ReadonlyMap<string, Reporter>,
  seconds: number,
): Promise<OpenPage> {
  await page.evaluate(watchTasks);
  const end = Date.now() + seconds * 1000;
  let readings = 0;
  const lost: string[] = [];
  const keepReporting = async ([name, board]: [string, Reporter]): Promise<void> => {
    await pace((1000 * METRICS.length * boards.size) / READINGS_PER_SECOND, end, async () => {
      const begun = Date.now();
      try {
        await reportAll(board);
        readings += METRICS.length;
      } catch (error) {
        lost.push(await explain(app, name, begun, error));
      }
    });
  };
  let isDown = false;
  const scroll = async (): Promise<void> => {
    isDown = !isDown;
    await page.mouse.wheel(0, isDown ? 400 : -400);
  };
  await Promise.all([...[...boards].map(keepReporting), pace(SCROLL_MS, end, scroll)]);
  return { readings, lost, ...(await page.evaluate(readTasks)) };
}

/** The records of the server about the time in which a board waited. */
async function explain(app: App, name: string, begun: number, error: unknown): Promise<string> {
  const waited = Date.now() - begun;
  const range = `from=${begun}&to=${Date.now() + 1}&bucket=60000`;
  const [exchanges, { recent }] = await Promise.all([
    app.get<ExchangeRecord[]>('/api/exchanges'),
    app.get<{ recent: RecentRejection[] }>(`/api/rejections?${range}`),
  ]);
  const meanwhile = exchanges.filter(({ at }) => at >= begun);
  const slowest = Math.max(0, ...meanwhile.map(({ end }) => end));
  const own = meanwhile
    .filter(({ board }) => board === name)
    .map(({ pattern, outcome, end }) => `${pattern} ${outcome} ${end} ms`);
  const rejected = recent.filter(({ at }) => at >= begun).map(({ board, reason }) => `${board} ${reason}`);
  return (
    `${new Date(begun).toISOString()} ${name}: ${String(error)} after ${waited} ms; its exchanges: [${own.join(', ')}]; ` +
    `all: ${meanwhile.length}, the slowest ${slowest} ms; rejected: [${rejected.join(', ')}]; load ${loadavg()[0]}`
  );
}

/** Runs `step` in even steps until `end`; one that takes longer is followed at once by the next. */
async function pace(everyMs: number, end: number, step: () => Promise<void>): Promise<void> {
  for (let next = Date.now(); next < end; next += everyMs) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - Date.now())));
    await step();
  }
}

/** Runs in the page. */
function watchTasks(): void {
  const tasks: number[] = [];
  Object.assign(globalThis, { tasks });
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
    type: 'longtask',
  });
}

/** Runs in the page. A task is long from 50 ms on; without one, the longest counts as 50. */
function readTasks(): Pick<OpenPage, 'longestTaskMs' | 'heapBytes'> {
  const { tasks } = globalThis as unknown as { tasks: number[] };
  const { memory } = performance as unknown as { memory: { usedJSHeapSize: number } };
  return { longestTaskMs: Math.max(50, ...tasks), heapBytes: memory.usedJSHeapSize };
}
