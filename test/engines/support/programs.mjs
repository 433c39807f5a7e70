/** The programs that the specs of this folder need, and how to get them. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs by name, with the Debian packages that have them. */
export const ENGINES = {
  'nats-server': ['nats-server'],
  'redis-server': ['redis-server'],
  nginx: ['nginx', 'libnginx-mod-stream'],
  ip: ['iproute2'],
  nft: ['nftables'],
};

/** Debian has parts of some programs in packages of their own. The program without the part is as good as missing. */
const PARTS = { nginx: '/usr/lib/nginx/modules/ngx_stream_module.so' };

/** Debian puts servers into sbin, which the PATH of a user often lacks. */
const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];

/**
 * @param {string} program
 * @returns {string | undefined} its path.
 */
export function findProgram(program) {
  return FOLDERS.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

/** @param {object} engines */
export function findMissing(engines) {
  return Object.keys(engines).filter((program) => !isInstalled(program));
}

/** @param {string} program */
export function isInstalled(program) {
  const part = PARTS[/** @type {keyof typeof PARTS} */ (program)];
  return findProgram(program) !== undefined && (part === undefined || existsSync(part));
}

/** @param {readonly string[]} programs */
export function explainMissing(programs) {
  const packages = programs.flatMap((program) => ENGINES[/** @type {keyof typeof ENGINES} */ (program)]);
  return (
    `Not installed: ${programs.join(', ')}. The specs that need them are ${process.env['CI'] === 'true' ? 'a failure in CI' : 'skipped'}.\n` +
    `On Debian and Ubuntu: sudo apt-get install --no-install-recommends ${packages.join(' ')}`
  );
}
