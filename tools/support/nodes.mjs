/** Other versions of Node, from npm, in a cache in the folder of temporary files. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installNodes } from '../consumers/project.mjs';

export const CACHE = join(tmpdir(), 'nestjs-ben-udp-engines');

/** @typedef {import('../consumers/project.mjs').InstalledNode} InstalledNode */

/**
 * @param {string[]} majors
 * @returns {Promise<Map<string, InstalledNode>>} by major; those in the cache are used again.
 */
export async function findNodes(majors) {
  const nodes = await installed(majors);
  return new Map(nodes.map((node) => [node.spec, node]));
}

/** @param {string[]} majors */
async function installed(majors) {
  const folder = join(CACHE, 'nodes');
  const marker = join(folder, 'installed.json');
  await mkdir(folder, { recursive: true });
  /** @type {InstalledNode[]} */
  const known = await readFile(marker, 'utf8').then(JSON.parse, () => []);
  // The Node that ran when the cache was written need not be here any more.
  const cached = known.filter(({ binary }) => existsSync(binary));
  if (majors.every((major) => cached.some(({ spec }) => spec === major))) {
    return cached;
  }
  const nodes = await installNodes([...new Set([...cached.map(({ spec }) => spec), ...majors])], folder);
  await writeFile(marker, JSON.stringify(nodes));
  return nodes;
}
