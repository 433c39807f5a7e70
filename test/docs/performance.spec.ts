/** The figures and the charts in docs/performance.md are those of the JSON files in the same folder. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { format, resolveConfig } from 'prettier';
import { FIGURES, type Figures, PAGE } from '../../bench/support/save.mjs';
import { fillSections } from '../../bench/support/table.mjs';

const pathOf = (name: string) => join(import.meta.dirname, '../../docs', name);
const read = (name: string) => readFileSync(pathOf(name), 'utf8');

describe('docs/performance.md', () => {
  const saved: Array<[string, Figures<never>]> = Object.entries(FIGURES);

  it.each(saved)('has the figures and the charts of docs/%s.json', async (name, figures) => {
    const results = JSON.parse(read(`${name}.json`)) as never;
    const path = pathOf(PAGE);
    const filled = fillSections(read(PAGE), results, figures.sections);
    expect(read(PAGE)).toBe(await format(filled, { ...(await resolveConfig(path)), filepath: path }));
    for (const [chart, draw] of Object.entries(figures.charts)) {
      expect(read(`${chart}.svg`)).toBe(draw(results));
      expect(read(PAGE)).toContain(`](${chart}.svg)`);
    }
  });

  it('has each figure that README.md gives', () => {
    const [, section] = /\n## Performance\n(.*?)\n## /s.exec(readFileSync(pathOf('../README.md'), 'utf8'))!;
    const figures = [...section!.matchAll(/\d+(?:\.\d+)? µs|\d+\.\d+(?= times)|\d{4,}(?= exchanges)/g)].map(
      ([figure]) => figure.replace(' µs', ''),
    );
    expect(figures).toHaveLength(4);
    const cells = new Set(read(PAGE).split(/[|\s]+/));
    expect(figures.filter((figure) => !cells.has(figure))).toEqual([]);
  });
});
