/**
 * Options of the server side of protocol v2, and the state that it shares with that of v1.
 */
import type { KeyRing } from '../../keys/index.js';
import type { RandomFill } from '../../random.js';
import type { KnownBoards } from '../known-boards.js';
import type { Admissions } from '../limits/admissions.js';
import type { Holders } from '../limits/holder.js';
import type { InFlight } from '../limits/in-flight.js';

/** The route of a process without a name. */
export const SHARED_ROUTE = 0;

/** The state that this exchange shares with that of v1, because one attacker may use both. */
export interface SharedLimits {
  readonly admissions: Admissions;
  readonly holders: Holders;
  readonly inFlight: InFlight;
  readonly boards: KnownBoards;
}

export interface V2ServerOptions {
  readonly keys: KeyRing;
  /** Longest datagram that is read, in bytes. */
  readonly maxDatagramBytes: number;
  /** Bytes of all replies that are kept to be sent again. */
  readonly maxResultBytes: number;
  /**
   * Names this process among all that its boards can reach. With `SHARED_ROUTE` another process may have run a request, so this one can't
   * tell which requests have not run.
   */
  readonly route: number;
  readonly random?: RandomFill;
  /** Keys the nonces. Default: random, so no cookie outlives the process. */
  readonly secret?: Uint8Array;
  /** For tests. */
  readonly maxSessions?: number;
}
