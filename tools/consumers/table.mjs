/** The results of the matrix, as markdown. */
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';

const BEGIN = '<!-- consumers:begin, made by npm run test:consumers -- --save docs/compatibility.md -->';
const END = '<!-- consumers:end -->';

/**
 * @typedef {import('./matrix.mjs').Nest} Nest
 * @typedef {import('./project.mjs').InstalledNode} InstalledNode
 * @typedef {import('./project.mjs').CellResult & { node: InstalledNode }} Cell
 * @typedef {{ nest: Nest, format: import('./matrix.mjs').Format, cells: Cell[] }} ProjectResult
 * @typedef {Map<Nest, Record<string, string>>} Versions the installed packages by version of Nest
 */

/**
 * @param {ProjectResult[]} results
 * @param {InstalledNode[]} nodes
 * @param {Versions} versions
 */
export function formatTable(results, nodes, versions) {
  const reasons = [...new Set(results.flatMap(({ cells }) => cells.flatMap(({ reason }) => reason ?? [])))];
  const describe = (/** @type {Partial<Cell>} */ { outcome, reason = '' } = {}) =>
    outcome === 'limit' ? `can't work (${reasons.indexOf(reason) + 1})` : (outcome ?? '');
  const rows = results.map(({ nest, format: { title }, cells }) => [
    versions.get(nest)?.['@nestjs/core'] ?? '',
    title,
    ...nodes.map((node) => describe(cells.find((cell) => cell.node === node))),
  ]);
  return [
    ...formatRows(['Nest', 'Used in', ...nodes.map(({ version }) => `Node ${version}`)], rows),
    '',
    ...reasons.map((reason, index) => `(${index + 1}) ${reason}\n`),
    'With these versions:',
    '',
    ...formatVersions(versions),
  ].join('\n');
}

/** @param {Versions} versions */
function formatVersions(versions) {
  const names = ['@nestjs/core', '@nestjs/microservices', 'rxjs', 'typescript', 'vitest', 'jest', 'ts-jest'];
  return formatRows(
    names.map((name) => `\`${name}\``),
    [...versions.values()].map((each) => names.map((name) => each[name])),
  );
}

/**
 * @param {string[]} head
 * @param {string[][]} rows
 */
function formatRows(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}

/**
 * Puts the table between its two comments; a file that is not there yet gets a heading above them.
 *
 * @param {string} path
 * @param {string} table
 */
export async function saveTable(path, table) {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (error.code !== 'ENOENT') {
      throw error;
    }
    return `# Compatibility\n\n${BEGIN}\n${END}\n`;
  });
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) {
    throw new Error(`${path} needs these two lines, and between them the table goes:\n${BEGIN}\n${END}`);
  }
  const whole = `${text.slice(0, begin)}${BEGIN}\n\n${table}\n\n${text.slice(end)}`;
  await writeFile(path, await format(whole, { ...(await resolveConfig(path)), filepath: path }));
}
