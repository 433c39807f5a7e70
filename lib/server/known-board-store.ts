/**
 * Known boards beyond a restart: addresses that verified, with the fingerprint of the key and the time.
 */

/** A board that has verified. It holds no key. */
export interface BenUdpKnownBoard {
  readonly address: string;
  readonly port: number;
  /**
   * 16 hex digits: an HMAC under the key of the board. Whoever has it can test guesses of a weak key file. With protocol v2 it is public,
   * because each opening names its key by it.
   */
  readonly fingerprint: string;
  /** Milliseconds since the epoch, to about ten seconds. */
  readonly lastSeenAt: number;
}

/** Keeps the known boards of a server. Each process must save to a separate place. */
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
