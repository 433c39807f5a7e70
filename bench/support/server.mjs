/**
 * A server under load, a program of its own: one of the kinds that are compared. Counts the exchanges it has answered and
 * the CPU time it took, in one look, so that the two belong together.
 */
import { readFileSync } from 'node:fs';
import { serve } from './child.mjs';

const served = { count: 0 };

const KINDS = {
  floor: async (options) => {
    const { startFloor } = await import('./floor-server.mjs');
    return startFloor(options, () => served.count++);
  },
  ben: async (options) => {
    const { startBenUdp } = await import('./nest-apps.mjs');
    const strategy = await startBenUdp(options, () => served.count++);
    return strategy.unwrap().address().port;
  },
  tcp: async () => {
    const { startNestTcp } = await import('./nest-apps.mjs');
    return startNestTcp(() => served.count++);
  },
};

/** Nanoseconds in which this thread could have run but another had the core; 0 if the system does not report it. */
function readWaited() {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[1]);
  } catch {
    return 0;
  }
}

serve({
  start: ({ kind, ...options }) => KINDS[kind](options),
  sample: () => {
    const { user, system } = process.cpuUsage();
    return {
      atMs: performance.now(),
      cpuMs: (user + system) / 1000,
      waitedMs: readWaited() / 1e6,
      served: served.count,
      rssMiB: process.memoryUsage.rss() / 2 ** 20,
    };
  },
});
