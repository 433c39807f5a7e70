/**
 * Runs the specs in this folder, which need another Node, servers, or root. Installs the versions of Node and Nest into a cache in the
 * folder of temporary files, and starts every server itself, on loopback and on free ports.
 *
 *     npm run test:engines
 *     npm run test:engines -- --short                  what .ci/run runs
 *     npm run test:engines -- --case reuse-port        one case
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../../tools/support/pack.mjs';
import { run } from '../../tools/support/run.mjs';
import { findNodes } from '../../tools/support/nodes.mjs';
import { withProjectOnNest } from '../../tools/support/project-on-nest.mjs';
import { prepareSample } from '../../tools/support/sample.mjs';
import { ENGINES, explainMissing, findMissing } from './support/programs.mjs';

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    case: { type: 'string' },
  },
});

/**
 * Versions of Nest, with the libraries of the brokers that each of them loads.
 *
 * @type {Record<string, { version: string, libraries: string[] }>}
 */
const NESTS = {
  11: { version: '11.0.0', libraries: ['nats@2'] },
  12: { version: '12', libraries: ['@nats-io/transport-node@3', 'ioredis@5'] },
};

/**
 * Each case: its spec, the versions of Node on which it runs (the first is that of the short run), and of Nest if not that of this folder.
 * A sample has specs, a Nest and a vitest of its own. The short run leaves out the measurements, which take minutes.
 *
 * @typedef {{ name: string, spec?: string, sample?: string, nodes: string[], nest?: string, isLong?: boolean }} EngineCase
 * @type {EngineCase[]}
 */
const CASES = [
  // The last two ignore the flag silently.
  { name: 'reuse-port', spec: 'test/engines/reuse-port.spec.ts', nodes: ['22', '24', '22.11', '20'] },
  { name: 'relay-11', spec: 'test/engines/relay.spec.ts', nodes: ['22'], nest: '11' },
  { name: 'relay-12', spec: 'test/engines/relay.spec.ts', nodes: ['22'], nest: '12' },
  { name: 'relay-load', spec: 'test/engines/relay-load.spec.ts', nodes: ['22'], nest: '12', isLong: true },
  { name: 'nginx', spec: 'test/engines/nginx.spec.ts', nodes: ['22'] },
  { name: 'cores', sample: '04-cores', nodes: ['22', '24'] },
  { name: 'fleet', sample: '05-fleet', nodes: ['22'] },
];

const VITEST_TIMEOUT_MS = 600_000;

function selectCases() {
  const usual = CASES.filter(({ isLong }) => !(options.short && isLong));
  const names = options.case?.split(',') ?? usual.map(({ name }) => name);
  return names.map((name) => {
    const found = CASES.find((each) => each.name === name);
    if (!found) {
      throw new Error(`--case: ${name} is not one of ${CASES.map((each) => each.name).join(', ')}`);
    }
    return { ...found, nodes: options.short ? found.nodes.slice(0, 1) : found.nodes };
  });
}

/**
 * @param {EngineCase} each
 * @param {{ binary: string, version: string }} node
 */
async function runCase(each, node) {
  const startedAt = performance.now();
  const { ok, output } = await runSpecs(each, node);
  console.log(`\n${output.trim()}\n`);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(`${ok ? 'pass' : 'FAIL'}  ${each.name} on Node ${node.version} (${seconds} s)`);
  return ok;
}

/**
 * @param {EngineCase} each
 * @param {{ binary: string, version: string }} node
 */
async function runSpecs({ spec = '', sample, nest }, node) {
  const env = { ...process.env, BEN_NEST: nest, NO_COLOR: '1', BEN_ENGINES_SHORT: options.short ? '1' : '' };
  const runVitest = (/** @type {string} */ cwd, /** @type {string} */ home, /** @type {string[]} */ ...args) =>
    run(node.binary, [join(home, 'node_modules/vitest/vitest.mjs'), 'run', ...args], {
      cwd,
      env,
      timeoutMs: VITEST_TIMEOUT_MS,
    });
  if (sample) {
    const cwd = await prepareSample(sample, 'some 30 MB to download');
    return runVitest(cwd, cwd);
  }
  const args = ['--config', 'test/engines/vitest.config.ts', spec];
  if (nest) {
    const { version, libraries } = NESTS[nest];
    return withProjectOnNest(version, libraries, (cwd) => runVitest(cwd, root, ...args));
  }
  return runVitest(root, root, ...args);
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
      results.push(await runCase(each, /** @type {{ binary: string, version: string }} */ (nodes.get(spec))));
    }
  }
  process.exitCode = results.every(Boolean) ? 0 : 1;
}

await main();
