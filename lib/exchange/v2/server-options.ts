/**
 * Options of the server's side of protocol v2, and what it shares with that of v1.
 */
import type { KeyRing } from '../../keys/index.js';
import type { RandomFill } from '../../random.js';
import type { Gate } from '../limits/gate.js';
import type { Holders } from '../limits/holder.js';
import type { InFlight } from '../limits/in-flight.js';

/** What this exchange shares with that of v1, because one attacker may use both. */
export interface SharedLimits {
  readonly gate: Gate;
  readonly holders: Holders;
  readonly inFlight: InFlight;
}

export interface V2ServerOptions {
  readonly keys: KeyRing;
  /** Longest datagram that is read, in bytes. */
  readonly maxDatagramBytes: number;
  /** Bytes of all replies that are kept to be sent again. */
  readonly maxResultBytes: number;
  /** Sessions of a shared key for an address. */
  readonly maxSessionsPerAddress: number;
  /** Names this process among those behind one address. */
  readonly route: number;
  /** Whether another process may use the same route. Then this one can't know what has not run. */
  readonly isRouteShared: boolean;
  readonly random?: RandomFill;
  /** Keys the nonces. Default: random, so no cookie outlives the process. */
  readonly secret?: Uint8Array;
  /** For tests. */
  readonly maxSessions?: number;
}
