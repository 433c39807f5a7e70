/**
 * Options of a listener, and the handlers that it calls.
 */
import type {
  BenUdpLimits,
  BenUdpRemote,
  InFlightLimits,
  RejectedDecision,
  Sender,
  VerifiedRequest,
} from '../exchange/index.js';
import type { BenUdpKnownBoardStore } from './known-board-store.js';
import type { BenUdpOutcome } from './statistics.js';

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly receiveBufferSize: number;
  readonly maxDatagramBytes: number;
  readonly timeout: number;
  readonly datagramGap: number;
  readonly maxEndpoints: number;
  readonly inFlight: InFlightLimits;
  readonly limits: BenUdpLimits;
  readonly repair: boolean;
  /** Whether other processes listen on the same port. Default false. */
  readonly reusePort?: boolean;
  /** Whether a sender is in a network with its own budget. */
  readonly isReserved?: (sender: Sender) => boolean;
  /** Bytes of all replies of protocol v2 that are kept to be sent again. */
  readonly maxResultBytes: number;
  /** Names this process for protocol v2. Default: none, so other processes may have run requests that this one has not. */
  readonly route?: number | undefined;
  /** Keeps the known boards beyond a restart. Default: they are not kept. */
  readonly knownBoards?: BenUdpKnownBoardStore | undefined;
}

/** The answer to a request. */
export interface Answer {
  /** The text of the reply; `undefined` to send none. */
  readonly text: string | undefined;
  readonly isError: boolean;
}

/** An accepted request that has ended. */
export interface EndedExchange {
  readonly request: VerifiedRequest;
  readonly outcome: BenUdpOutcome;
  /** The times of its steps, in monotonic milliseconds. */
  readonly receivedAt: number;
  readonly verifiedAt: number;
  readonly handlerAt: number;
  /** Its reply was passed to the socket, or its handlers have ended. */
  readonly endedAt: number;
}

/** Answers requests and receives events. */
export interface ListenerHandlers {
  /** Whether this server's health probe sent a datagram. */
  isOwn?(remote: BenUdpRemote): boolean;
  /** @param receivedAt the time of its arrival, in monotonic milliseconds. An event may have been queued since. */
  onRequest(request: VerifiedRequest, receivedAt: number): Answer | Promise<Answer>;
  onRejected(rejected: RejectedDecision, remote: BenUdpRemote): void;
  /** The text of the reply to a verified request that can't be read, or that finds the server busy; `undefined` to send none. */
  onRefused(rejected: RejectedDecision): string | undefined;
  onEnded(ended: EndedExchange): void;
  /** A bug here or in one of these handlers, or a failure of the socket. The listener continues. */
  onError(error: unknown): void;
  /** The known boards could not be loaded or saved. The server continues without them. */
  onStoreFailed?(action: 'load' | 'save', error: unknown): void;
  /** The system refused to send a datagram. A forged sender address can cause this, so it is not a failure of the server. */
  onSendError(error: Error): void;
}
