/** Code in the documentation is code that runs: each block names the file it is from, and stands there word for word. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

const PAGES = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)];

/** Pages all of whose TypeScript is from a file. */
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

/** Lines without their indentation, which is another one in a file than on a page. */
function unindent(code: string): string {
  return code.replaceAll(/^[ \t]+/gm, '').trim();
}

it.each(WHOLE_PAGES)('%s says of each block of code where it is from', (page) => {
  const blocks = readBlocks(page);
  expect(blocks.length).toBeGreaterThan(0);
  expect(blocks.filter(({ source }) => source === undefined)).toEqual([]);
});

it.each(PAGES)('%s has code as it stands in the files it names', (page) => {
  for (const { source, code } of readBlocks(page)) {
    if (source !== undefined) {
      expect(unindent(readFileSync(join(root, source), 'utf8')), source).toContain(unindent(code));
    }
  }
});
