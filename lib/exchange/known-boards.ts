/**
 * The boards that verified before a restart and have not verified since. They are only hints: they decide which key is tried first and
 * whose budget a hello draws on, never whether a request is accepted.
 */
import type { KeyRing, RingKey } from '../keys/index.js';
import type { BenUdpRemote, EndpointKey } from './remote.js';

/** A board that has verified. */
export interface KnownBoard {
  readonly remote: BenUdpRemote;
  /** The key that verified last. */
  readonly key: RingKey;
  /** The time of its last request, on the clock of the exchange. Negative if that was before the process began. */
  readonly heardAt: number;
}

export class KnownBoards {
  /** Bounded by `capacity`. */
  private readonly boards = new Map<EndpointKey, KnownBoard>();

  /** @param capacity boards that are remembered. More are ignored. */
  constructor(private readonly capacity: number) {}

  add(endpoint: EndpointKey, board: KnownBoard): void {
    if (this.boards.size < this.capacity || this.boards.has(endpoint)) {
      this.boards.set(endpoint, board);
    }
  }

  keyOf(endpoint: EndpointKey): RingKey | undefined {
    return this.boards.get(endpoint)?.key;
  }

  /** The board has verified again, so the table of endpoints has it. */
  remove(endpoint: EndpointKey): void {
    this.boards.delete(endpoint);
  }

  /** Forgets the boards whose keys have left the ring. */
  retain(ring: KeyRing): void {
    for (const [endpoint, { key }] of this.boards) {
      if (!ring.has(key)) {
        this.boards.delete(endpoint);
      }
    }
  }

  list(): KnownBoard[] {
    return [...this.boards.values()];
  }
}
