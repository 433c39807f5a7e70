/**
 * The counts of `bench:guard` by commit, one JSON file for each release, so that a slow growth is seen that no single commit shows.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const ownFolder = join(root, 'bench/history');
/** @type {{ version: string }} */
const { version: ownVersion } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/**
 * @typedef {object} Entry
 * @property {string} commit its short hash, with `+` behind if files were changed since
 * @property {string} date
 * @property {string} node
 * @property {Record<string, Record<string, number>>} counts by exchange and by kind
 */

/**
 * Of all releases, so that the first commit of a release is held against the release before it.
 *
 * @returns {Entry[]} oldest first
 */
export function readHistory(folder = ownFolder) {
  return releasesIn(folder).flatMap((release) => readRelease(folder, release));
}

/**
 * Keeps the counts of this checkout, under the release that package.json names.
 *
 * @param {Entry['counts']} counts
 */
export function record(counts, { folder = ownFolder, version = ownVersion, commit = describeCommit() } = {}) {
  const entry = { commit, date: new Date().toISOString().slice(0, 10), node: process.version, counts };
  mkdirSync(folder, { recursive: true });
  const kept = releasesIn(folder).includes(version) ? readRelease(folder, version) : [];
  const others = kept.filter((other) => other.commit !== commit);
  writeFileSync(pathOf(folder, version), `${JSON.stringify([...others, entry], undefined, 2)}\n`);
}

const pathOf = (/** @type {string} */ folder, /** @type {string} */ release) => join(folder, `${release}.json`);

/**
 * @param {string} folder
 * @param {string} release
 * @returns {Entry[]}
 */
const readRelease = (folder, release) => JSON.parse(readFileSync(pathOf(folder, release), 'utf8'));

/**
 * The oldest first: 0.9.0 before 0.10.0.
 *
 * @param {string} folder
 */
function releasesIn(folder) {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return names.map((name) => name.slice(0, -'.json'.length)).toSorted((one, other) => byNumbers.compare(one, other));
}

const byNumbers = new Intl.Collator('en', { numeric: true });

function describeCommit() {
  const git = (/** @type {string[]} */ ...args) => execFileSync('git', args, { cwd: root }).toString().trim();
  const isChanged = git('status', '--porcelain', '--', 'lib').length > 0;
  return `${git('rev-parse', '--short', 'HEAD')}${isChanged ? '+' : ''}`;
}
