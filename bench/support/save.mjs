/**
 * Brings the documentation up to date with the figures of a run: the JSON, the tables of docs/performance.md, the charts.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { PEER_SECTIONS, drawPeers } from '../peers/report.mjs';
import { GROWTH_CHARTS, GROWTH_SECTIONS } from './growth-report.mjs';
import { SECTIONS, drawChart } from './report.mjs';
import { fillSections } from './table.mjs';

/**
 * The tables and charts that are made of each JSON file, by its name.
 *
 * @type {Record<string, { sections: Record<string, (results: any) => string>, charts: Record<string, (results: any) => string> }>}
 */
export const FIGURES = {
  performance: { sections: SECTIONS, charts: { performance: drawChart } },
  peers: { sections: PEER_SECTIONS, charts: { peers: drawPeers } },
  growth: { sections: GROWTH_SECTIONS, charts: GROWTH_CHARTS },
};

export const PAGE = 'performance.md';

const pathOf = (name) => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));

async function writeFormatted(name, text) {
  const path = pathOf(name);
  await writeFile(path, await format(text, { ...(await resolveConfig(path)), filepath: path }));
}

/**
 * @param {string} name a key of `FIGURES`
 * @param {object} results
 */
export async function savePage(name, results) {
  const { sections, charts } = FIGURES[name];
  await writeFormatted(`${name}.json`, JSON.stringify(results));
  await writeFormatted(PAGE, fillSections(await readFile(pathOf(PAGE), 'utf8'), results, sections));
  for (const [chart, draw] of Object.entries(charts)) {
    await writeFile(pathOf(`${chart}.svg`), draw(results));
  }
}
