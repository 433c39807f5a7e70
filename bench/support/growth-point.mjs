/**
 * One point of a growth curve, a program of its own, because it measures its own memory: the server's part of exchanges without a
 * socket.
 */
import { serve } from './child.mjs';
import { median } from './statistics.mjs';
import { Steps } from './steps.mjs';

/** Until V8 has compiled the hot functions. */
const WARM_UP_EXCHANGES = 20_000;
/** In one turn at least, because the clock of CPU time has steps of a microsecond and more. */
const TURN_EXCHANGES = 2_000;
const MAX_DATAGRAM_BYTES = 65_507;

/** @type {Steps} */
let steps;

function cpuMicroseconds() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Buffers are released in a second pass. */
function collect() {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, rss };
}

/** @param {number} count */
function exchange(count) {
  let cpu = 0;
  let phases = 0;
  let done = 0;
  for (; done < count; done += steps.boards) {
    steps.exchangeAll((phase) => {
      const before = cpuMicroseconds();
      phase();
      cpu += cpuMicroseconds() - before;
      phases++;
    });
  }
  return { cpu, phases, done };
}

/** The CPU time of reading the clock: with one device, that happens twice for each exchange. */
function measureClock() {
  const looks = 10_000;
  let cpu = 0;
  for (let look = 0; look < looks; look++) {
    const before = cpuMicroseconds();
    cpu += cpuMicroseconds() - before;
  }
  return cpu / looks;
}

const functions = {
  /** Returns the bytes that the server holds for its devices and keys, warm. */
  start: (/** @type {import('./steps.mjs').StepsOptions} */ options) => {
    const small = new Steps({ boards: 1 });
    small.introduce();
    const before = collect();
    steps = new Steps({ maxDatagramBytes: MAX_DATAGRAM_BYTES, ...options });
    steps.introduce();
    exchange(WARM_UP_EXCHANGES);
    const after = collect();
    // Used once more, so that it is not freed between the two readings.
    small.exchangeAll();
    return { heapBytes: after.heap - before.heap };
  },

  /** CPU time of an exchange: the median of turns. */
  run: (/** @type {{ turns: number }} */ { turns }) => {
    const clock = measureClock();
    const times = Array.from({ length: turns }, () => {
      const { cpu, phases, done } = exchange(TURN_EXCHANGES);
      return (cpu - phases * clock) / done;
    });
    return { cpuMicroseconds: median(times), rssMiB: process.memoryUsage.rss() / 2 ** 20 };
  },
};

/** @typedef {typeof functions} GrowthPointFunctions */

serve(functions);
