/**
 * A server without sockets and the boards that ask it, a program of its own. Counts the CPU time of the server's part alone.
 */
import { serve } from './child.mjs';
import { InProcessServer } from './in-process.mjs';

const BOARDS = 64;

/** @type {InProcessServer} */
let server;

function cpuMicroseconds() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

serve({
  start: async ({ lib, dataBytes, noreturn }) => {
    server = await InProcessServer.start({ boards: BOARDS, lib, dataBytes, noreturn });
  },
  /** All boards ask in turns for this number of seconds. */
  run: async ({ seconds }) => {
    const begin = performance.now();
    const cpuAtBegin = cpuMicroseconds();
    let cpu = 0;
    let turns = 0;
    for (; performance.now() - begin < seconds * 1000; turns++) {
      await server.exchangeAll(async (phase) => {
        const before = cpuMicroseconds();
        await phase();
        cpu += cpuMicroseconds() - before;
      });
    }
    const wall = (performance.now() - begin) * 1000;
    return {
      cpuMicroseconds: cpu / turns / BOARDS,
      // It never sleeps. The time that its main thread waits is also that of its own garbage collection, on the same core.
      waitedShare: Math.max(0, 1 - (cpuMicroseconds() - cpuAtBegin) / wall),
    };
  },
});
