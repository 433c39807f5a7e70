/**
 * The specs in this folder: they need another Node, servers, or root. Installs the versions of Node and Nest into a cache beside the
 * temporary files, and starts every server itself, on loopback and on free ports.
 *
 *     npm run test:engines
 *     npm run test:engines -- --short                  what .ci/run runs
 *     npm run test:engines -- --case reuse-port        one case
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../../tools/support/pack.mjs';
import { run } from '../../tools/support/run.mjs';
import { installNodes } from '../../tools/consumers/project.mjs';
import { ENGINES, explainMissing, findMissing } from './support/programs.mjs';

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    case: { type: 'string' },
  },
});

/** Each case: its spec, and the versions of Node on which it runs. The first is that of the short run. */
const CASES = [{ name: 'reuse-port', spec: 'test/engines/reuse-port.spec.ts', nodes: ['22', '24'] }];

const CACHE = join(tmpdir(), 'nestjs-ben-udp-engines');

const VITEST_TIMEOUT_MS = 600_000;

/** Versions of Node, by major. Those in the cache are used again. */
async function findNodes(majors) {
  const folder = join(CACHE, 'nodes');
  const marker = join(folder, 'installed.json');
  await mkdir(folder, { recursive: true });
  const installed = await readFile(marker, 'utf8').then(JSON.parse, () => []);
  if (majors.every((major) => installed.some(({ spec }) => spec === major))) {
    return installed;
  }
  const nodes = await installNodes(majors, folder);
  await writeFile(marker, JSON.stringify(nodes));
  return nodes;
}

function selectCases() {
  const names = options.case?.split(',') ?? CASES.map(({ name }) => name);
  return names.map((name) => {
    const found = CASES.find((each) => each.name === name);
    if (!found) {
      throw new Error(`--case: ${name} is not one of ${CASES.map((each) => each.name).join(', ')}`);
    }
    return { ...found, nodes: options.short ? found.nodes.slice(0, 1) : found.nodes };
  });
}

async function runCase({ name, spec }, node, cwd = root) {
  const startedAt = performance.now();
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--config', 'test/engines/vitest.config.ts', spec];
  const env = { ...process.env, NO_COLOR: '1', BEN_ENGINES_SHORT: options.short ? '1' : '' };
  const { ok, output } = await run(node.binary, args, { cwd, env, timeoutMs: VITEST_TIMEOUT_MS });
  console.log(`\n${output.trim()}\n`);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(`${ok ? 'pass' : 'FAIL'}  ${name} on Node ${node.version} (${seconds} s)`);
  return ok;
}

async function main() {
  const missing = findMissing(ENGINES);
  if (missing.length > 0) {
    console.log(explainMissing(missing));
    if (process.env.CI === 'true') {
      process.exitCode = 1;
      return;
    }
  }
  const cases = selectCases();
  const nodes = await findNodes([...new Set(cases.flatMap((each) => each.nodes))]);
  const results = [];
  for (const each of cases) {
    for (const spec of each.nodes) {
      results.push(
        await runCase(
          each,
          nodes.find((node) => node.spec === spec),
        ),
      );
    }
  }
  process.exitCode = results.every(Boolean) ? 0 : 1;
}

await main();
