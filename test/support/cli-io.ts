/** The outside world of a command in a test: keeps its lines, and has an empty environment. */
import { networkInterfaces } from 'node:os';
import type { Command } from '../../lib/cli/command.js';
import type { ExitCode } from '../../lib/cli/exit-code.js';
import type { CliIo } from '../../lib/cli/io.js';
import { runProgramWith } from '../../lib/cli/run-program.js';
import { onTestFinished } from 'vitest';
import { type Platform, nodePlatform, withBindSocket } from '../../lib/net/index.js';

export class TestIo implements CliIo {
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly progressLines: string[] = [];
  readonly env: CliIo['env'];
  readonly stdin: CliIo['stdin'];
  readonly platform: CliIo['platform'];
  readonly interfaces: CliIo['interfaces'];
  private readonly abort = new AbortController();
  private readonly waiting: Array<{ pattern: RegExp; resolve: (line: string) => void }> = [];

  constructor({ env = {}, stdin = '', platform = nodePlatform, interfaces = networkInterfaces }: TestIoOptions = {}) {
    this.env = env;
    this.stdin = toStream(stdin);
    const bindSocket: Platform['bindSocket'] = (...args) => platform.bindSocket(...args);
    this.platform = { ...withBindSocket(platform, bindSocket), wallClock: () => NOON };
    this.interfaces = interfaces;
  }

  readonly out = (line: string): void => {
    this.stdout.push(line);
    this.waiting.filter(({ pattern }) => pattern.test(line)).forEach(({ resolve }) => resolve(line));
  };

  readonly err = (line: string): void => void this.stderr.push(line);

  readonly progress = (line: string): void => {
    this.progressLines.push(line);
    this.waiting.filter(({ pattern }) => pattern.test(line)).forEach(({ resolve }) => resolve(line));
  };

  /** Other programs see the environment of the test, with the PATH of this process by default. */
  readonly runProgram: CliIo['runProgram'] = (command, args, cwd) =>
    runProgramWith({ PATH: process.env['PATH'], ...this.env }, this.signal, command, args, cwd);

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** Ctrl+C. */
  interrupt(): void {
    this.abort.abort();
  }

  /** Resolves to the first line of standard output, or the next line of progress, that matches. */
  line(pattern: RegExp): Promise<string> {
    const known = this.stdout.find((line) => pattern.test(line));
    return known === undefined
      ? new Promise((resolve) => this.waiting.push({ pattern, resolve }))
      : Promise.resolve(known);
  }

  get text(): string {
    return this.stdout.join('\n');
  }

  get errors(): string {
    return this.stderr.join('\n');
  }

  /** Standard output as JSON documents, one a line. */
  get documents(): Array<Record<string, unknown>> {
    return this.stdout.map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

const NOON = Date.UTC(2026, 0, 2, 12, 0, 0);

/** The lines of one screen. */
export const MAX_HELP_LINES = 31;

export interface TestIoOptions {
  readonly env?: CliIo['env'];
  readonly stdin?: string | Buffer;
  readonly platform?: CliIo['platform'];
  readonly interfaces?: CliIo['interfaces'];
}

export interface Ran {
  readonly exitCode: ExitCode;
  readonly io: TestIo;
}

/** Runs a command to its end. */
export async function runCommand(command: Command, args: readonly string[], options?: TestIoOptions): Promise<Ran> {
  const io = new TestIo(options);
  return { exitCode: await command(args, io), io };
}

/** Starts a command that runs until Ctrl+C. The end of the test sends it at the latest. */
export function startCommand(command: Command, args: readonly string[], options?: TestIoOptions) {
  const io = new TestIo(options);
  const exitCode = command(args, io);
  onTestFinished(async () => {
    io.interrupt();
    await exitCode;
  });
  return { io, exitCode };
}

async function* toStream(content: string | Buffer): AsyncIterable<Uint8Array> {
  yield Buffer.from(content as string);
}
