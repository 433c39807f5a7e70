#!/usr/bin/env node
/**
 * The program: hands the process's streams, signals and clock to `run`, and its exit code to the process.
 */
import { networkInterfaces } from 'node:os';
import { nodePlatform } from '../net/index.js';
import { EXIT_CODES } from './exit-code.js';
import { run } from './run.js';
import { describeBug } from './text.js';

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (interrupt.signal.aborted) {
      // The second time it is meant now.
      process.exit(EXIT_CODES.interrupted);
    }
    interrupt.abort();
  });
}

// Whoever reads may stop reading, as `head` does.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) =>
  process.exit(code === 'EPIPE' ? EXIT_CODES.ok : EXIT_CODES.failed),
);

async function main(): Promise<void> {
  process.exitCode = await run(process.argv.slice(2), {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    get stdin() {
      return process.stdin;
    },
    env: process.env,
    signal: interrupt.signal,
    wallClock: () => Date.now(),
    platform: nodePlatform,
    interfaces: networkInterfaces,
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`${describeBug(error)}\n`);
  process.exitCode = EXIT_CODES.bug;
});
