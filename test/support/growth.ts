/**
 * Whether the time of some work grows in proportion to its input. CPU time of this process, because other programs on the machine make the
 * real time longer. A pause of the garbage collector counts, so the shortest of several runs decides.
 */

/** Below this, the resolution of the clock decides. */
const SHORTEST_MS = 0.5;

const ATTEMPTS = 10;

/** The CPU time of a run, in milliseconds. */
export function cpuMs(run: () => unknown): number {
  const begin = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000;
}

/**
 * How many times as long the large input takes as the small one. Stops measuring once the result is at most `limit`.
 *
 * @param measureSmall returns a time in milliseconds.
 */
export async function measureGrowth(
  measureSmall: () => number | Promise<number>,
  measureLarge: () => number | Promise<number>,
  limit: number,
): Promise<number> {
  let small = Infinity;
  let large = Infinity;
  let growth = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS && growth > limit; attempt++) {
    small = Math.min(small, await measureSmall());
    large = Math.min(large, await measureLarge());
    growth = large / Math.max(small, SHORTEST_MS);
  }
  return growth;
}
