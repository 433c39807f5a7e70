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

/**
 * The 95 % interval of the median, by order statistics: it needs no assumption about how the values are spread. The number of
 * values below the true median is binomial, with one half.
 *
 * @param {readonly number[]} values at least 6; fewer have no such interval
 */
export function medianInterval(values) {
  const sorted = Float64Array.from(values).toSorted();
  const { length } = sorted;
  let probability = 0.5 ** length;
  let below = probability;
  let rank = 0;
  while (rank < length / 2 - 1 && below + (probability * (length - rank)) / (rank + 1) <= 0.025) {
    probability = (probability * (length - rank)) / (rank + 1);
    below += probability;
    rank++;
  }
  return { low: sorted[rank] ?? NaN, high: sorted[length - 1 - rank] ?? NaN };
}
