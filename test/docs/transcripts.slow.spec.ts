/** Compares the transcripts in docs/command-line.md with a real run. `npm run docs:transcripts` renews them. */
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { compileLib } from '../support/compiled-lib.js';
import { root } from './pages.js';

it.skipIf(process.platform === 'win32')(
  'docs/command-line.md has the output of a real run (needs a POSIX shell, so not on Windows)',
  { timeout: 120_000 },
  async () => {
    const folder = await compileLib();
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const args = [join(root, 'tools/transcripts.mjs'), '--check', '--program', join(folder, 'lib/cli/main.js')];
    // Rejects with the differences.
    await expect(promisify(execFile)(process.execPath, args)).resolves.toMatchObject({ stdout: '', stderr: '' });
  },
);
