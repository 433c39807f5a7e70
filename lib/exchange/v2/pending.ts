/** The token of an accepted request of protocol v2. */
import type { InFlightHandler } from '../limits/in-flight.js';
import type { PENDING, PendingRequest } from '../reply-slots.js';
import type { Session } from './session.js';

/** One for each accepted request. It ends with `finish`. */
export class V2Pending implements PendingRequest {
  declare readonly [PENDING]: true;

  constructor(
    readonly session: Session,
    readonly ctr: number,
    readonly flags: number,
    readonly arrivedAt: number,
    /** `undefined` for a request that runs no handler. */
    readonly handler: InFlightHandler | undefined,
  ) {}

  /** Whether its reply may still be sent: no later request has begun, and the session has not ended. */
  get isCurrent(): boolean {
    return this.session.ctr === this.ctr && !this.session.isEnded;
  }
}
