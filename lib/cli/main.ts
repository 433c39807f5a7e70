#!/usr/bin/env node
/**
 * The program: connects `run` to the streams, signals and clock of the process.
 */
import { networkInterfaces } from 'node:os';
import { nodePlatform } from '../net/index.js';
import { EXIT_CODES } from './exit-code.js';
import { runProgramWith } from './run-program.js';
import { run } from './run.js';
import { Terminal } from './terminal.js';
import { describeBug } from './text.js';

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (interrupt.signal.aborted) {
      // A second Ctrl+C exits at once.
      process.exit(EXIT_CODES.interrupted);
    }
    interrupt.abort();
  });
}

// The reader may stop reading, as `head` does.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) =>
  process.exit(code === 'EPIPE' ? EXIT_CODES.ok : EXIT_CODES.failed),
);
// Remarks that nobody reads end no command: the result on standard output, and the exit code, still count.
process.stderr.on('error', () => undefined);

async function main(): Promise<void> {
  const terminal = new Terminal(process.stdout, process.stderr);
  process.exitCode = await run(process.argv.slice(2), {
    out: (line, style) => terminal.out(line, style),
    err: (line, style) => terminal.err(line, style),
    progress: (line) => terminal.progress(line),
    get stdin() {
      return process.stdin;
    },
    env: process.env,
    signal: interrupt.signal,
    platform: nodePlatform,
    interfaces: networkInterfaces,
    runProgram: (command, args, cwd) => runProgramWith(process.env, interrupt.signal, command, args, cwd),
  });
  terminal.end();
}

main().catch((error: unknown) => {
  process.stderr.write(`${describeBug(error)}\n`);
  process.exitCode = EXIT_CODES.bug;
});
