/**
 * The few statistics the bench needs. Medians, because other work on the machine only ever makes a round slower.
 */

/** @param {readonly number[]} values */
export function median(values) {
  return percentile(values, 0.5);
}

/** The smallest value that at least `share` of the values do not exceed; between two, their mean for the median. */
export function percentile(values, share) {
  const sorted = Float64Array.from(values).toSorted();
  if (sorted.length === 0) {
    return NaN;
  }
  if (share === 0.5 && sorted.length % 2 === 0) {
    return (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
  }
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}

/** Half the distance of the quartiles, as a share of the median: how far rounds lie apart. */
export function spread(values) {
  return (percentile(values, 0.75) - percentile(values, 0.25)) / 2 / median(values);
}

/** The median of every number in a list of records that have the same keys. */
export function medianRecord(records) {
  const [first] = records;
  return Object.fromEntries(
    Object.keys(first).map((key) => [
      key,
      typeof first[key] === 'number' ? median(records.map((record) => record[key])) : first[key],
    ]),
  );
}
