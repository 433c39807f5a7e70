/** The package as npm would publish it. */
import { copyFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun } from './run.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Builds and packs into `folder`; the path of the tarball. `BEN_TARBALL` names one that was packed before: a run of many checks builds
 * once.
 *
 * @param {string} folder
 */
export async function packInto(folder) {
  const packed = process.env['BEN_TARBALL'];
  if (packed) {
    const copy = join(folder, basename(packed));
    await copyFile(packed, copy);
    return copy;
  }
  await mustRun('npm', ['pack', '--pack-destination', folder], { cwd: root });
  const [tarball, ...others] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
  if (!tarball || others.length > 0) {
    throw new Error(`npm pack should have left one tarball in ${folder}`);
  }
  return join(folder, tarball);
}
