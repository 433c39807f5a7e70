/** Numbers of several processes as one: counters and gauges are added. Percentiles can't be, so they are left out. */
type Counters = { readonly [name: string]: unknown };

/** Neither percentiles nor the longest time of all is a sum. */
const NO_SUM = new Set(['handlerMs']);

export function addUp<Stats extends object>(all: readonly Stats[]): Omit<Stats, 'handlerMs'> {
  const sum: Record<string, unknown> = {};
  for (const counters of all as readonly Counters[]) {
    for (const [name, value] of Object.entries(counters)) {
      if (typeof value === 'number') {
        sum[name] = ((sum[name] as number | undefined) ?? 0) + value;
      } else if (typeof value === 'object' && value !== null && !NO_SUM.has(name)) {
        sum[name] = addUp([(sum[name] as Counters | undefined) ?? {}, value as Counters]);
      }
    }
  }
  return sum as Omit<Stats, 'handlerMs'>;
}
