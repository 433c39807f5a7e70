/**
 * Runs the parity suite, and makes docs/parity.md from its results: each row is a behaviour, with its tests.
 *
 *     npm run test:parity                            the suite alone
 *     npm run test:parity -- --save docs/parity.md   and write the table
 *     npm run test:parity -- --check docs/parity.md  and fail if the table is not that of this run
 *     npm run test:parity -- --nest 11.0.0           the suite on another version of Nest, in a temporary folder
 */
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { startVitest } from 'vitest/node';
import { root } from './support/pack.mjs';
import { withProjectOnNest } from './support/project-on-nest.mjs';
import { mustRun } from './support/run.mjs';

const { values: options } = parseArgs({
  options: { save: { type: 'string' }, check: { type: 'string' }, nest: { type: 'string' } },
});

/**
 * @typedef {import('vitest/node').TestCase} TestCase
 * @typedef {{ rule?: string, skipped?: string }} Cell
 * @typedef {object} Row a behaviour
 * @property {string} slug
 * @property {string} title
 * @property {string} file
 * @property {string} group
 * @property {Record<string, Cell>} cells by transport
 * @property {number} line
 */

/**
 * The suite in a copy of this project whose Nest is another one. Its own tests say what that one lacks, and are skipped.
 *
 * @param {string} version
 */
function runOnNest(version) {
  const args = [join(root, 'node_modules/vitest/vitest.mjs'), ...VITEST_ARGS];
  return withProjectOnNest(version, [], (cwd) => mustRun(process.execPath, args, { cwd }));
}

const VITEST_ARGS = ['run', '--config', 'test/vitest.config.ts', '--reporter', 'verbose', 'test/parity'];

/** @returns the finished tests that say which row they are of. */
async function runSuite() {
  const vitest = await startVitest('test', ['test/parity'], {
    config: join(root, 'test/vitest.config.ts'),
    watch: false,
    reporters: ['dot'],
  });
  const tests = vitest.state.getTestModules().flatMap((module) => [...module.children.allTests()]);
  await vitest.close();
  if (process.exitCode) {
    throw new UserError('The suite failed, so there is no table.');
  }
  return tests;
}

class UserError extends Error {}

/**
 * One row for each behaviour, in the order of files and of tests in them.
 *
 * @param {TestCase[]} tests
 */
async function collectRows(tests) {
  /** @type {Map<string, Row>} */
  const rows = new Map();
  for (const test of tests) {
    const { parity } = /** @type {{ parity: import('../test/parity/behaviour.js').ParityMeta }} */ (test.meta());
    const { slug, title, transport, rule } = parity;
    const result = test.result();
    /** @type {Row} */
    const row = rows.get(slug) ?? { slug, title, file: test.module.moduleId, group: groupOf(test), cells: {}, line: 0 };
    if (row.cells[transport]) {
      throw new UserError(`Two behaviours are called "${slug}".`);
    }
    row.cells[transport] = { rule, skipped: result.state === 'skipped' ? result.note : undefined };
    rows.set(slug, row);
  }
  for (const row of rows.values()) {
    row.line = await findLine(row);
  }
  return [...rows.values()].toSorted((a, b) => orderOf(a) - orderOf(b) || a.line - b.line);
}

/**
 * The title of the outermost `describe`.
 *
 * @param {TestCase} test
 */
function groupOf(test) {
  let name = '';
  for (let { parent } = test; parent.type === 'suite'; { parent } = parent) {
    ({ name } = parent);
  }
  return name;
}

/** From what every app uses to what only this transport has. */
const FILES = [
  'patterns',
  'observables',
  'errors',
  'ways-out',
  'enhancers',
  'context',
  'decorators',
  'scopes',
  'hybrid',
  'lifecycle',
  'client',
  'additions',
];

/** @param {Row} row */
function orderOf({ file }) {
  const index = FILES.findIndex((name) => file.endsWith(`/${name}.spec.ts`));
  if (index < 0) {
    throw new UserError(`${file} has no place in the table: give it one in FILES.`);
  }
  return index;
}

/** @param {Row} row */
async function findLine({ slug, file }) {
  const lines = (await readFile(file, 'utf8')).split('\n');
  return lines.findIndex((line) => line.includes(`'${slug}'`)) + 1;
}

/**
 * @param {Row[]} rows
 * @param {string} path
 */
async function formatTable(rows, path) {
  const nest = new URL('package.json', import.meta.resolve('@nestjs/microservices'));
  const { version } = JSON.parse(await readFile(nest, 'utf8'));
  const own = rows.filter(({ cells }) => cells.BenUdp.rule !== undefined);
  const folder = dirname(join(root, path));
  const groups = groupRows(rows);
  const text = `# Parity with Nest's TCP transport

<!-- Made by \`npm run test:parity -- --save docs/parity.md\`; changes by hand are lost. -->

Nest's own TCP transport is the specification. Each row is a behaviour, and links to its tests. One run tests it over TCP and over BenUdp,
here with \`@nestjs/microservices\` ${version}. **✓** means that one test holds for both transports. In some cases BenUdp has its own rule,
mostly because a device reads one reply and there are no headers on the wire. Each transport then has its own test, and the cells describe
the behaviour.

${rows.length} behaviours: ${rows.length - own.length} the same, ${own.length} with a different rule.

${[...groups].map(([group, each]) => formatGroup(group, each, folder)).join('\n')}`;
  return format(text, { ...(await resolveConfig(join(root, path))), filepath: path });
}

/** @param {Row[]} rows */
function groupRows(rows) {
  /** @type {Map<string, Row[]>} */
  const groups = new Map();
  for (const row of rows) {
    groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  }
  return groups;
}

/**
 * @param {string} group
 * @param {Row[]} rows
 * @param {string} folder of the page
 */
function formatGroup(group, rows, folder) {
  const lines = rows.map(({ slug, title, file, cells: { TCP, BenUdp } }) => {
    const link = `[\`${slug}\`](${relative(folder, file)})`;
    return `| ${title} | ${formatCell(TCP)} | ${formatCell(BenUdp)} | ${link} |`;
  });
  return `## ${group}\n\n| Behaviour | TCP | BenUdp | Test |\n|---|---|---|---|\n${lines.join('\n')}\n`;
}

/** @param {Cell} cell */
function formatCell({ rule, skipped }) {
  return skipped ? `not run: ${skipped}` : (rule ?? '✓');
}

async function runHere() {
  const rows = await collectRows(await runSuite());
  const table = (/** @type {string} */ path) => formatTable(rows, path);
  if (options.save) {
    await writeFile(join(root, options.save), await table(options.save));
  }
  if (options.check && (await readFile(join(root, options.check), 'utf8')) !== (await table(options.check))) {
    throw new UserError(
      `${options.check} is not the table of this run: npm run test:parity -- --save ${options.check}`,
    );
  }
}

try {
  if (options.nest === undefined) {
    await runHere();
  } else {
    console.log(await runOnNest(options.nest));
  }
} catch (error) {
  console.error(error instanceof UserError ? error.message : error);
  process.exitCode = 1;
}
