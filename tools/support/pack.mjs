/** The package as npm would publish it. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun } from './run.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Builds and packs into `folder`; the path of the tarball. */
export async function packInto(folder) {
  await mustRun('npm', ['pack', '--pack-destination', folder], { cwd: root });
  const [tarball, ...others] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
  if (!tarball || others.length > 0) {
    throw new Error(`npm pack should have left one tarball in ${folder}`);
  }
  return join(folder, tarball);
}
