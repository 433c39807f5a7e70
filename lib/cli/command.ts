/**
 * The common part of all commands: options, `--help`, error messages and exit codes.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { BenUdpError } from '../errors.js';
import { printable } from '../printable.js';
import { EXIT_CODES, type ExitCode } from './exit-code.js';
import type { CliIo } from './io.js';
import { nearest } from './nearest.js';
import { PROGRAM, printDocument } from './text.js';

/** A command as a function: takes its arguments, resolves to the exit code. Rejects only if there is a bug here. */
export type Command = (args: readonly string[], io: CliIo) => Promise<ExitCode>;

type OptionsConfig = NonNullable<ParseArgsConfig['options']>;

const COMMON_OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
} as const satisfies OptionsConfig;

type Values<Options extends OptionsConfig> = ReturnType<
  typeof parseArgs<{ options: Options & typeof COMMON_OPTIONS; allowPositionals: true; strict: true }>
>['values'];

/** The parsed command line. Its values are not checked yet. */
export interface Invocation<Options extends OptionsConfig> {
  readonly values: Values<Options>;
  readonly positionals: readonly string[];
}

export interface CommandDefinition<Options extends OptionsConfig> {
  readonly name: string;
  /** Names of the arguments in their order. Those after `required` are optional. */
  readonly args: readonly string[];
  /** How many arguments are required. */
  readonly required: number;
  /** The text of `--help` after the usage line. */
  readonly help: string;
  readonly options: Options;
  run(invocation: Invocation<Options>, io: CliIo): Promise<ExitCode>;
}

/** The command line is wrong. The message does not repeat values, because one may be a secret. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface FailureFacts {
  readonly exitCode?: ExitCode;
  /** A stable name: of `BenUdpErrorCode`, or of the system. */
  readonly code?: string;
  /** The next step. */
  readonly hint: string;
  /** Further members of the document of `--json`. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** The command failed. */
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
  const { name, args: names, required, help, run } = definition;
  const usage = [name, ...names.map((each, index) => (index < required ? each : `[${each}]`)), '[options]'].join(' ');
  return async (args, given) => {
    const io = withPrintableLines(given);
    try {
      const invocation = readInvocation(definition, args);
      if (invocation === 'help') {
        io.out(`${PROGRAM} ${usage}\n\n${help}`);
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
      reportError(`nestjs-ben-udp ${name}:`, error.message, io);
      io.err(`Usage: ${PROGRAM} ${usage}`);
      io.err(`See: ${PROGRAM} ${name} --help`);
      return EXIT_CODES.usage;
    }
  };
}

/** Makes every line safe for a terminal, because lines quote arguments, file names and texts of peers. */
export function withPrintableLines(io: CliIo): CliIo {
  const { env, signal, platform } = io;
  return {
    env,
    signal,
    platform,
    out: (line, style) => io.out(printable(line), style),
    err: (line, style) => io.err(printable(line), style),
    progress: (line) => io.progress(printable(line)),
    // The first access opens the standard input of the process, so only a command that reads it may look.
    get stdin() {
      return io.stdin;
    },
    interfaces: () => io.interfaces(),
    runProgram: (command, args, cwd) => io.runProgram(command, args, cwd),
  };
}

function readInvocation<Options extends OptionsConfig>(
  { options, args: names, required }: CommandDefinition<Options>,
  args: readonly string[],
): Invocation<Options> | 'help' {
  const { values, positionals } = parse({ ...options, ...COMMON_OPTIONS }, args);
  if ((values as { help?: boolean }).help) {
    return 'help';
  }
  if (positionals.length < required) {
    throw new UsageError(`missing argument ${names[positionals.length]}`);
  }
  if (positionals.length > names.length) {
    throw new UsageError(`too many arguments; quote an argument with spaces, as in '{"celsius": 21.5}'`);
  }
  return { values, positionals };
}

/** Marks a negative number, which looks like an option. No argument of a process contains this character. */
const NUMBER_MARK = '\0';

const NEGATIVE_NUMBER = /^-\.?\d[\d.eE+-]*$/;

function parse<Options extends OptionsConfig>(options: Options & typeof COMMON_OPTIONS, args: readonly string[]) {
  if (args.some((arg) => /^--(key|secret|password)(=|$)/.test(arg))) {
    throw new UsageError('other users see the command line, so it takes no key: name the key file with --key-file');
  }
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const marked = args.map((arg, index) => (index < end && NEGATIVE_NUMBER.test(arg) ? NUMBER_MARK + arg : arg));
  const { values, positionals, tokens } = parseArgs({
    args: marked,
    options,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind === 'option') {
      checkOption(token, options);
    }
  }
  const unmarked = Object.entries(values).map(([name, value]) => [name, unmark(value)]);
  return { values: Object.fromEntries(unmarked) as Values<Options>, positionals: positionals.map(unmark) };
}

interface OptionToken {
  readonly name: string;
  /** As it was typed, with its dashes. */
  readonly rawName: string;
  readonly value: string | undefined;
  /** Whether the value follows a `=`. */
  readonly inlineValue: boolean | undefined;
}

/** @throws UsageError */
function checkOption({ name, rawName, value, inlineValue }: OptionToken, options: OptionsConfig): void {
  const option = Object.hasOwn(options, name) ? options[name] : undefined;
  if (!option) {
    const similar = nearest(name, Object.keys(options));
    throw new UsageError(`there is no option ${rawName}${similar ? `; did you mean --${similar}?` : ''}`);
  }
  if (option.type === 'boolean' && value !== undefined) {
    throw new UsageError(`--${name} takes no value`);
  }
  // Another option follows, so the value was forgotten.
  const isOption = inlineValue === false && value !== undefined && /^-./.test(value);
  if (option.type === 'string' && (value === undefined || isOption)) {
    throw new UsageError(`--${name} needs a value`);
  }
}

function unmark<T>(value: T): T {
  if (Array.isArray(value)) {
    return value.map(unmark) as T;
  }
  return typeof value === 'string' && value.startsWith(`${NUMBER_MARK}-`) ? (value.slice(1) as T) : value;
}

/** @throws the error itself if it is a bug. */
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
  reportError(`nestjs-ben-udp ${name}:`, message, io);
  if (hint !== '') {
    io.err(hint);
  }
  return exitCode;
}

/** Prints an error, its prefix in red. */
export function reportError(prefix: string, message: string, io: CliIo): void {
  io.err(`${prefix} ${message}`, { format: 'red', length: prefix.length });
}

/** @throws UsageError if the value is empty. */
export function readHost(host: string | undefined, fallback: string): string {
  if (host === '') {
    // An unset variable of a shell. The system would bind every address, and a board would send nowhere.
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
  return checkRange(value, min, max, `--${name} is a whole number from ${min} to ${max}`);
}

const UNIT_MS: Readonly<Record<string, number>> = { '': 1, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * A time in milliseconds: `500`, `500ms`, `5s`, `1.5m` or `1h`.
 *
 * @throws UsageError naming the option.
 */
export function readDuration(
  name: string,
  text: string | undefined,
  fallback: number,
  min: number,
  max: number,
): number {
  if (text === undefined) {
    return fallback;
  }
  const [, digits, unit] = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|)$/.exec(text) ?? [];
  const value = digits === undefined ? NaN : Math.round(Number(digits) * UNIT_MS[unit!]!);
  return checkRange(value, min, max, `--${name} is a time from ${min} to ${max} ms: 500, 500ms, 5s or 2m`);
}

/** @param value NaN for a text that is not a number. */
function checkRange(value: number, min: number, max: number, expected: string): number {
  if (!(value >= min && value <= max)) {
    throw new UsageError(expected);
  }
  return value;
}
