/**
 * Starts or tests 04-cores or 05-fleet, which have dependencies of their own.
 *
 *     node tools/sample.mjs 04-cores start [--measure]
 *     node tools/sample.mjs 05-fleet test [files…]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { findNodes } from './support/nodes.mjs';
import { compileSample, prepareSample } from './support/sample.mjs';

/** The first major of Node with `reusePort` in each of its later versions. */
const NODE_OF_CORES = 22;

const SAMPLES = {
  '04-cores': 'some 30 MB to download: Nest, and vitest for its tests',
  '05-fleet': 'some 30 MB to download: Nest, the clients of NATS, and vitest for its tests',
};

const [name = '', command, ...args] = process.argv.slice(2);
const about = SAMPLES[/** @type {keyof typeof SAMPLES} */ (name)];
if (about === undefined) {
  throw new Error(`unknown sample "${name}": use one of ${Object.keys(SAMPLES).join(', ')}`);
}
if (command !== 'start' && command !== 'test') {
  throw new Error(`unknown command "${command}": use "start" or "test"`);
}
const cwd = await prepareSample(name, about);
const node = name === '04-cores' ? await findNodeOfCores() : process.execPath;
if (command === 'start') {
  await runHere('dist/main.js', args);
} else {
  await compileSample(cwd, '-p', 'test');
  await runHere('node_modules/vitest/vitest.mjs', ['run', ...args]);
}

async function findNodeOfCores() {
  if (Number.parseInt(process.versions.node, 10) >= NODE_OF_CORES) {
    return process.execPath;
  }
  console.log(
    `Node ${process.versions.node} can't share a port between processes. Using Node ${NODE_OF_CORES} from npm.`,
  );
  const nodes = await findNodes([`${NODE_OF_CORES}`]);
  return nodes.get(`${NODE_OF_CORES}`)?.binary ?? process.execPath;
}

/**
 * In this terminal, to its end; Ctrl+C reaches it too.
 *
 * @param {string} program
 * @param {string[]} programArgs
 */
async function runHere(program, programArgs) {
  const child = spawn(node, [program, ...programArgs], { cwd, stdio: 'inherit' });
  // Its own handlers end it, and this process ends with it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => signal !== 'SIGINT' && child.kill(/** @type {NodeJS.Signals} */ (signal)));
  }
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
}
