/**
 * The counts of `bench:guard` by commit, one JSON file for each release, so that a slow growth is seen that no single commit shows.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = `${root}bench/history/`;

/**
 * @typedef {object} Entry
 * @property {string} commit its short hash, with `+` behind if files were changed since
 * @property {string} date
 * @property {string} node
 * @property {Record<string, Record<string, number>>} counts by exchange and by kind
 */

const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

const pathOfRelease = () => `${folder}${version}.json`;

/** @returns {Entry[]} oldest first */
export function readHistory() {
  return existsSync(pathOfRelease()) ? JSON.parse(readFileSync(pathOfRelease(), 'utf8')) : [];
}

/**
 * Keeps the counts of this checkout, under the release that package.json names.
 *
 * @param {Entry['counts']} counts
 */
export function record(counts) {
  const commit = describeCommit();
  const entry = { commit, date: new Date().toISOString().slice(0, 10), node: process.version, counts };
  const others = readHistory().filter((other) => other.commit !== commit);
  mkdirSync(folder, { recursive: true });
  writeFileSync(pathOfRelease(), `${JSON.stringify([...others, entry], undefined, 2)}\n`);
}

function describeCommit() {
  const git = (...args) => execFileSync('git', args, { cwd: root }).toString().trim();
  const isChanged = git('status', '--porcelain', '--', 'lib').length > 0;
  return `${git('rev-parse', '--short', 'HEAD')}${isChanged ? '+' : ''}`;
}
