/** What pages, comments and workflows say about scripts, files and Node versions exists. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PAGES, TEXT_FILES, readPage, root } from './pages.js';

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
}

const { scripts } = JSON.parse(readPage('package.json')) as Manifest;

const GROUPS = new Set(['start', 'build', 'test', 'bench', 'docs', 'check']);
const ALONE = new Set(['dashboard', 'device', 'format', 'prepack']);

describe('scripts', () => {
  it('are named by their group', () => {
    const wrong = Object.keys(scripts).filter((name) => !ALONE.has(name) && !GROUPS.has(name.split(':')[0]!));
    expect(wrong).toEqual([]);
  });

  it('run files that exist', () => {
    const paths = Object.values(scripts).flatMap((command) => command.match(/\b[\w./-]+\.(mjs|ts|json)\b/g) ?? []);
    expect(paths.length).toBeGreaterThan(10);
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('exist wherever a text names one', () => {
    const named = TEXT_FILES.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/npm run (?:-s )?([a-z][\w:]*)(?![\w:*])/g)].map(
        ([, name]) => ({ file, name: name! }),
      ),
    );
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter(({ name }) => scripts[name] === undefined)).toEqual([]);
  });

  it('are all in CONTRIBUTING.md', () => {
    const text = readPage('CONTRIBUTING.md');
    const internal = new Set(['prepack', 'build:esm']);
    const commandOf = (name: string) => (name === 'test' || name === 'start' ? `npm ${name}` : `npm run ${name}`);
    const missing = Object.keys(scripts).filter(
      (name) => !internal.has(name) && !text.includes(`\`${commandOf(name)}`),
    );
    expect(missing).toEqual([]);
  });
});

describe('pages', () => {
  // The changelog names files that were renamed.
  it.each(PAGES.filter((page) => page !== 'CHANGELOG.md'))('%s names files and folders that exist', (page) => {
    const named = [...readPage(page).matchAll(/`((?:lib|test|tools|bench|sample|docs|\.ci|\.github)\/[\w./-]*)`/g)];
    expect(named.map(([, path]) => path!).filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

describe('workflows', () => {
  it('run .ci/run on each major version of Node that the package supports', () => {
    const { engines } = JSON.parse(readPage('package.json')) as Manifest;
    expect(engines.node).toBe('^20.19.0 || >=22.12.0');
    const workflow = readPage('.github/workflows/ci.yml');
    expect(workflow).toContain('node: [20, 22, 24]');
    expect(workflow).toContain('- run: .ci/run\n');
  });

  it('ask for the output of doctor in a bug report', () => {
    expect(readPage('.github/ISSUE_TEMPLATE/bug.yml')).toContain('npx nestjs-ben-udp doctor');
  });
});

describe('README.md', () => {
  it('stays short: 60 lines for the first steps, and 150 below', () => {
    expect(readPage('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(210);
  });
});

describe('docs/architecture.md and its picture', () => {
  it.each(readdirSync(join(root, 'lib'), { withFileTypes: true }).filter((entry) => entry.isDirectory()))(
    'show lib/$name',
    ({ name }) => {
      expect(readPage('docs/architecture.md')).toContain(`| \`lib/${name}/\``);
      expect(readPage('docs/architecture.svg')).toContain(`>lib/${name}<`);
    },
  );
});

describe('CONTRIBUTING.md', () => {
  it('maps folders that exist, and every folder of lib', () => {
    const rows = readPage('CONTRIBUTING.md').matchAll(/^\| `([\w./-]+\/)`/gm);
    const folders = [...rows].map(([, folder]) => folder!);
    expect(folders.length).toBeGreaterThan(10);
    expect(folders.filter((folder) => !existsSync(join(root, folder)))).toEqual([]);
    const ofLib = readdirSync(join(root, 'lib'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(ofLib.map(({ name }) => `lib/${name}/`).filter((folder) => !folders.includes(folder))).toEqual([]);
  });
});
