/** Code in the documentation is real code: if a block names its source file, the file has the same lines. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

const PAGES = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)];

/** Pages on which every block of TypeScript has a source file. */
const WHOLE_PAGES = ['docs/async-options.md', 'docs/testing.md'];

interface Block {
  readonly source: string | undefined;
  readonly code: string;
}

function readBlocks(page: string): Block[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/(?:<!-- (\S+) -->\n\n)?```ts\n(.*?)```/gs)].map(([, source, code]) => ({
    source,
    code: code!,
  }));
}

/** Lines without indentation, because a page indents them differently. */
function unindent(code: string): string {
  return code.replaceAll(/^[ \t]+/gm, '').trim();
}

it.each(WHOLE_PAGES)('%s names the source file of each block of code', (page) => {
  const blocks = readBlocks(page);
  expect(blocks.length).toBeGreaterThan(0);
  expect(blocks.filter(({ source }) => source === undefined)).toEqual([]);
});

it.each(PAGES)('%s has the same code as the files that it names', (page) => {
  for (const { source, code } of readBlocks(page)) {
    if (source !== undefined) {
      expect(unindent(readFileSync(join(root, source), 'utf8')), source).toContain(unindent(code));
    }
  }
});
