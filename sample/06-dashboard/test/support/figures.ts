/** The table of figures in the README of the sample. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const README = join(import.meta.dirname, '..', '..', 'README.md');
const PLACE = /(<!-- figures -->\n)[^]*?(?=<!-- end of figures -->)/;

/** Figures by their name, with a column for each database. */
export class Figures {
  private readonly rows = new Map<string, Map<string, string>>();

  set(database: string, name: string, figure: string): void {
    const row = this.rows.get(name) ?? new Map<string, string>();
    this.rows.set(name, row.set(database, figure));
  }

  /** Markdown, padded as Prettier does. */
  table(title: string, databases: Readonly<Record<string, string>>): string {
    const columns = Object.entries(databases);
    const lines = [
      [title, ...columns.map(([, name]) => name)],
      ...[...this.rows].map(([name, row]) => [name, ...columns.map(([id]) => row.get(id) ?? '–')]),
    ];
    const widths = lines[0]!.map((_cell, column) => Math.max(...lines.map((cells) => cells[column]!.length)));
    const [head, ...body] = lines.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column]!)));
    const rule = widths.map((width) => '-'.repeat(width));
    return [head!, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  }
}

/** Puts the text in the place of the old figures. */
export async function saveFigures(text: string): Promise<void> {
  const readme = await readFile(README, 'utf8');
  if (!PLACE.test(readme)) {
    throw new Error(`${README} has no place for figures: "<!-- figures -->" and "<!-- end of figures -->"`);
  }
  await writeFile(
    README,
    readme.replace(PLACE, (_all, begin: string) => `${begin}\n${text}\n\n`),
  );
}
