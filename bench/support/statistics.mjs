/**
 * The few statistics the bench needs. Medians, because other work on the machine only ever makes a round slower.
 */

/** @param {readonly number[]} values */
export function median(values) {
  return percentile(values, 0.5);
}

/**
 * The smallest value that at least `share` of the values do not exceed; between two, their mean for the median.
 *
 * @param {ArrayLike<number>} values
 * @param {number} share
 */
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

/**
 * Half the distance of the quartiles, as a share of the median: how far rounds lie apart.
 *
 * @param {readonly number[]} values
 */
export function spread(values) {
  return (percentile(values, 0.75) - percentile(values, 0.25)) / 2 / median(values);
}

/**
 * The median of every number in a list of records that have the same keys.
 *
 * @template {Record<string, unknown>} T
 * @param {readonly T[]} records
 * @returns {T}
 */
export function medianRecord(records) {
  const [first] = records;
  const medians = Object.entries(first).map(([key, value]) => [
    key,
    typeof value === 'number' ? median(records.map((record) => Number(record[key]))) : value,
  ]);
  // The same keys, and each value of the same type.
  return /** @type {T} */ (Object.fromEntries(medians));
}

/** With fewer values, even the least and the largest are no 95 % interval of the median. */
export const MIN_INTERVAL_VALUES = 6;

/**
 * The 95 % interval of the median, by order statistics: it needs no assumption about how the values are spread. The number of
 * values below the true median is binomial, with one half.
 *
 * @param {readonly number[]} values fewer than `MIN_INTERVAL_VALUES` have no such interval: both ends are NaN then
 */
export function medianInterval(values) {
  const { length } = values;
  if (length < MIN_INTERVAL_VALUES) {
    return { low: NaN, high: NaN };
  }
  const sorted = Float64Array.from(values).toSorted();
  // As a logarithm, because half to the power of some thousand is 0 as a number.
  let logProbability = -length * Math.LN2;
  let below = Math.exp(logProbability);
  let rank = -1;
  while (below <= 0.025) {
    rank++;
    logProbability += Math.log((length - rank) / (rank + 1));
    below += Math.exp(logProbability);
  }
  return { low: sorted[rank], high: sorted[length - 1 - rank] };
}
