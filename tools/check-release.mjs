/**
 * Checks that this checkout may be published: the organisation is named, the tag, package.json and CHANGELOG.md agree, and the cost of an
 * exchange is recorded.
 *
 *     npm run check:release
 *     npm run check:release -- --tag v0.1.0
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** Stands in every file that names the organisation, until there is one. */
const PLACEHOLDER = 'ORGANISATION';

const FILES_WITH_PLACEHOLDER = [
  'package.json',
  'device/package.json',
  'docs/protocol-v2.md',
  'CHANGELOG.md',
  'tools/typedoc.json',
  '.github/ISSUE_TEMPLATE/config.yml',
  '.github/ISSUE_TEMPLATE/bug.yml',
];

const { values: options } = parseArgs({
  options: { tag: { type: 'string' }, root: { type: 'string', default: join(import.meta.dirname, '..') } },
});

const read = (/** @type {string} */ path) => readFile(resolve(options.root, path), 'utf8');

const { version } = /** @type {{ version: string }} */ (JSON.parse(await read('package.json')));
const problems = [];

for (const file of FILES_WITH_PLACEHOLDER) {
  if ((await read(file)).includes(PLACEHOLDER)) {
    problems.push(`${file}: replace ${PLACEHOLDER} by the name of the organisation`);
  }
}
if (options.tag !== undefined && options.tag !== `v${version}`) {
  problems.push(`the tag is ${options.tag}, but package.json has version ${version}`);
}
if (!(await read('CHANGELOG.md')).includes(`\n## [${version}] - 20`)) {
  problems.push(`CHANGELOG.md has no dated section for ${version}: "## [${version}] - YYYY-MM-DD"`);
}
const history = `bench/history/${version}.json`;
if (!existsSync(resolve(options.root, history))) {
  problems.push(`${history} is missing: npm run bench:guard -- --record`);
}

for (const problem of problems) {
  console.error(problem);
}
process.exitCode = problems.length > 0 ? 1 : 0;
