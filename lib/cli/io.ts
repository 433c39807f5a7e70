/**
 * The outside world of a command, passed in, so a test can run a command without a process.
 */
import type { NetworkInterfaceInfo } from 'node:os';
import type { Platform } from '../net/index.js';

/** Colour of the beginning of a line, if the terminal shows colours. */
export interface LineStyle {
  readonly format: 'red' | 'green' | 'yellow' | 'bold' | 'dim';
  /** Coloured characters. Default all. */
  readonly length?: number;
}

export interface ProgramResult {
  /** `undefined` if the program is not installed. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliIo {
  /** Writes a line to standard output: the result. */
  readonly out: (line: string, style?: LineStyle) => void;
  /** Writes a line to standard error: remarks and failures. */
  readonly err: (line: string, style?: LineStyle) => void;
  /** Shows progress on standard error. On a terminal, the next line replaces it. */
  readonly progress: (line: string) => void;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl+C. */
  readonly signal: AbortSignal;
  readonly platform: Platform;
  /** The addresses of the machine by interface. */
  readonly interfaces: () => Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
  /** Runs another program to its end. */
  readonly runProgram: (command: string, args: readonly string[], cwd?: string) => Promise<ProgramResult>;
}
