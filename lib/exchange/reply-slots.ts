/**
 * The replies that devices wait for. An accepted request gets a token, and the token answers it at most once, in time, or not at all.
 */
import type { RingKey } from '../keys/index.js';
import { digest } from '../protocol/index.js';
import type { Endpoint } from './endpoint.js';
import { type InFlight, type InFlightHandler, whenFree } from './limits/in-flight.js';
import { ReplyWatches } from './reply-watches.js';

export declare const PENDING: unique symbol;

/** An accepted request that has not ended: a token for `reply` and `finish`. */
export interface PendingRequest {
  readonly [PENDING]: true;
}

/** Why a reply is not sent. */
export type UnsentReply =
  /** The device has given up: its timeout has passed. */
  | 'late'
  /** The device does not wait: it has sent a hello or a request since, it has its reply, or it sent `noreturn`. */
  | 'superseded';

/** The state that a reply needs. */
export interface ReplySlot {
  readonly endpoint: Endpoint;
  readonly key: RingKey;
  readonly id: Buffer;
  /** The reply must leave before this. */
  readonly deadline: number;
}

/** The content of the token. */
interface PendingState extends ReplySlot {
  readonly turn: number;
  readonly isReplyDue: boolean;
  /** `undefined` for a request that runs no handler. */
  readonly handler: InFlightHandler | undefined;
}

export class ReplySlots {
  private readonly watches = new ReplyWatches<Endpoint>();

  constructor(private readonly inFlight: InFlight) {}

  /**
   * Begins a turn of the endpoint, and returns the token for it.
   *
   * @param waitingSince the time of the request, if the device waits for a reply.
   */
  open(slot: ReplySlot, waitingSince: number | undefined, handler?: InFlightHandler): PendingRequest {
    return tokenOf(slot, this.beginTurn(slot.endpoint, waitingSince), waitingSince !== undefined, handler);
  }

  /** The same for a reply that is sent at once: afterwards, nothing is due. */
  openRefusal(slot: ReplySlot): PendingRequest {
    return tokenOf(slot, this.beginTurn(slot.endpoint, undefined), true, undefined);
  }

  /** The device no longer waits for the reply to an earlier request. */
  beginTurn(endpoint: Endpoint, waitingSince: number | undefined): number {
    this.watches.supersede(endpoint);
    return endpoint.beginTurn(waitingSince);
  }

  /** Datagrams 5 to 7, or the reason not to send them. */
  seal(pending: PendingRequest, text: string, now: number): readonly Buffer[] | UnsentReply {
    const { endpoint, turn, isReplyDue, key, id, deadline } = stateOf(pending);
    if (!isReplyDue || turn !== endpoint.turn) {
      return 'superseded';
    }
    this.watches.end(endpoint);
    endpoint.beginTurn(undefined);
    if (now > deadline) {
      return 'late';
    }
    const { ciphertext, iv } = key.sealer.seal(text);
    const hash = digest(id, ciphertext, iv);
    id.fill(0);
    return [hash, iv, ciphertext];
  }

  /** Ends a request: its handler has ended, and its reply has been sent if there is one. */
  close(pending: PendingRequest, now: number): void {
    const { endpoint, turn, id, handler } = stateOf(pending);
    id.fill(0);
    if (turn === endpoint.turn) {
      this.watches.end(endpoint);
      endpoint.beginTurn(undefined);
    }
    if (handler) {
      this.inFlight.end(handler, now);
    }
  }

  /**
   * Watches whether the device of a request still waits.
   *
   * @param onSuperseded called once if the device sends its next hello or request first.
   * @returns the time until which a reply may be sent: -Infinity if the device no longer waits, Infinity if it never did.
   */
  watch(pending: PendingRequest, onSuperseded: () => void): number {
    const { endpoint, turn, isReplyDue, deadline } = stateOf(pending);
    if (!isReplyDue) {
      return Infinity;
    }
    if (turn !== endpoint.turn) {
      return -Infinity;
    }
    this.watches.begin(endpoint, onSuperseded);
    return deadline;
  }

  /** Calls `start` when the handler of a request may run: at once, or when earlier handlers of its device have ended. */
  whenFree(pending: PendingRequest, start: () => void): void {
    whenFree(stateOf(pending).handler, start);
  }
}

function tokenOf(
  { endpoint, key, id, deadline }: ReplySlot,
  turn: number,
  isReplyDue: boolean,
  handler: InFlightHandler | undefined,
): PendingRequest {
  const state: PendingState = { endpoint, turn, isReplyDue, key, id, deadline, handler };
  return state as unknown as PendingRequest;
}

function stateOf(pending: PendingRequest): PendingState {
  return pending as unknown as PendingState;
}
