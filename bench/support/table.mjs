/**
 * Tables of the documentation, and the line about the machine above them.
 */

/** @param {number | null | undefined} value */
export function toFixed(value, digits) {
  return value === undefined || value === null ? '' : value.toFixed(digits);
}

/**
 * @param {(readonly [title: string, read: (row: any) => unknown, alignment?: string])[]} columns numbers to the right by default
 * @param {readonly object[]} rows
 */
export function table(columns, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(([title]) => title)),
    line(columns.map(([, , alignment = '--:']) => alignment)),
    ...rows.map((row) => line(columns.map(([, read]) => read(row)))),
  ].join('\n');
}

export function machineText({ date, node, nest, cpu, system }) {
  return `${date}, Node ${node}, Nest ${nest}, ${cpu}, ${system}`;
}

/** Replaces the text between `<!-- name -->` and `<!-- /name -->`, for the name of each section. */
export function fillSections(page, results, sections) {
  return Object.entries(sections).reduce((content, [name, make]) => {
    const marks = new RegExp(`(<!-- ${name} -->)[^]*?(<!-- /${name} -->)`);
    if (!marks.test(content)) {
      throw new Error(`the page has no place for "${name}"`);
    }
    return content.replace(marks, (_all, begin, end) => `${begin}\n\n${make(results)}\n\n${end}`);
  }, page);
}
