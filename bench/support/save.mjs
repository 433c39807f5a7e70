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
 * The parts of the page and the charts that are made of the results of a run.
 *
 * @template Results
 * @typedef {{ sections: Record<string, (results: Results) => string>, charts: Record<string, (results: Results) => string> }} Figures
 */

/**
 * By the name of the JSON file.
 *
 * @typedef {object} AllResults
 * @property {import('./report.mjs').Results} performance
 * @property {import('../peers/report.mjs').PeerResults} peers
 * @property {import('./growth-report.mjs').GrowthResults} growth
 */

/** @type {{ [Name in keyof AllResults]: Figures<AllResults[Name]> }} */
export const FIGURES = {
  performance: { sections: SECTIONS, charts: { performance: drawChart } },
  peers: { sections: PEER_SECTIONS, charts: { peers: drawPeers } },
  growth: { sections: GROWTH_SECTIONS, charts: GROWTH_CHARTS },
};

export const PAGE = 'performance.md';

export const FIGURE_NAMES = /** @type {const} */ (['performance', 'peers', 'growth']);

const pathOf = (/** @type {string} */ name) => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));

/**
 * @param {string} name
 * @param {string} text
 */
async function writeFormatted(name, text) {
  const path = pathOf(name);
  await writeFile(path, await format(text, { ...(await resolveConfig(path)), filepath: path }));
}

/**
 * @template {keyof AllResults} Name
 * @param {Name} name
 * @param {AllResults[Name]} results
 */
export async function savePage(name, results) {
  const { sections, charts } = FIGURES[name];
  await writeFormatted(`${name}.json`, JSON.stringify(results));
  await writeFormatted(PAGE, fillSections(await readFile(pathOf(PAGE), 'utf8'), results, sections));
  for (const [chart, draw] of Object.entries(charts)) {
    await writeFile(pathOf(`${chart}.svg`), draw(results));
  }
}
