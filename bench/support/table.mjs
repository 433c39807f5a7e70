/**
 * Tables of the documentation, and the line about the machine above them.
 */

/**
 * @param {number | null | undefined} value
 * @param {number} digits
 */
export function toFixed(value, digits) {
  return value === undefined || value === null ? '' : value.toFixed(digits);
}

/**
 * @template Row
 * @typedef {readonly [title: string, read: (row: Row) => unknown, alignment?: string]} Column
 */

/**
 * @template Row
 * @param {readonly Column<Row>[]} columns numbers to the right by default
 * @param {readonly Row[]} rows
 */
export function table(columns, rows) {
  const line = (/** @type {readonly unknown[]} */ cells) => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(([title]) => title)),
    line(columns.map(([, , alignment = '--:']) => alignment)),
    ...rows.map((row) => line(columns.map(([, read]) => read(row)))),
  ].join('\n');
}

/** @param {import('./machine.mjs').Machine} machine */
export function machineText({ date, node, nest, cpu, system }) {
  return `${date}, Node ${node}, Nest ${nest}, ${cpu}, ${system}`;
}

/**
 * Replaces the text between `<!-- name -->` and `<!-- /name -->`, for the name of each section.
 *
 * @template Results
 * @param {string} page
 * @param {Results} results
 * @param {Record<string, (results: Results) => string>} sections
 */
export function fillSections(page, results, sections) {
  return Object.entries(sections).reduce((content, [name, make]) => {
    const marks = new RegExp(`(<!-- ${name} -->)[^]*?(<!-- /${name} -->)`);
    if (!marks.test(content)) {
      throw new Error(`the page has no place for "${name}"`);
    }
    return content.replace(marks, (_all, begin, end) => `${begin}\n\n${make(results)}\n\n${end}`);
  }, page);
}
