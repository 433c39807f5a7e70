/** The 97.5 % points of Student's distribution for 1, 2, 3 … degrees of freedom; beyond them it is the normal one. */
const STUDENT = [
  12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1,
];
const NORMAL = 1.96;

/**
 * The straight line through measured points, by least squares: how steep it is, and within which bounds with 95 %
 * confidence. Three points at least.
 *
 * @param {readonly (readonly [number, number])[]} points
 */
export function fitTrend(points) {
  const count = points.length;
  if (count < 3) {
    throw new RangeError(`a trend needs three points, got ${count}`);
  }
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count;
  const spreadX = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spreadX;
  const residual = points.reduce((sum, [x, y]) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  const error = Math.sqrt(residual / (count - 2) / spreadX);
  const margin = error * (STUDENT[count - 3] ?? NORMAL);
  return { slope, low: slope - margin, high: slope + margin };
}
