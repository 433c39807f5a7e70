/**
 * Starts or tests sample/06-dashboard. The sample has dependencies of its own. This package is not among them: its working copy is packed
 * and installed, so that the app loads one copy of Nest, as it would from the registry.
 *
 *     node tools/dashboard.mjs start [--demo]
 *     node tools/dashboard.mjs test [--long] [files…]
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packInto, root } from './support/pack.mjs';
import { mustRun } from './support/run.mjs';

const sample = join(root, 'sample', '06-dashboard');
const NPM_QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];
const INSTALL_TIMEOUT_MS = 600_000;

/** A file in node_modules that has the hash of the source that was installed. */
const stampOf = (name) => join(sample, 'node_modules', `.${name}.sha256`);

async function hashFiles(paths) {
  const hash = createHash('sha256');
  for (const path of paths) {
    hash.update(path).update(await readFile(path));
  }
  return hash.digest('hex');
}

async function isInstalled(name, hash) {
  return (await readFile(stampOf(name), 'utf8').catch(() => '')) === hash;
}

async function installDependencies() {
  const hash = await hashFiles([join(sample, 'package-lock.json')]);
  if (await isInstalled('dependencies', hash)) {
    return;
  }
  const { packages } = JSON.parse(await readFile(join(sample, 'package-lock.json'), 'utf8'));
  console.log(
    `Installing the dependencies of the dashboard into sample/06-dashboard/node_modules, once: ${Object.keys(packages).length - 1} ` +
      'packages, some 40 MB to download. Among them are PGlite (PostgreSQL as WebAssembly), Drizzle, Nest, Preact and uPlot.',
  );
  await mustRun('npm', ['ci', ...NPM_QUIET], { cwd: sample, timeoutMs: INSTALL_TIMEOUT_MS });
  await writeFile(stampOf('dependencies'), hash);
}

async function installPackage() {
  const lib = await readdir(join(root, 'lib'), { recursive: true, withFileTypes: true });
  const sources = lib.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hash = await hashFiles([...sources.toSorted(), join(root, 'package.json')]);
  if (await isInstalled('nestjs-ben-udp', hash)) {
    return;
  }
  console.log('Packing nestjs-ben-udp, and installing it into the dashboard.');
  const folder = await mkdtemp(join(tmpdir(), 'dashboard-pack-'));
  try {
    const tarball = await packInto(folder);
    const args = ['install', '--no-save', '--no-package-lock', ...NPM_QUIET, tarball];
    await mustRun('npm', args, { cwd: sample, timeoutMs: INSTALL_TIMEOUT_MS });
  } finally {
    await rm(folder, { recursive: true });
  }
  await writeFile(stampOf('nestjs-ben-udp'), hash);
}

/** In this terminal, to its end; Ctrl+C reaches it too. */
async function runHere(program, args, env = process.env) {
  const child = spawn(process.execPath, [program, ...args], { cwd: sample, env, stdio: 'inherit' });
  // Its own handlers end it, and this process ends with it.
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => signal === 'SIGTERM' && child.kill(signal));
  }
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
}

const [command, ...args] = process.argv.slice(2);
if (command !== 'start' && command !== 'test') {
  throw new Error(`unknown command "${command}": use "start" or "test"`);
}
await installDependencies();
await installPackage();
await mustRun(process.execPath, [join(sample, 'node_modules', 'typescript', 'bin', 'tsc')], { cwd: sample });
if (command === 'start') {
  await runHere('dist/main.js', args);
} else {
  const files = args.filter((arg) => arg !== '--long');
  const env = { ...process.env, ...(args.includes('--long') && { DASHBOARD_LONG: '1' }) };
  await runHere('node_modules/vitest/vitest.mjs', ['run', ...files], env);
}
