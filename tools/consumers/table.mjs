/** The results of the matrix, as markdown. */
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';

const BEGIN = '<!-- consumers:begin, made by npm run test:consumers -- --save docs/compatibility.md -->';
const END = '<!-- consumers:end -->';

/**
 * @param results `{ nest, format, cells }` of every project, each of the cells `{ node, outcome, reason }`
 * @param nodes `{ spec, version }`
 * @param versions the installed packages by version of Nest
 */
export function formatTable(results, nodes, versions) {
  const reasons = [...new Set(results.flatMap(({ cells }) => cells.flatMap(({ reason }) => reason ?? [])))];
  const describe = (/** @type {{ outcome?: string, reason?: string }} */ { outcome, reason } = {}) =>
    outcome === 'limit' ? `can't work (${reasons.indexOf(reason) + 1})` : (outcome ?? '');
  const rows = results.map(({ nest, format: { title }, cells }) => [
    versions.get(nest)['@nestjs/core'],
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

function formatVersions(versions) {
  const names = ['@nestjs/core', '@nestjs/microservices', 'rxjs', 'typescript', 'vitest', 'jest', 'ts-jest'];
  return formatRows(
    names.map((name) => `\`${name}\``),
    [...versions.values()].map((each) => names.map((name) => each[name])),
  );
}

function formatRows(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}

/** Puts the table between its two comments; a file that is not there yet gets a heading above them. */
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
