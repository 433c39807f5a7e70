/**
 * Notices replaced key files. It compares the files with the loaded state, so no change is lost, neither during a reload nor two in a
 * row. It polls, because an editor, a secret store and an atomic rename each replace a file in their own way, and not every file
 * system reports all of them.
 */
import type { Platform } from '../net/index.js';
import { readDirectorySignature } from './key-directory.js';
import { type FileSignature, readSignature } from './key-file.js';

/** Interval of the polls. */
export const POLL_INTERVAL_MS = 400;

/**
 * A changed file is polled again after this time, and loaded once two polls agree, so a file that is being written is not taken for a
 * key. Together with the poll before, a replaced key is in use within 1 s, if there are no more than `MAX_POLLED_FILES`.
 */
export const SETTLE_MS = 100;

/** Parallel polls. Sequential polls take four times the processor time. */
const PARALLEL_POLLS = 8;

/**
 * Files that one poll checks, in turns: 2000 take about 20 ms of a core. A folder is checked by each poll, and it changes if a file is
 * added, removed or replaced by a rename. Only a file that is written in place waits for its turn.
 */
export const MAX_POLLED_FILES = 2000;

/** A folder of key files, and its state before it was listed. */
export interface WatchedDirectory {
  readonly path: string;
  readonly signature: FileSignature | undefined;
}

export class KeyFileWatcher {
  /** The loaded state of each key file, or the last state that could not be loaded. Bounded by the configured files. */
  private readonly known: Map<string, FileSignature | undefined>;
  /** Files that have changed since, as the last poll saw them. Bounded by the configured files. */
  private changed = new Map<string, FileSignature | undefined>();
  private cancel: () => void = () => undefined;
  private isStopped = false;
  private nextTurn = 0;

  /**
   * @param files the state of each file when it was loaded.
   * @param onChange called when files have changed and are settled. Not called again for the same state.
   */
  constructor(
    files: ReadonlyMap<string, FileSignature | undefined>,
    private readonly platform: Platform,
    private readonly onChange: () => void,
    private readonly directory?: WatchedDirectory,
  ) {
    this.known = new Map(files);
    if (directory) {
      this.known.set(directory.path, directory.signature);
    }
    this.pollAfter(POLL_INTERVAL_MS);
  }

  stop(): void {
    this.isStopped = true;
    this.cancel();
  }

  private pollAfter(ms: number): void {
    if (!this.isStopped) {
      this.cancel = this.platform.schedule(() => void this.poll(), ms, { isBackground: true });
    }
  }

  private async poll(): Promise<void> {
    // While some files have changed, only those are polled. The others wait for the next round.
    const paths = this.changed.size > 0 ? [...this.changed.keys()] : this.takeTurn();
    const seen = await readSignatures(paths, (path) => this.read(path));
    if (this.isStopped) {
      return;
    }
    const changed = new Map([...seen].filter(([path, signature]) => signature !== this.known.get(path)));
    const isSettled =
      changed.size > 0 &&
      changed.size === this.changed.size &&
      [...changed].every(([path, signature]) => this.changed.get(path) === signature);
    if (isSettled) {
      changed.forEach((signature, path) => this.known.set(path, signature));
      changed.clear();
    }
    this.changed = changed;
    this.pollAfter(changed.size > 0 ? SETTLE_MS : POLL_INTERVAL_MS);
    if (isSettled) {
      this.onChange();
    }
  }

  private takeTurn(): string[] {
    const all = [...this.known.keys()];
    const start = this.nextTurn < all.length ? this.nextTurn : 0;
    this.nextTurn = start + MAX_POLLED_FILES;
    const paths = all.slice(start, this.nextTurn);
    return this.directory && !paths.includes(this.directory.path) ? [...paths, this.directory.path] : paths;
  }

  private read(path: string): Promise<FileSignature | undefined> {
    return path === this.directory?.path
      ? readDirectorySignature(path, this.known, this.directory.signature)
      : readSignature(path);
  }
}

async function readSignatures(
  paths: readonly string[],
  read: (path: string) => Promise<FileSignature | undefined>,
): Promise<Map<string, FileSignature | undefined>> {
  const seen = new Map<string, FileSignature | undefined>();
  const remaining = paths.values();
  const readSome = async () => {
    for (const path of remaining) {
      seen.set(path, await read(path));
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_POLLS }, readSome));
  return seen;
}
