/**
 * Runs payloads through Nest's standard tools, and writes docs/payloads.md from the run.
 *
 *     npm run test:payloads             the suite alone; it fails if the page is not that of this run
 *     npm run test:payloads -- --save   and write the page
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startVitest } from 'vitest/node';
import { root } from './support/pack.mjs';

const { values: options } = parseArgs({ options: { save: { type: 'boolean', default: false } } });

/**
 * The page, if this is the test that makes it.
 *
 * @param {import('vitest/node').TestCase} test
 */
function pageOf(test) {
  return /** @type {{ payloadsPage?: string }} */ (test.meta()).payloadsPage;
}

const vitest = await startVitest('test', ['test/payloads'], {
  config: join(root, 'test/vitest.config.ts'),
  watch: false,
  reporters: ['default'],
});
const tests = vitest.state.getTestModules().flatMap((module) => [...module.children.allTests()]);
await vitest.close();

if (options.save) {
  const page = tests.map(pageOf).find((text) => text !== undefined);
  if (page === undefined) {
    console.error('The suite made no page.');
    process.exitCode = 1;
  } else {
    await writeFile(join(root, 'docs/payloads.md'), page);
    console.log('Written to docs/payloads.md. If the page changed, its own test has failed above for the last time.');
    const failed = tests.filter((test) => test.result().state === 'failed' && pageOf(test) === undefined);
    process.exitCode = failed.length === 0 ? 0 : 1;
  }
}
