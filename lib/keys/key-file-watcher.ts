/**
 * Notices that key files were replaced. Compares what is on the disk with what was loaded, so a change is never lost: neither one
 * during a reload nor two in a row. Looks rather than waiting for the system to tell, because an editor, a secret store and an
 * atomic rename each replace a file in a way of their own.
 */
import type { Platform } from '../net/index.js';
import { type FileSignature, readSignature } from './index.js';

/** From one look to the next. */
export const LOOK_EVERY_MS = 400;

/**
 * A file that has changed is looked at again after this time, and loaded once two looks agree: a file that is being written is
 * not taken for a key. With the look before, a replaced key is in use within 1 s.
 */
export const LOOK_AGAIN_AFTER_MS = 100;

/** Looks at once: one after the other they take four times the processor time. */
const LOOKS_AT_ONCE = 8;

export class KeyFileWatcher {
  /** What was loaded, or tried in vain, by path. One entry for each key file. */
  private readonly known: Map<string, FileSignature | undefined>;
  /** Files that have changed since, as the latest look saw them. */
  private changed = new Map<string, FileSignature | undefined>();
  private cancel: () => void = () => undefined;
  private isStopped = false;

  /**
   * @param files the state of each file when it was loaded.
   * @param onChange called when files have changed and are still. Not called again for that state.
   */
  constructor(
    files: ReadonlyMap<string, FileSignature>,
    private readonly platform: Platform,
    private readonly onChange: () => void,
  ) {
    this.known = new Map(files);
    this.lookAfter(LOOK_EVERY_MS);
  }

  stop(): void {
    this.isStopped = true;
    this.cancel();
  }

  private lookAfter(ms: number): void {
    if (!this.isStopped) {
      this.cancel = this.platform.schedule(() => void this.look(), ms, { isBackground: true });
    }
  }

  private async look(): Promise<void> {
    // While some have changed, only those are of interest: the others wait for the next round.
    const paths = this.changed.size > 0 ? [...this.changed.keys()] : [...this.known.keys()];
    const seen = await readSignatures(paths);
    if (this.isStopped) {
      return;
    }
    const changed = new Map([...seen].filter(([path, signature]) => signature !== this.known.get(path)));
    const isStill =
      changed.size > 0 &&
      changed.size === this.changed.size &&
      [...changed].every(([path, signature]) => this.changed.get(path) === signature);
    if (isStill) {
      changed.forEach((signature, path) => this.known.set(path, signature));
      changed.clear();
    }
    this.changed = changed;
    this.lookAfter(changed.size > 0 ? LOOK_AGAIN_AFTER_MS : LOOK_EVERY_MS);
    if (isStill) {
      this.onChange();
    }
  }
}

async function readSignatures(paths: readonly string[]): Promise<Map<string, FileSignature | undefined>> {
  const seen = new Map<string, FileSignature | undefined>();
  const left = paths.values();
  const readSome = async () => {
    for (const path of left) {
      seen.set(path, await readSignature(path));
    }
  };
  await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, readSome));
  return seen;
}
