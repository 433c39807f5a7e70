/** The throw-away projects: one folder for each version of Nest, and in it one for each format. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun, run } from '../support/run.mjs';
import { DEPENDENCIES, LIMITS } from './matrix.mjs';

const templates = fileURLToPath(new URL('templates', import.meta.url));

const NPM_INSTALL = ['install', '--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];

/** Longest time for one cell, in which it also has to end by itself. */
const CELL_TIMEOUT_MS = 60_000;

/**
 * @typedef {import('./matrix.mjs').Nest} Nest
 * @typedef {import('./matrix.mjs').Format} Format
 * @typedef {{ spec: string, version: string, binary: string }} InstalledNode
 * @typedef {{ outcome: 'pass' | 'limit' | 'fail', reason?: string, output: string }} CellResult
 */

/**
 * Finds the running Node, and fetches others.
 *
 * @param {string[]} specs majors or exact versions
 * @param {string} folder
 * @returns {Promise<InstalledNode[]>}
 */
export async function installNodes(specs, folder) {
  const isRunning = (/** @type {string} */ spec) =>
    process.versions.node === spec || process.versions.node.startsWith(`${spec}.`);
  const aliasOf = (/** @type {string} */ spec) => `node-${spec}`;
  const others = specs.filter((spec) => !isRunning(spec));
  await writeJson(join(folder, 'package.json'), {
    private: true,
    // The package of this platform holds Node itself; the one called "node" would fetch it in an install script.
    dependencies: Object.fromEntries(
      others.map((spec) => [aliasOf(spec), `npm:node-${process.platform}-${process.arch}@${spec}`]),
    ),
  });
  if (others.length > 0) {
    await mustRun('npm', NPM_INSTALL, { cwd: folder });
  }
  return Promise.all(
    specs.map(async (spec) => {
      const binary = isRunning(spec) ? process.execPath : join(folder, 'node_modules', aliasOf(spec), 'bin', 'node');
      const version = await mustRun(binary, ['--version']);
      return { spec, version: version.trim().slice(1), binary };
    }),
  );
}

/**
 * Installs a version of Nest with the package.
 *
 * @param {Nest} nest
 * @param {string} folder
 * @param {string} tarball
 * @returns {Promise<Record<string, string>>} the installed versions
 */
export async function installNest({ nest, dependencies }, folder, tarball) {
  const nestPackages = ['common', 'core', 'microservices', 'testing'].map((each) => `@nestjs/${each}`);
  const all = {
    ...Object.fromEntries(nestPackages.map((each) => [each, nest])),
    ...DEPENDENCIES,
    ...dependencies,
  };
  await writeJson(join(folder, 'package.json'), {
    private: true,
    dependencies: { ...all, 'nestjs-ben-udp': `file:${tarball}` },
  });
  await mustRun('npm', NPM_INSTALL, { cwd: folder });
  const versions = await Promise.all(
    Object.keys(all).map(async (each) => {
      const { version } = JSON.parse(await readFile(join(folder, 'node_modules', each, 'package.json'), 'utf8'));
      return [each, version];
    }),
  );
  return Object.fromEntries(versions);
}

/**
 * Writes the project of one format and compiles it.
 *
 * @param {Nest} nest
 * @param {Format} format
 * @param {string} folder
 */
export async function writeProject(nest, { type, files, compilerOptions, checksDeclarations = false }, folder) {
  await mkdir(folder);
  await writeJson(join(folder, 'package.json'), { private: true, type });
  await writeJson(join(folder, 'tsconfig.json'), {
    compilerOptions: { ...nest.compilerOptions, types: ['node'], ...compilerOptions },
  });
  await Promise.all(files.map((file) => copyFile(join(templates, file), join(folder, basename(file)))));
  return compile(folder, !checksDeclarations);
}

/**
 * Where declarations are looked into, which starters do not do, those of other packages still are nobody's concern.
 *
 * @param {string} folder
 * @param {boolean} skipLibCheck
 */
async function compile(folder, skipLibCheck) {
  const tsc = join('..', 'node_modules', 'typescript', 'bin', 'tsc');
  const { output } = await run(process.execPath, [tsc, '--pretty', 'false', '--skipLibCheck', `${skipLibCheck}`], {
    cwd: folder,
  });
  const errors = output
    .split('\n')
    .filter((line) => / error TS\d+:|^error TS\d+:/.test(line))
    .filter((line) => !/^\.\.\/node_modules\/(?!nestjs-ben-udp\/)/.test(line));
  return { ok: errors.length === 0, output: errors.join('\n') };
}

/**
 * Runs a project on one Node.
 *
 * @param {Nest} nest
 * @param {Format} format
 * @param {InstalledNode} node
 * @param {string} folder
 * @returns {Promise<CellResult>}
 */
export async function runProject(nest, { name, command, control }, node, folder) {
  const env = { ...process.env, PATH: `${dirname(node.binary)}${delimiter}${process.env.PATH}`, NO_COLOR: '1' };
  const runThere = (/** @type {string[]} */ args) =>
    run(node.binary, args, { cwd: folder, env, timeoutMs: CELL_TIMEOUT_MS });
  const { ok, output } = await runThere(command(nest));
  if (ok) {
    return { outcome: 'pass', output };
  }
  const alone = control && (await runThere(control(nest)));
  const limit = alone && !alone.ok && LIMITS.find((each) => each.format === name && each.output.test(alone.output));
  return limit ? { outcome: 'limit', reason: limit.reason, output } : { outcome: 'fail', output };
}

/**
 * @param {string} path
 * @param {object} value
 */
function writeJson(path, value) {
  return writeFile(path, JSON.stringify(value, undefined, 2));
}
