/** Links between pages lead to a file and a heading, lists of contents are complete, and the map of the docs has each page. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PAGES, readProse, root } from './pages.js';

interface Link {
  /** The file, relative to the root. */
  readonly file: string;
  /** The anchor; empty without one. */
  readonly anchor: string;
}

function linksOf(page: string): Link[] {
  return [...readProse(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^\w+:/.test(target))
    .map((target) => {
      const [path = '', anchor = ''] = target.split('#');
      return { file: path === '' ? page : join(dirname(page), path), anchor };
    });
}

function headingsOf(page: string, level = '#+'): string[] {
  return [...readProse(page).matchAll(new RegExp(`^${level} (.*)$`, 'gm'))].map(([, heading]) => heading!);
}

/** The anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-');
}

/** The list of contents of a page, if it has one. */
function contentsOf(page: string): string[] {
  return [...readProse(page).matchAll(/^\d+\. \[[^\]]+\]\(#([^)]+)\)$/gm)].map(([, anchor]) => anchor!);
}

/** A reader of a longer page wants to see its sections first. */
const MAX_LINES_WITHOUT_CONTENTS = 300;

describe.each(PAGES)('%s', (page) => {
  it('links to files and headings that exist', () => {
    const broken = linksOf(page).filter(
      ({ file, anchor }) =>
        !existsSync(join(root, file)) || (anchor !== '' && !headingsOf(file).map(anchorOf).includes(anchor)),
    );
    expect(broken).toEqual([]);
  });

  it('has all of its sections in its list of contents, in their order', () => {
    const contents = contentsOf(page);
    const isLong = readProse(page).split('\n').length > MAX_LINES_WITHOUT_CONTENTS;
    if (contents.length > 0 || isLong) {
      expect(contents).toEqual(headingsOf(page, '##').map(anchorOf));
    }
  });
});

describe('docs/README.md', () => {
  it('is a map of all pages: each is one or two links away', () => {
    const direct = linksOf('docs/README.md').map(({ file }) => file);
    const further = direct.filter((file) => file.endsWith('README.md')).flatMap((file) => linksOf(file));
    const reached = new Set([...direct, ...further.map(({ file }) => file), 'docs/README.md', 'README.md']);
    expect(PAGES.filter((page) => !reached.has(page))).toEqual([]);
  });
});
