/**
 * What all commands share: options are read by one rule, `--help` answers, and what fails becomes words and an exit code.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { BenUdpError } from '../errors.js';
import { printable } from '../printable.js';
import { EXIT_CODES, type ExitCode } from './exit-code.js';
import type { CliIo } from './io.js';
import { printDocument } from './text.js';

/** A command as a function: the words behind its name in, the exit code out. Rejects only where there is a bug here. */
export type Command = (args: readonly string[], io: CliIo) => Promise<ExitCode>;

type OptionsConfig = NonNullable<ParseArgsConfig['options']>;

const COMMON_OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
} as const satisfies OptionsConfig;

type Values<Options extends OptionsConfig> = ReturnType<
  typeof parseArgs<{ options: Options & typeof COMMON_OPTIONS; allowPositionals: true; strict: true }>
>['values'];

/** What was asked for, read and not yet judged. */
export interface Invocation<Options extends OptionsConfig> {
  readonly values: Values<Options>;
  readonly positionals: readonly string[];
}

export interface CommandDefinition<Options extends OptionsConfig> {
  readonly name: string;
  /** What `--help` prints: one screen. */
  readonly help: string;
  readonly options: Options;
  /** How many words that are no options. */
  readonly positionals: { readonly min: number; readonly max: number };
  run(invocation: Invocation<Options>, io: CliIo): Promise<ExitCode>;
}

/** The command line is wrong: said in one sentence, without the values that were given, for one may be a secret. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface FailureFacts {
  readonly exitCode?: ExitCode;
  /** A stable name: of `BenUdpErrorCode`, or the system's. */
  readonly code?: string;
  /** What to do next. */
  readonly hint: string;
  /** What `--json` tells besides. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** The command could not do what it was asked for. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';

  constructor(
    message: string,
    readonly about: FailureFacts,
  ) {
    super(message);
  }
}

export function defineCommand<const Options extends OptionsConfig>(definition: CommandDefinition<Options>): Command {
  const { name, help, run } = definition;
  return async (args, given) => {
    const io = withPrintableLines(given);
    try {
      const invocation = readInvocation(definition, args);
      if (invocation === 'help') {
        io.out(help);
        return EXIT_CODES.ok;
      }
      return await run(invocation, io).catch((error: unknown) => {
        const failure = toFailure(error);
        return reportFailure(name, failure, (invocation.values as { json?: boolean }).json === true, io);
      });
    } catch (error) {
      if (!(error instanceof UsageError)) {
        throw error;
      }
      io.err(`nestjs-ben-udp ${name}: ${error.message}`);
      io.err(`See: nestjs-ben-udp ${name} --help`);
      return EXIT_CODES.usage;
    }
  };
}

/** Makes every line safe for a terminal, because lines quote words of the command line, names of files and texts of peers. */
export function withPrintableLines(io: CliIo): CliIo {
  const { env, signal, platform } = io;
  return {
    env,
    signal,
    platform,
    out: (line) => io.out(printable(line)),
    err: (line) => io.err(printable(line)),
    // The first look at it opens the standard input of the process, so only a command that reads it looks.
    get stdin() {
      return io.stdin;
    },
    wallClock: () => io.wallClock(),
    interfaces: () => io.interfaces(),
  };
}

function readInvocation<Options extends OptionsConfig>(
  { options, positionals: { min, max } }: CommandDefinition<Options>,
  args: readonly string[],
): Invocation<Options> | 'help' {
  const { values, positionals } = parse({ ...options, ...COMMON_OPTIONS }, args);
  if ((values as { help?: boolean }).help) {
    return 'help';
  }
  if (positionals.length < min) {
    throw new UsageError(`${positionals.length === 0 ? 'nothing' : 'too little'} was named`);
  }
  if (positionals.length > max) {
    throw new UsageError(`too many words; quote what holds spaces, as in '{"celsius": 21.5}'`);
  }
  return { values, positionals };
}

function parse<Options extends OptionsConfig>(options: Options & typeof COMMON_OPTIONS, args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    if (args.some((arg) => /^--(key|secret|password)(=|$)/.test(arg))) {
      throw new UsageError('a key is not given on the command line, where others see it: name its file by --key-file');
    }
    throw new UsageError((error as Error).message);
  }
}

/** @throws what is no failure but a bug. */
function toFailure(error: unknown): CliFailure {
  if (error instanceof CliFailure) {
    return error;
  }
  if (error instanceof BenUdpError) {
    return new CliFailure(error.message, { code: error.code, hint: '' });
  }
  throw error;
}

function reportFailure(name: string, { message, about }: CliFailure, isJson: boolean, io: CliIo): ExitCode {
  const { exitCode = EXIT_CODES.failed, code, hint, facts } = about;
  if (isJson) {
    io.out(printDocument({ outcome: 'failed', code, message, hint: hint === '' ? undefined : hint, ...facts }));
  }
  io.err(`nestjs-ben-udp ${name}: ${message}`);
  if (hint !== '') {
    io.err(hint);
  }
  return exitCode;
}

/**
 * The name or address to bind to.
 *
 * @throws UsageError
 */
export function readHost(host: string | undefined, fallback: string): string {
  if (host === '') {
    // The system binds every address then, and an unset variable of a shell does not ask for that.
    throw new UsageError(`--host is empty: name an address, or leave it out for ${fallback}`);
  }
  return host ?? fallback;
}

/** @throws UsageError naming the option. */
export function readInteger(
  name: string,
  text: string | undefined,
  fallback: number,
  min: number,
  max: number,
): number {
  if (text === undefined) {
    return fallback;
  }
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new UsageError(`--${name} is a whole number from ${min} to ${max}`);
  }
  return value;
}
