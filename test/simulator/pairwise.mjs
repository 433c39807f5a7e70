/**
 * Rows in which every two values of different factors meet at least once: most faults of systems need no more than two things to
 * come together, and all combinations would be too many.
 *
 * @template {Record<string, readonly unknown[]>} Factors
 * @param {Factors} factors
 * @param {import('#lib/testing/random.js').Random} random
 * @returns {Array<{ [Name in keyof Factors]: Factors[Name][number] }>}
 */
export function coverPairs(factors, random) {
  const names = Object.keys(factors);
  /** @type {Record<string, readonly unknown[]>} */
  const values = factors;
  const open = new Set();
  for (const [first, second] of pairsOf(names)) {
    for (const a of values[first].keys()) {
      for (const b of values[second].keys()) {
        open.add(nameOf(first, a, second, b));
      }
    }
  }
  const rows = [];
  while (open.size > 0) {
    const candidates = Array.from({ length: 50 }, () =>
      Object.fromEntries(names.map((name) => [name, random.below(values[name].length)])),
    );
    const gains = candidates.map((row) => coveredBy(row, names).filter((pair) => open.has(pair)).length);
    const best = candidates[gains.indexOf(Math.max(...gains))];
    const covered = coveredBy(best, names).filter((pair) => open.has(pair));
    if (covered.length > 0) {
      covered.forEach((pair) => open.delete(pair));
      const row = Object.fromEntries(names.map((name) => [name, values[name][best[name]]]));
      rows.push(/** @type {{ [Name in keyof Factors]: Factors[Name][number] }} */ (row));
    }
  }
  return rows;
}

/** @param {readonly string[]} names */
function pairsOf(names) {
  return names.flatMap((first, index) => names.slice(index + 1).map((second) => [first, second]));
}

/**
 * @param {Record<string, number>} row the place of each value
 * @param {readonly string[]} names
 */
function coveredBy(row, names) {
  return pairsOf(names).map(([first, second]) => nameOf(first, row[first], second, row[second]));
}

/**
 * @param {string} first
 * @param {number} a
 * @param {string} second
 * @param {number} b
 */
function nameOf(first, a, second, b) {
  return `${first} ${a} ${second} ${b}`;
}
