/** The figures and the chart in docs/performance.md are those of docs/performance.json. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { format, resolveConfig } from 'prettier';
import { drawChart, fillPage } from '../../bench/support/report.mjs';

const pathOf = (name: string) => join(import.meta.dirname, '../../docs', name);
const read = (name: string) => readFileSync(pathOf(name), 'utf8');

describe('docs/performance.md', () => {
  const results = JSON.parse(read('performance.json')) as Parameters<typeof drawChart>[0];

  it('has the figures of docs/performance.json', async () => {
    const path = pathOf('performance.md');
    const page = read('performance.md');
    expect(page).toBe(await format(fillPage(page, results), { ...(await resolveConfig(path)), filepath: path }));
  });

  it('has each figure that README.md gives', () => {
    const [, section] = /\n## Performance\n(.*?)\n## /s.exec(readFileSync(pathOf('../README.md'), 'utf8'))!;
    const figures = [...section!.matchAll(/\d+(?:\.\d+)? µs|\d+\.\d+(?= times)|\d{4,}(?= exchanges)/g)].map(
      ([figure]) => figure.replace(' µs', ''),
    );
    expect(figures).toHaveLength(4);
    const cells = new Set(read('performance.md').split(/[|\s]+/));
    expect(figures.filter((figure) => !cells.has(figure))).toEqual([]);
  });

  it('has the chart of docs/performance.json', () => {
    expect(read('performance.svg')).toBe(drawChart(results));
  });
});
