/**
 * Notices that key files were replaced. Looks at them twice a second rather than waiting for the system to tell: an editor, a
 * secret store or an atomic rename each replace a file in a way of their own.
 */
import { type StatsListener, unwatchFile, watchFile } from 'node:fs';

const LOOK_EVERY_MS = 400;

export class KeyFileWatcher {
  private isPending = false;
  private readonly listener: StatsListener = (current, previous) => {
    const isSame =
      current.mtimeMs === previous.mtimeMs && current.ino === previous.ino && current.size === previous.size;
    if (!isSame && !this.isPending) {
      this.isPending = true;
      // Several files replaced together are one change.
      setImmediate(() => {
        this.isPending = false;
        this.onChange();
      });
    }
  };

  constructor(
    private readonly paths: readonly string[],
    private readonly onChange: () => void,
  ) {
    for (const path of paths) {
      watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, this.listener);
    }
  }

  stop(): void {
    for (const path of this.paths) {
      unwatchFile(path, this.listener);
    }
  }
}
