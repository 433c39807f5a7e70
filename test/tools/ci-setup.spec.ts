/** `.ci/setup`, with a PATH that has only what each test puts there, so that nothing is installed. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { root } from '../docs/pages.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const PROGRAMS = ['bash', 'env', 'mktemp', 'rm', 'tail'];

interface Machine {
  readonly ci?: string;
  /** Scripts that stand in for programs, by name. */
  readonly programs?: Readonly<Record<string, string>>;
}

/** @returns the output of the script, and the calls of apt-get. */
async function runSetup({ ci = '', programs = {} }: Machine): Promise<{ output: string; calls: string }> {
  const folder = await temporaryFolder();
  const bin = join(folder, 'bin');
  const calls = join(folder, 'calls');
  await mkdir(bin);
  for (const name of PROGRAMS) {
    await symlink(['/usr/bin', '/bin'].map((path) => join(path, name)).find(existsSync)!, join(bin, name));
  }
  for (const [name, body] of Object.entries(programs)) {
    await writeFile(join(bin, name), `#!/usr/bin/env bash\n${body}\n`);
    await chmod(join(bin, name), 0o755);
  }
  const env = { PATH: bin, CI: ci, CALLS: calls, TMPDIR: folder };
  // Rejects if the exit code is not 0.
  const { stdout } = await promisify(execFile)(join(root, '.ci/setup'), { env });
  return { output: stdout, calls: existsSync(calls) ? await readFile(calls, 'utf8') : '' };
}

const ROOT = 'echo 0';
const APT_GET = 'echo "$*" >>"$CALLS"';

describe.skipIf(process.platform === 'win32')('.ci/setup (a shell script, so not on Windows)', () => {
  it('installs nothing outside of CI', async () => {
    const { output, calls } = await runSetup({ programs: { 'apt-get': APT_GET, id: ROOT } });
    expect(output).toMatch(/^setup: not installed: .*chromium/);
    expect(calls).toBe('');
  });

  it('installs each missing package by itself in CI', async () => {
    const { output, calls } = await runSetup({ ci: 'true', programs: { 'apt-get': APT_GET, id: ROOT } });
    expect(output).toMatch(/^setup: installing .*chromium\n$/);
    expect(calls).toMatch(/^-qq .* update$/m);
    expect(calls).toMatch(/^-qq .* install -y --no-install-recommends chromium$/m);
  });

  it('goes on if a package can not be installed, and names it', async () => {
    const apt = '[[ "$*" == *update ]] || { echo "E: no such package"; exit 100; }';
    const { output } = await runSetup({ ci: 'true', programs: { 'apt-get': apt, id: ROOT } });
    expect(output).toContain('E: no such package\nsetup: could not install chromium\n');
  });

  it('goes on with a message if there is no apt-get', async () => {
    const { output } = await runSetup({ ci: 'true', programs: { id: ROOT } });
    expect(output).toMatch(/^setup: this machine has no apt-get\. Install by hand: .*chromium\n$/);
  });

  it('goes on with a message if it may not become root', async () => {
    const { output, calls } = await runSetup({ ci: 'true', programs: { 'apt-get': APT_GET, id: 'echo 1000' } });
    expect(output).toMatch(/^setup: neither root nor sudo\. Install by hand: .*chromium\n$/);
    expect(calls).toBe('');
  });
});
