/**
 * Brings docs/performance.md and its chart up to date with docs/performance.json.
 *
 *     npm run bench -- --out docs/performance.json && node bench/chart.mjs
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { drawChart, fillPage } from './support/report.mjs';

const pathOf = (name) => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));

async function writeFormatted(name, text) {
  const path = pathOf(name);
  await writeFile(path, await format(text, { ...(await resolveConfig(path)), filepath: path }));
}

const json = await readFile(pathOf('performance.json'), 'utf8');
const results = JSON.parse(json);
await writeFormatted('performance.json', json);
await writeFormatted('performance.md', fillPage(await readFile(pathOf('performance.md'), 'utf8'), results));
await writeFile(pathOf('performance.svg'), drawChart(results));
