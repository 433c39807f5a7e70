/**
 * Brings docs/performance.md and its charts up to date with the JSON files in docs/.
 *
 *     npm run bench -- --out docs/performance.json && node bench/chart.mjs
 */
import { readFile } from 'node:fs/promises';
import { FIGURE_NAMES, savePage } from './support/save.mjs';

for (const name of FIGURE_NAMES) {
  await savePage(name, JSON.parse(await readFile(new URL(`../docs/${name}.json`, import.meta.url), 'utf8')));
}
