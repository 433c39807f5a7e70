/**
 * Loads and saves the known boards of a server. They are hints, so the server starts even if they can't be loaded.
 */
import { MONTH_MS } from '../constants.js';
import type { KnownBoard } from '../exchange/index.js';
import type { KeyRing } from '../keys/index.js';
import type { Platform } from '../net/index.js';
import type { BenUdpKnownBoard, BenUdpKnownBoardStore } from './known-board-store.js';

/** Interval of the saves. */
export const SAVE_INTERVAL_MS = 60_000;

/** The start and the end of the server wait no longer than this for the store. */
export const STORE_TIMEOUT_MS = 5000;

/** The part of the exchange that the keeper needs. */
interface Exchange {
  remember(board: KnownBoard): void;
  knownBoards(): Iterable<KnownBoard>;
}

export class KnownBoardKeeper {
  private cancel: () => void = () => undefined;
  private saving: Promise<void> = Promise.resolve();

  /** @param onFailed called if the boards can't be loaded or saved. */
  constructor(
    private readonly exchange: Exchange,
    private readonly store: BenUdpKnownBoardStore,
    private readonly platform: Platform,
    private readonly onFailed: (action: 'load' | 'save', error: unknown) => void,
  ) {}

  /** Gives the exchange the boards whose keys are in the ring. */
  async load(ring: KeyRing): Promise<void> {
    await this.attempt('load', async () => {
      const boards = [...(await this.store.load())];
      if (boards.length === 0) {
        return;
      }
      const keys = new Map(ring.keys.map((key) => [key.boardFingerprint, key]));
      const [now, wallClock] = [this.platform.now(), this.platform.wallClock()];
      // The latest first, in case there are more than the exchange takes. Boards without a request for a month are forgotten.
      for (const { address, port, fingerprint, lastSeenAt } of boards.toSorted((a, b) => b.lastSeenAt - a.lastSeenAt)) {
        const key = keys.get(fingerprint);
        const ageMs = Math.max(0, wallClock - lastSeenAt);
        if (key && ageMs < MONTH_MS) {
          const family = address.includes(':') ? 'IPv6' : 'IPv4';
          this.exchange.remember({ remote: { address, port, family }, key, heardAt: now - ageMs });
        }
      }
    });
  }

  /** Saves once a minute from now on, until `close`. */
  start(): void {
    this.cancel = this.platform.schedule(
      () => {
        this.saving = this.attempt('save', () => this.store.save(this.boards()));
        this.start();
      },
      SAVE_INTERVAL_MS,
      { isBackground: true },
    );
  }

  /** Saves for the last time. */
  async close(): Promise<void> {
    this.cancel();
    await this.attempt('save', async () => {
      await this.saving;
      await this.store.save(this.boards());
    });
  }

  private *boards(): Iterable<BenUdpKnownBoard> {
    const offset = this.platform.wallClock() - this.platform.now();
    for (const { remote, key, heardAt } of this.exchange.knownBoards()) {
      const { address, port } = remote;
      yield { address, port, fingerprint: key.boardFingerprint, lastSeenAt: Math.round(heardAt + offset) };
    }
  }

  /** Never rejects, and takes `STORE_TIMEOUT_MS` at most. */
  private async attempt(action: 'load' | 'save', run: () => Promise<void>): Promise<void> {
    let cancelTimer: () => void = () => undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      cancelTimer = this.platform.schedule(
        () => reject(new Error(`the store has not answered for ${STORE_TIMEOUT_MS} ms`)),
        STORE_TIMEOUT_MS,
      );
    });
    try {
      await Promise.race([run(), timeout]);
    } catch (error) {
      this.onFailed(action, error);
    } finally {
      cancelTimer();
    }
  }
}
