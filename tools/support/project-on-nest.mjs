/** Copies of this project that have another Nest. */
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CACHE } from './nodes.mjs';
import { root } from './pack.mjs';
import { mustRun } from './run.mjs';

const NEST_PACKAGES = ['common', 'core', 'microservices', 'platform-express', 'testing'];

/** The files that the specs import. */
const SOURCES = ['lib', 'test', 'tools', 'package.json', 'tsconfig.json'];

/**
 * Copies this project and a version of Nest into a temporary folder, and removes the folder after `use`. The installed Nest alone stays in
 * the cache: links to this project would dangle for the next project that finds them there.
 *
 * @template T
 * @param {string} version of Nest
 * @param {string[]} libraries of brokers, which Nest loads
 * @param {(folder: string) => Promise<T>} use
 */
export async function withProjectOnNest(version, libraries, use) {
  const installed = await installNest(version, libraries);
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-ben-udp-nest-'));
  try {
    // A copy instead of a link, because Nest looks for optional packages next to the real place of its files.
    await cp(installed, join(folder, 'node_modules'), { recursive: true });
    await linkMissingModules(join(root, 'node_modules'), join(folder, 'node_modules'));
    for (const source of SOURCES) {
      await cp(join(root, source), join(folder, source), { recursive: true });
    }
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * @param {string} version
 * @param {string[]} libraries
 * @returns its node_modules
 */
async function installNest(version, libraries) {
  const packages = [
    ...NEST_PACKAGES.map((name) => `@nestjs/${name}@${version}`),
    ...libraries,
    'rxjs@7',
    'reflect-metadata@0.2',
  ];
  const folder = join(CACHE, `nest-${packages.join(',').replaceAll(/[^\w.@,-]/g, '_')}`);
  const marker = join(folder, 'installed');
  if (!(await readFile(marker, 'utf8').catch(() => ''))) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await mustRun('npm', ['install', '--no-audit', '--no-fund', '--no-save', '--prefix', folder, ...packages]);
    await writeFile(marker, packages.join('\n'));
  }
  return join(folder, 'node_modules');
}

/**
 * @param {string} from
 * @param {string} to
 */
async function linkMissingModules(from, to) {
  const present = new Set(await readdir(to));
  // Names with a dot are the working files of npm and Vite, which come and go.
  const missing = (await readdir(from)).filter((name) => !present.has(name) && !name.startsWith('.'));
  await Promise.all(missing.map((name) => symlink(join(from, name), join(to, name))));
}
