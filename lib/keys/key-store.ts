/**
 * The keys of a running server: loads them, replaces them on request, and reloads them if their files change.
 */
import { BenUdpError } from '../errors.js';
import type { Platform } from '../net/index.js';
import { KeyFileWatcher } from './key-file-watcher.js';
import type { FileSignature } from './key-file.js';
import type { ResolvedKeyOptions } from './key-options.js';
import type { KeyRing } from './key-ring.js';
import { loadKeyRing } from './load-keys.js';

export interface KeyStoreHandlers {
  /** The server must accept `keys` from now on. */
  onReplaced(keys: KeyRing, previous: KeyRing): void;
  /** Key files changed, and could not be loaded. The old keys stay. */
  onReloadFailed(error: unknown): void;
}

export class KeyStore {
  private ring: KeyRing | undefined;
  private reloading: Promise<void> = Promise.resolve();
  private watcher: KeyFileWatcher | undefined;

  constructor(
    private options: ResolvedKeyOptions,
    private readonly isWatching: boolean,
    private readonly handlers: KeyStoreHandlers,
    private readonly platform: Platform,
  ) {}

  /**
   * Loads the keys and begins to watch their files.
   *
   * @throws BenUdpError as `loadKeyRing`.
   */
  async load(): Promise<KeyRing> {
    const { keys, files } = await loadKeyRing(this.options, undefined, this.platform.randomFill);
    this.use(keys, files);
    return keys;
  }

  /** @throws Error unless the keys are loaded. */
  get current(): KeyRing {
    if (!this.ring) {
      throw new Error('Not listening. Call "listen" or "startAllMicroservices" first.');
    }
    return this.ring;
  }

  /**
   * Loads the files again, or other keys in their place from now on. Reloads run one after the other: a slow read must not undo a
   * later request.
   *
   * @throws BenUdpError as `loadKeyRing`; `BEN_CLOSED` if the store was closed meanwhile.
   */
  async reload(options?: ResolvedKeyOptions): Promise<void> {
    const reloading = this.reloading.then(() => this.replace(options ?? this.options));
    this.reloading = reloading.catch(() => undefined);
    await reloading;
  }

  /** Forgets the keys. `load` may be called again. */
  close(): void {
    this.watcher?.stop();
    this.watcher = undefined;
    this.ring = undefined;
  }

  private async replace(options: ResolvedKeyOptions): Promise<void> {
    const previous = this.current;
    const { keys, files } = await loadKeyRing(options, () => previous, this.platform.randomFill);
    if (this.ring !== previous) {
      throw new BenUdpError('BEN_CLOSED', 'the transport was closed while its keys were read');
    }
    this.options = options;
    this.use(keys, files);
    this.handlers.onReplaced(keys, previous);
  }

  private use(keys: KeyRing, files: ReadonlyMap<string, FileSignature>): void {
    this.ring = keys;
    this.watcher?.stop();
    this.watcher = this.isWatching
      ? new KeyFileWatcher(files, this.platform, () => void this.reloadChanged())
      : undefined;
  }

  private async reloadChanged(): Promise<void> {
    try {
      await this.reload();
    } catch (error) {
      if (this.ring) {
        this.handlers.onReloadFailed(error);
      }
    }
  }
}
