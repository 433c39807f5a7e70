/**
 * Known boards beyond a restart: addresses that verified, with the fingerprint of the key and the time. They are hints, so whatever goes
 * wrong with them, the server starts.
 */
import type { KnownBoard } from '../exchange/index.js';
import type { KeyRing } from '../keys/index.js';
import type { Platform } from '../net/index.js';

/** A board that has verified. It holds no secret. */
export interface BenUdpKnownBoard {
  readonly address: string;
  readonly port: number;
  /** 16 hex digits: an HMAC under the key of the board. Without the key, nobody can test a guess of a weak key with it. */
  readonly fingerprint: string;
  /** Milliseconds since the epoch, to about ten seconds. */
  readonly lastSeenAt: number;
}

/** Keeps the known boards of a server. Each process needs a place of its own to save to. */
export interface BenUdpKnownBoardStore {
  /** The boards that were saved, by this process or others. Called once by each `listen`. The server waits at most 5 s for them. */
  load(): Promise<Iterable<BenUdpKnownBoard>>;
  /**
   * Replaces the boards that this process saved before. Called at most once a minute, and by `close`.
   *
   * @param boards at most `maxEndpoints`. They may be read in parts, with awaits in between.
   */
  save(boards: Iterable<BenUdpKnownBoard>): Promise<void>;
}

/** Between two saves. */
export const SAVE_INTERVAL_MS = 60_000;

/** A store that answers later than this does not delay the start or the end of the server any further. */
export const STORE_TIMEOUT_MS = 5000;

/** A board that was not heard for longer is forgotten: 31 days. */
const MAX_AGE_MS = 2_678_400_000;

/** The part of the exchange that this needs. */
interface Exchange {
  remember(board: KnownBoard): void;
  knownBoards(): Iterable<KnownBoard>;
}

export class KnownBoardKeeper {
  private cancel: () => void = () => undefined;
  private saving: Promise<void> = Promise.resolve();

  /** @param onFailed told if the boards can't be loaded or saved. */
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
      // The latest first, in case there are more than the exchange takes.
      for (const { address, port, fingerprint, lastSeenAt } of boards.toSorted((a, b) => b.lastSeenAt - a.lastSeenAt)) {
        const key = keys.get(fingerprint);
        const ageMs = Math.max(0, wallClock - lastSeenAt);
        if (key && ageMs < MAX_AGE_MS) {
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
        this.saving = this.save();
        this.start();
      },
      SAVE_INTERVAL_MS,
      { isBackground: true },
    );
  }

  /** Saves for the last time. */
  async close(): Promise<void> {
    this.cancel();
    await this.saving;
    await this.save();
  }

  private async save(): Promise<void> {
    await this.attempt('save', () => this.store.save(this.boards()));
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
