/** The tables of docs/python-text.md, which the tests hold the code to. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const page = readFileSync(join(import.meta.dirname, '../../docs/python-text.md'), 'utf8');

/** The rows of all tables of the page that have a column of this name, by the names of their columns. */
export function documentedRows(column: string): Array<Record<string, string>> {
  const tables = page.match(/(?:^\|.*\n)+/gm) ?? [];
  return tables.flatMap((table) => {
    const [head = [], , ...rows] = table.trimEnd().split('\n').map(splitRow);
    return head.includes(column)
      ? rows.map((cells) => Object.fromEntries(cells.map((cell, index) => [head[index], cell])))
      : [];
  });
}

/** Each text of the page, with the cell that shows its value. */
export function documentedTexts(): Array<{ readonly text: string; readonly result: string }> {
  return documentedRows('text').flatMap(({ text, result }) =>
    inCode(text!).map((code) => ({ text: code.replaceAll('⏎', '\n').replaceAll('⇥', '\t'), result: result! })),
  );
}

/** The texts that a cell shows as code. */
export function inCode(cell: string): string[] {
  return Array.from(cell.matchAll(/`([^`]+)`/g), ([, code = '']) => code);
}

function splitRow(line: string): string[] {
  return line
    .slice(1, -1)
    .split('|')
    .map((cell) => cell.trim());
}
