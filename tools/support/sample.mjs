/**
 * The samples that have dependencies of their own. This package is not among them: its working copy is packed and installed, so that
 * the app loads one copy of Nest, as it would from the registry.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packInto, root } from './pack.mjs';
import { mustRun } from './run.mjs';

const NPM_QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];
const INSTALL_TIMEOUT_MS = 600_000;

const DEPENDENCIES = '.';
/** Its stamp is in its folder, because a later `npm install` in the sample removes both. */
const PACKAGE = 'nestjs-ben-udp';
/** The sources of the package. If one of them changes, it is packed and installed again. */
const PACKED_FOLDERS = ['lib', 'device', 'sample/device'];
const PACKED_FILES = ['package.json', 'nest-cli.json', 'tsconfig.json', 'README.md', 'LICENSE'];

/**
 * Installs a sample and compiles it. Resolves to its folder.
 *
 * @param {string} name
 * @param {string} about the size and the contents of its dependencies
 */
export async function prepareSample(name, about) {
  const sample = join(root, 'sample', name);
  await installDependencies(sample, name, about);
  await installPackage(sample, name);
  await compileSample(sample);
  return sample;
}

/**
 * @param {string} sample its folder.
 * @param {...string} options of the compiler, such as `-p test`.
 */
export async function compileSample(sample, ...options) {
  const tsc = join(sample, 'node_modules', 'typescript', 'bin', 'tsc');
  await mustRun(process.execPath, [tsc, ...options], { cwd: sample });
}

/**
 * A file in node_modules that has the hash of the source that was installed.
 *
 * @param {string} sample
 * @param {string} name
 */
const stampOf = (sample, name) => join(sample, 'node_modules', name, '.sha256');

/**
 * @param {string} sample
 * @param {string} name
 * @param {string} hash
 */
async function isInstalled(sample, name, hash) {
  return (await readFile(stampOf(sample, name), 'utf8').catch(() => '')) === hash;
}

/** @param {string[]} paths */
async function hashFiles(paths) {
  const hash = createHash('sha256');
  for (const path of paths) {
    hash.update(path).update(await readFile(path));
  }
  return hash.digest('hex');
}

/**
 * @param {string} sample
 * @param {string} name
 * @param {string} about
 */
async function installDependencies(sample, name, about) {
  const lockFile = join(sample, 'package-lock.json');
  const hash = await hashFiles([lockFile]);
  if (await isInstalled(sample, DEPENDENCIES, hash)) {
    return;
  }
  const { packages } = JSON.parse(await readFile(lockFile, 'utf8'));
  console.log(
    `Installing the dependencies of the sample into sample/${name}/node_modules, once: ${Object.keys(packages).length - 1} packages, ` +
      `${about}.`,
  );
  await mustRun('npm', ['ci', ...NPM_QUIET], { cwd: sample, timeoutMs: INSTALL_TIMEOUT_MS });
  await writeFile(stampOf(sample, DEPENDENCIES), hash);
}

/**
 * @param {string} sample
 * @param {string} name
 */
async function installPackage(sample, name) {
  const trees = PACKED_FOLDERS.map((folder) => readdir(join(root, folder), { recursive: true, withFileTypes: true }));
  const files = (await Promise.all(trees)).flat().filter((entry) => entry.isFile());
  const sources = files.map((entry) => join(entry.parentPath, entry.name)).toSorted();
  const hash = await hashFiles([...sources, ...PACKED_FILES.map((file) => join(root, file))]);
  if (await isInstalled(sample, PACKAGE, hash)) {
    return;
  }
  console.log(`Installing nestjs-ben-udp, packed from here, into sample/${name}.`);
  const tarball = await packOnce(hash);
  const args = ['install', '--no-save', '--no-package-lock', ...NPM_QUIET, tarball];
  await mustRun('npm', args, { cwd: sample, timeoutMs: INSTALL_TIMEOUT_MS });
  await writeFile(stampOf(sample, PACKAGE), hash);
}

/**
 * A pack takes a build, and each of these samples needs the same one.
 *
 * @param {string} hash
 */
async function packOnce(hash) {
  const folder = join(tmpdir(), 'nestjs-ben-udp-pack');
  const tarball = join(folder, `nestjs-ben-udp-${hash}.tgz`);
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).includes(`nestjs-ben-udp-${hash}.tgz`)) {
    return tarball;
  }
  const fresh = await mkdtemp(join(folder, 'new-'));
  try {
    await rename(await packInto(fresh), tarball);
  } finally {
    await rm(fresh, { recursive: true });
  }
  return tarball;
}
