/** Reads the documentation: pages, blocks of code and tables. */
import { readFileSync, readdirSync } from 'node:fs';
import { extname, join, relative } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

/** Every page, relative to the root. */
export const PAGES = [
  'README.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'sample/README.md',
  'sample/04-cores/README.md',
  'sample/05-fleet/README.md',
  'sample/06-dashboard/README.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
].filter((page) => page.endsWith('.md'));

const FOLDERS = ['.ci', '.github', 'bench', 'device', 'docs', 'lib', 'sample', 'test', 'tools'];
const TEXT = new Set(['', '.json', '.md', '.mjs', '.py', '.ts', '.yml']);

/** Pages, code and workflows, relative to the root; without recordings and inputs of the fuzzer. */
export const TEXT_FILES: readonly string[] = [
  ...PAGES.filter((page) => !page.startsWith('docs/')),
  'package.json',
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && TEXT.has(extname(entry.name)))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/')),
  ),
].filter((file) => !/^test\/(fuzz\/(corpus|failures)|vectors)\/|\/(node_modules|dist|data)\//.test(file));

export interface Block {
  readonly page: string;
  /** The first line of the code, from 1. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** The text of the hidden comment right above the block; see code.spec.ts. */
  readonly note: string | undefined;
}

const FENCE = /(?:<!--([^>]*?)-->\s*\n\s*\n)?^( *)```(\w+)\n(.*?)^ *```$/gms;

export function readBlocks(page: string): Block[] {
  const text = readPage(page);
  return [...text.matchAll(FENCE)].map(({ 0: whole, 1: note, 2: indent, 3: language, 4: code, index }) => ({
    page,
    line: text.slice(0, index + whole.indexOf('```')).split('\n').length + 1,
    language: language!,
    code: code!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    note: note?.trim(),
  }));
}

export function readPage(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

/** A page without its blocks of code. */
export function readProse(page: string): string {
  return readPage(page).replaceAll(FENCE, '');
}

/** The rows of the table under a heading, each as its cells, without the head of the table. */
export function readTable(page: string, heading: string): string[][] {
  const [, section] = readPage(page).split(`\n## ${heading}\n`);
  const lines = section!
    .split(/\n## /)[0]!
    .split('\n')
    .filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}
