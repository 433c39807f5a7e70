/**
 * Values of `status`, and events of `on()`.
 */
import type { AddressInfo } from 'node:net';
import type { BenUdpHeardDevice, BenUdpOutcome } from '../server/index.js';
import type { BenUdpProtocol, BenUdpRejection, BenUdpRemote } from '../exchange/index.js';

/** Values of `status`. UDP has no connection that could be lost, so there are no others. */
export const BenUdpStatus = {
  /** The socket of the transport is bound. */
  LISTENING: 'listening',
  /** The client has its key and the address of the server. Nothing was sent for that. */
  CONNECTED: 'connected',
  CLOSED: 'closed',
} as const;
export type BenUdpStatus = (typeof BenUdpStatus)[keyof typeof BenUdpStatus];

/** A datagram that was dropped. */
export interface BenUdpRejectedDatagram {
  readonly reason: BenUdpRejection;
  readonly remote: BenUdpRemote;
  /** The device whose key verified the datagram; `undefined` if none did, or if that key has no name. */
  readonly device: string | undefined;
}

/** A request that has ended. */
export interface BenUdpExchange {
  /** The action, as `BenUdpContext#getPattern` returns it. For the transport's own `ping` it is `BEN_UDP_HEALTH_PATTERN`. */
  readonly pattern: string;
  /** The device whose key verified; `undefined` if that key has no name, and for the transport's own `ping`. */
  readonly device: string | undefined;
  readonly remote: BenUdpRemote;
  /** As `BenUdpContext#getMetadata` returns it. */
  readonly metadata: Readonly<Record<string, string>> | undefined;
  readonly protocol: BenUdpProtocol;
  readonly outcome: BenUdpOutcome;
  /** Milliseconds from the request to its reply, or to the end of its handlers. */
  readonly durationMs: number;
  /**
   * The time at which the pair was sent. This and the following times are milliseconds since the epoch with fractions, and their
   * differences come from a monotonic clock. `undefined` if the request used an older pair, if the server had forgotten the hello, and with
   * protocol v2.
   */
  readonly pairSentAt: number | undefined;
  /** The request was read from the socket. */
  readonly receivedAt: number;
  /** The hash was verified and the request was opened. */
  readonly verifiedAt: number;
  /** The request was passed to Nest. For a queued event, this is when its turn came. */
  readonly handlerAt: number;
  /** The reply was passed to the socket; `undefined` if none was sent. */
  readonly repliedAt: number | undefined;
}

/** Listeners for `transport.on(event, listener)`. */
export type BenUdpEvents = {
  /** The socket is bound. */
  listening: (address: AddressInfo) => void;
  /** The bound socket reported an error. The server stays usable. */
  error: (error: Error) => void;
  /** The socket is closed. */
  close: () => void;
  /** A datagram was dropped. */
  rejected: (rejected: BenUdpRejectedDatagram) => void;
  /** A request has ended. */
  exchange: (exchange: BenUdpExchange) => void;
  /** A device has been silent for longer than `silentAfter`. Emitted once until the device sends another request. */
  deviceSilent: (device: BenUdpHeardDevice) => void;
};
