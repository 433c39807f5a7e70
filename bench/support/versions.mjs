/**
 * Versions of this package, each compiled into a folder of its own by the tools of this checkout. Both sides of a comparison are
 * made in the same way, and a build of the checkout meanwhile does not disturb it.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

const SOURCES = ['lib', 'package.json', 'tsconfig.json'];

/** A repository is small; what `git archive` writes is larger than the default of 1 MiB. */
const MAX_ARCHIVE_BYTES = 2 ** 28;

/** The entry of a package that does not name one. */
const USUAL_ENTRY = './dist/esm/index.js';

/**
 * @typedef {object} Version
 * @property {string} commit its short hash, with `+` behind if files were changed since
 * @property {string} lib the URL of its entry
 */

/**
 * @param {string} revision a tag, a branch or a commit
 * @param {string} folder to create
 * @returns {Version}
 * @throws Error naming the revision
 */
export function buildRevision(revision, folder) {
  const commit = findCommit(revision);
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['-x', '-C', folder], { input: git('archive', commit, '--', ...SOURCES) });
  return { commit, lib: compile(folder) };
}

/**
 * The checkout as it is, changes included.
 *
 * @param {string} folder to create
 * @returns {Version}
 */
export function buildCheckout(folder) {
  for (const source of SOURCES) {
    cpSync(join(root, source), join(folder, source), { recursive: true });
  }
  const isChanged = git('status', '--porcelain', '--', ...SOURCES).length > 0;
  return { commit: `${findCommit('HEAD')}${isChanged ? '+' : ''}`, lib: compile(folder) };
}

/** @param {string} revision */
function findCommit(revision) {
  try {
    return git('rev-parse', '--verify', '--short', '--end-of-options', `${revision}^{commit}`).toString().trim();
  } catch (cause) {
    throw new Error(`"${revision}" is no tag, branch or commit of this repository`, { cause });
  }
}

/** @param {string[]} args */
function git(...args) {
  return execFileSync('git', args, { cwd: root, maxBuffer: MAX_ARCHIVE_BYTES, stdio: ['ignore', 'pipe', 'pipe'] });
}

/**
 * @returns {string} the URL of the entry
 * @param {string} folder
 */
function compile(folder) {
  // The library finds Nest there, and the compiler the types of Node.
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  // An earlier version need not pass the checks of today's compiler.
  const options = ['--project', 'lib/tsconfig.json', '--outDir', 'dist/esm', '--noCheck', '--declaration', 'false'];
  execFileSync(process.execPath, [compiler, ...options], { cwd: folder, stdio: ['ignore', 2, 2] });
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const entry = join(folder, exports?.['.']?.import?.default ?? USUAL_ENTRY);
  if (!existsSync(entry)) {
    throw new Error(`the compiler did not write ${entry}, which package.json names`);
  }
  return pathToFileURL(entry).href;
}
