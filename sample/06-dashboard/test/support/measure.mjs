/** Loaded into the app's process before it (`node --import`): tells how long its event loop is held up, and its memory. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** Milliseconds between two looks. Any more is a delay. */
const RESOLUTION = 1;

// The thread of PGlite loads it too.
if (isMainThread) {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION });
  delays.enable();

  process.on('message', (message) => {
    if (message === 'reset') {
      delays.reset();
    }
    if (message === 'read') {
      const ms = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION);
      process.send({ p99: ms(delays.percentile(99)), max: ms(delays.max), rss: process.memoryUsage().rss });
    }
  });
  // It must not keep the app from ending.
  process.channel.unref();
}
