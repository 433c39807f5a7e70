/**
 * What a listener is told, and whom it tells.
 */
import type {
  BenUdpLimits,
  BenUdpRemote,
  InFlightLimits,
  RejectedDecision,
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
  /** Whether an address is in a network with a budget of its own. */
  readonly isReserved?: (remote: BenUdpRemote) => boolean;
  /** Bytes of all replies of protocol v2 that are kept to be sent again. */
  readonly maxResultBytes: number;
  /** Sessions of protocol v2 for a shared key at one address. */
  readonly maxSessionsPerAddress: number;
  /** Keeps the known boards beyond a restart. Default: nothing does. */
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

/** Answers requests, and is told what happens. */
export interface ListenerHandlers {
  /** Whether the own health probe sent a datagram. */
  isOwn?(remote: BenUdpRemote): boolean;
  /** @param receivedAt the time of its arrival, in monotonic milliseconds. An event may have been queued since. */
  onRequest(request: VerifiedRequest, receivedAt: number): Promise<Answer>;
  onRejected(rejected: RejectedDecision, remote: BenUdpRemote): void;
  /** The text of the reply to a verified request that can't be read, or that finds the server busy; `undefined` to send none. */
  onRefused(rejected: RejectedDecision): string | undefined;
  onEnded(ended: EndedExchange): void;
  /** A bug here or in one of these handlers, or a failure of the socket. The listener goes on. */
  onError(error: unknown): void;
  /** The known boards could not be loaded or saved. The server goes on without. */
  onStoreFailed?(action: 'load' | 'save', error: unknown): void;
  /** The system refused to send a datagram. A forged sender address can cause this, so it is no failure here. */
  onSendError(error: Error): void;
}
