/** A page that is open while readings come. */
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import type { ExchangeRecord } from '../../src/boards/exchanges.service.js';
import type { RecentRejection } from '../../src/boards/rejections.service.js';
import type { App } from './app.js';

export const READINGS_PER_SECOND = 50;
export const MAX_HEAP_BYTES = 100_000_000;
export const MAX_TASK_MS = 100;

const METRICS = ['temperature', 'humidity', 'pressure', 'light', 'noise'];
const SCROLL_MS = 250;
/** The browser keeps the trace of a window in memory: about half a megabyte a second. */
const TRACE_MS = 20_000;
const TASK = 'ThreadControllerImpl::RunTask';
const MAIN_THREAD = 'CrRendererMain';

interface Reporter {
  send(request: object): Promise<unknown>;
}

export interface OpenPage {
  /** Readings that were stored. */
  readonly readings: number;
  /** Reports without a reply, each with the records of the server about it. */
  readonly lost: string[];
  /** The most CPU time that a task of the page took. The time on the clock has the waits for a core in it, which other programs cause. */
  readonly longestTaskMs: number;
  readonly heapBytes: number;
}

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly args: { readonly name?: string };
  /** CPU time of the thread, in microseconds. */
  readonly tdur?: number;
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
  const [longestTaskMs] = await Promise.all([
    traceTasks(page.context().browser()!, page, end),
    pace(SCROLL_MS, end, scroll),
    ...[...boards].map(keepReporting),
  ]);
  return { readings, lost, longestTaskMs, heapBytes: await page.evaluate(readHeap) };
}

/** The longest task of the pages of a browser until `end`. */
async function traceTasks(browser: Browser, page: Page, end: number): Promise<number> {
  let longestUs = 0;
  while (Date.now() < end) {
    await browser.startTracing(page, { categories: ['toplevel'] });
    await sleep(Math.min(TRACE_MS, end - Date.now()));
    const trace = await browser.stopTracing();
    const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
    const threadOf = ({ pid, tid }: TraceEvent): string => `${pid} ${tid}`;
    const mainThreads = new Set(traceEvents.filter(({ args }) => args.name === MAIN_THREAD).map(threadOf));
    const tasks = traceEvents.filter((event) => event.name === TASK && mainThreads.has(threadOf(event)));
    if (tasks.length === 0) {
      throw new Error('the trace of the browser has no task of a page');
    }
    longestUs = tasks.reduce((longest, { tdur }) => Math.max(longest, tdur ?? 0), longestUs);
  }
  return longestUs / 1000;
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
    await sleep(Math.max(0, next - Date.now()));
    await step();
  }
}

/** Runs in the page. */
function readHeap(): number {
  return (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize;
}
