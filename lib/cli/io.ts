/**
 * What a command has of the outside world, passed in: a test runs a command without a process of its own.
 */
import type { NetworkInterfaceInfo } from 'node:os';
import type { Platform } from '../net/index.js';

export interface CliIo {
  /** Writes a line to standard output: what was asked for. */
  readonly out: (line: string) => void;
  /** Writes a line to standard error: what a person should know besides. */
  readonly err: (line: string) => void;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl+C. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch, for what is printed; durations go by `platform`. */
  readonly wallClock: () => number;
  readonly platform: Platform;
  /** The machine's addresses by interface. */
  readonly interfaces: () => Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
}
