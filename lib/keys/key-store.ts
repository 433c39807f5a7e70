/**
 * The keys of a running server: loads them, replaces them on request, and reloads them if their files change.
 */
import { BenUdpError } from '../errors.js';
import type { Platform } from '../net/index.js';
import { KeyFileWatcher } from './key-file-watcher.js';
import type { ResolvedKeyOptions } from './key-options.js';
import type { KeyRing } from './key-ring.js';
import { type LoadedRing, loadKeyRing } from './load-keys.js';

export interface KeyStoreHandlers {
  /** The server must accept `keys` from now on. */
  onReplaced(keys: KeyRing, previous: KeyRing): void;
  /** Key files changed, and could not be loaded. The old keys stay. */
  onReloadFailed(error: unknown): void;
  /** Files of the key directory can't be used. A key that was in use stays. */
  onLeftOut(errors: readonly BenUdpError[]): void;
}

export class KeyStore {
  private loaded: LoadedRing | undefined;
  private reloading: Promise<void> = Promise.resolve();
  private watcher: KeyFileWatcher | undefined;
  private endLoad: () => void = () => undefined;

  constructor(
    private options: ResolvedKeyOptions,
    private readonly isWatching: boolean,
    private readonly handlers: KeyStoreHandlers,
    private readonly platform: Platform,
  ) {}

  /**
   * Loads the keys and begins to watch their files.
   *
   * @throws BenUdpError as `loadKeyRing`; `BEN_CLOSED` after `cancelLoad`.
   */
  async load(): Promise<KeyRing> {
    const cancelled = new Promise<never>((_resolve, reject) => {
      this.endLoad = () => reject(new BenUdpError('BEN_CLOSED', 'the transport was closed while its keys were read'));
    });
    const loaded = await Promise.race([loadKeyRing(this.options, undefined, this.platform.randomFill), cancelled]);
    this.use(loaded);
    return loaded.keys;
  }

  /** Ends a `load` that is under way: a key provider may never answer. */
  cancelLoad(): void {
    this.endLoad();
  }

  /** @throws Error unless the keys are loaded. */
  get current(): KeyRing {
    if (!this.loaded) {
      throw new Error('Not listening. Call "listen" or "startAllMicroservices" first.');
    }
    return this.loaded.keys;
  }

  /**
   * Loads the files again, or uses other keys from now on. Reloads run one after the other, because a slow read must not undo a
   * later request.
   *
   * @throws BenUdpError as `loadKeyRing`; `BEN_CLOSED` if the store was closed meanwhile.
   */
  async reload(options?: ResolvedKeyOptions): Promise<void> {
    // Without the states of the files, all are read again.
    await this.enqueue(() =>
      this.replace(options ?? this.options, this.loaded && { ...this.loaded, files: new Map() }),
    );
  }

  /** Forgets the keys. `load` may be called again. */
  close(): void {
    this.watcher?.stop();
    this.watcher = undefined;
    this.loaded = undefined;
    // One that never ends must not hold up those of the next start. If it ends, it changes nothing.
    this.reloading = Promise.resolve();
  }

  private async enqueue(replace: () => Promise<void>): Promise<void> {
    const reloading = this.reloading.then(replace);
    this.reloading = reloading.catch(() => undefined);
    await reloading;
  }

  /** @param replaced files in the state of this one are not read again. */
  private async replace(options: ResolvedKeyOptions, replaced?: LoadedRing): Promise<void> {
    const previous = this.current;
    const loaded = await loadKeyRing(options, () => previous, this.platform.randomFill, replaced);
    if (this.loaded?.keys !== previous) {
      throw new BenUdpError('BEN_CLOSED', 'the transport was closed while its keys were read');
    }
    this.options = options;
    this.use(loaded);
    this.handlers.onReplaced(loaded.keys, previous);
    previous.retire(loaded.keys);
  }

  private use(loaded: LoadedRing): void {
    this.loaded = loaded;
    if (loaded.leftOut.length > 0) {
      this.handlers.onLeftOut(loaded.leftOut);
    }
    this.watcher?.stop();
    const path = this.options.directory;
    this.watcher = this.isWatching
      ? new KeyFileWatcher(
          loaded.files,
          this.platform,
          () => void this.reloadChanged(),
          path === undefined ? undefined : { path, signature: loaded.directory },
        )
      : undefined;
  }

  private async reloadChanged(): Promise<void> {
    try {
      await this.enqueue(() => this.replace(this.options, this.loaded));
    } catch (error) {
      if (this.loaded) {
        this.handlers.onReloadFailed(error);
      }
    }
  }
}
