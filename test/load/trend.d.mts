export interface Trend {
  /** The change of y for one of x. */
  readonly slope: number;
  /** Between these, with 95 % confidence. */
  readonly low: number;
  readonly high: number;
}

/** The straight line through three points or more, by least squares. */
export function fitTrend(points: readonly (readonly [number, number])[]): Trend;
