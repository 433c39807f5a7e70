/**
 * Starts or tests sample/06-dashboard, which has dependencies of its own.
 *
 *     node tools/dashboard.mjs start [--demo]
 *     node tools/dashboard.mjs test [--long] [--save] [files…]
 *
 * `--save` renews the figures and the pictures in the README of the sample.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { compileSample, prepareSample } from './support/sample.mjs';

const ABOUT =
  'some 40 MB to download. Among them are PGlite (PostgreSQL as WebAssembly), Drizzle, Nest, Preact and uPlot';

const FIGURES = 'figures';

/**
 * In this terminal, to its end; Ctrl+C reaches it too. The exit code of this process is that of the first one that fails.
 *
 * @param {string} program
 * @param {string[]} args
 */
async function runHere(program, args, env = process.env) {
  const child = spawn(process.execPath, [program, ...args], { cwd: sample, env, stdio: 'inherit' });
  // Its own handlers end it, and this process ends with it.
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => signal === 'SIGTERM' && child.kill(signal));
  }
  const [code] = await once(child, 'exit');
  process.exitCode ||= code ?? 1;
}

const [command, ...args] = process.argv.slice(2);
if (command !== 'start' && command !== 'test') {
  throw new Error(`unknown command "${command}": use "start" or "test"`);
}
const sample = await prepareSample('06-dashboard', ABOUT);
if (command === 'start') {
  await runHere('dist/main.js', args);
} else {
  await compileSample(sample, '-p', 'test');
  const files = args.filter((arg) => arg !== '--long' && arg !== '--save');
  const env = { ...process.env };
  if (args.includes('--long')) {
    env.DASHBOARD_LONG = '1';
  }
  if (args.includes('--save')) {
    env.DASHBOARD_SAVE = '1';
  }
  const runTests = (/** @type {string[]} */ ...options) =>
    runHere('node_modules/vitest/vitest.mjs', ['run', ...options], env);
  // Nothing else runs while it measures.
  const others = files.filter((file) => file !== FIGURES);
  if (others.length > 0 || files.length === 0) {
    await runTests('--exclude', `test/${FIGURES}.spec.ts`, ...others);
  }
  if (files.includes(FIGURES) || files.length === 0) {
    await runTests(FIGURES);
  }
}
