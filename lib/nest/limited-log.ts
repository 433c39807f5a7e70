/**
 * Log lines that a peer can cause without limit. The first line of a kind is written at once. The lines of the next ten seconds become
 * one line with their count. So a flood neither fills the disk nor hides lines of another kind.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Platform } from '../net/index.js';

/** At most one line of a kind is written in this time. */
export const LOG_INTERVAL_MS = 10_000;

/** Kinds that are counted separately. Further kinds share one, so errors with invented names take no memory. */
const MAX_KINDS = 1024;
const OTHER_KINDS = 'others';

export type LogLevel = 'error' | 'warn' | 'debug';

interface Line {
  readonly level: LogLevel;
  /** Called only if the line is written. */
  readonly describe: () => string;
}

interface Kind {
  /** The latest line that was not written. */
  latest: Line | undefined;
  /** Lines that were not written. */
  held: number;
  cancel: () => void;
}

export class LimitedLog {
  /** Kinds with a line in the last ten seconds. Bounded by `MAX_KINDS` plus one. */
  private readonly kinds = new Map<string, Kind>();

  /** Timers run in this scope. In that of a request, lines of other requests would be written with its store. */
  private readonly scope = new AsyncResource('BenUdpLog');

  constructor(
    private readonly platform: Platform,
    private readonly write: (level: LogLevel, line: string) => void,
  ) {}

  /** @param name the kind. */
  record(name: string, level: LogLevel, describe: () => string): void {
    const kind = this.kinds.size < MAX_KINDS || this.kinds.has(name) ? name : OTHER_KINDS;
    const known = this.kinds.get(kind);
    if (known) {
      known.held++;
      known.latest = { level, describe };
      return;
    }
    const fresh: Kind = { latest: undefined, held: 0, cancel: () => undefined };
    this.kinds.set(kind, fresh);
    this.await(kind, fresh);
    this.write(level, describe());
  }

  /** Writes the lines that are held back. */
  stop(): void {
    for (const kind of this.kinds.values()) {
      kind.cancel();
      this.writeHeld(kind);
    }
    this.kinds.clear();
  }

  private await(name: string, kind: Kind): void {
    const atEnd = () => {
      if (this.writeHeld(kind)) {
        this.await(name, kind);
      } else {
        this.kinds.delete(name);
      }
    };
    kind.cancel = this.scope.runInAsyncScope(() =>
      this.platform.schedule(atEnd, LOG_INTERVAL_MS, { isBackground: true }),
    );
  }

  /** Whether a line was held back. */
  private writeHeld(kind: Kind): boolean {
    const { latest, held } = kind;
    if (!latest) {
      return false;
    }
    kind.latest = undefined;
    kind.held = 0;
    const line = latest.describe();
    this.write(latest.level, held === 1 ? line : `${line} (the last of ${held} within ${LOG_INTERVAL_MS / 1000} s)`);
    return true;
  }
}
