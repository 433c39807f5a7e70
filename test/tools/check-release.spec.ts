/** What keeps a release from being published. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../../tools/support/run.mjs';
import { TEXT_FILES, readPage, root } from '../docs/pages.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const FILES = {
  'package.json': '{ "version": "1.2.3", "author": "Boards Ltd" }',
  'device/package.json': '',
  'docs/protocol-v2.md': '',
  'CHANGELOG.md': '# Changelog\n\n## [1.2.3] - 2030-01-31\n',
  'tools/typedoc.json': '',
  '.github/ISSUE_TEMPLATE/config.yml': '',
  '.github/ISSUE_TEMPLATE/bug.yml': '',
};

const HISTORY = 'bench/history/1.2.3.json';

async function check(files: Record<string, string>, ...args: string[]): Promise<{ ok: boolean; output: string }> {
  const folder = await temporaryFolder();
  for (const [path, text] of Object.entries({ ...FILES, [HISTORY]: '[]', ...files })) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return run(process.execPath, [join(root, 'tools/check-release.mjs'), '--root', folder, ...args]);
}

describe('check-release', () => {
  it('passes if the tag, package.json and CHANGELOG.md agree', async () => {
    expect(await check({}, '--tag', 'v1.2.3')).toEqual({ ok: true, output: '' });
  });

  it.each(Object.keys(FILES) as Array<keyof typeof FILES>)('fails if %s has the placeholder', async (file) => {
    const placeholder = file === 'package.json' ? '{ "version": "1.2.3", "author": "ORGANISATION" }' : 'ORGANISATION';
    const text = file === 'CHANGELOG.md' ? FILES[file] + placeholder : placeholder;
    expect(await check({ [file]: text })).toEqual({
      ok: false,
      output: `${file}: replace ORGANISATION by the name of the organisation\n`,
    });
  });

  it('fails if the tag is of another version', async () => {
    const { ok, output } = await check({}, '--tag', 'v1.2.4');
    expect(ok).toBe(false);
    expect(output).toBe('the tag is v1.2.4, but package.json has version 1.2.3\n');
  });

  it.each(['# Changelog\n', '# Changelog\n\n## [1.2.3] - unreleased\n'])(
    'fails without a dated section: %j',
    async (log) => {
      const { ok, output } = await check({ 'CHANGELOG.md': log });
      expect(ok).toBe(false);
      expect(output).toBe('CHANGELOG.md has no dated section for 1.2.3: "## [1.2.3] - YYYY-MM-DD"\n');
    },
  );

  it('fails if the cost of an exchange is not recorded for the version', async () => {
    const { ok, output } = await check({
      'package.json': '{ "version": "1.2.4" }',
      'CHANGELOG.md': '# Changelog\n\n## [1.2.4] - 2030-01-31\n',
    });
    expect(ok).toBe(false);
    expect(output).toBe('bench/history/1.2.4.json is missing: npm run bench:guard -- --record\n');
  });

  it('looks into every file that has the placeholder, except for those that explain it', () => {
    const explaining = [
      'CONTRIBUTING.md',
      '.github/workflows/release.yml',
      'tools/check-release.mjs',
      'test/tools/check-release.spec.ts',
    ];
    const found = TEXT_FILES.filter((file) => readPage(file).includes('ORGANISATION'));
    expect(found.toSorted()).toEqual([...Object.keys(FILES), ...explaining].toSorted());
  });

  it('is a step of the release workflow, before anything is published', () => {
    const workflow = readPage('.github/workflows/release.yml');
    expect(workflow.indexOf('check-release.mjs')).toBeGreaterThan(0);
    expect(workflow.indexOf('check-release.mjs')).toBeLessThan(workflow.indexOf('npm publish --provenance'));
    expect(workflow).toContain('id-token: write');
  });
});
