/**
 * What `status` and `on()` report.
 */
import type { AddressInfo } from 'node:net';
import type { BenUdpDevice, BenUdpOutcome } from '../server/index.js';
import type { BenUdpRejection, BenUdpRemote } from '../exchange/index.js';

/** Values of `status`. UDP has no connection that could be lost, so there are no more. */
export const BenUdpStatus = {
  /** Of the transport: its socket is bound. */
  LISTENING: 'listening',
  /** Of the client: its key is loaded and the server's address is known. Nothing was sent for that. */
  CONNECTED: 'connected',
  CLOSED: 'closed',
} as const;
export type BenUdpStatus = (typeof BenUdpStatus)[keyof typeof BenUdpStatus];

/** A datagram that got no answer. */
export interface BenUdpRejectedDatagram {
  readonly reason: BenUdpRejection;
  readonly remote: BenUdpRemote;
  /** The device whose key verified, where one did and it has a name. */
  readonly device: string | undefined;
}

/** A request that has ended. */
export interface BenUdpExchange {
  /** The action, as `BenUdpContext#getPattern` gives it; `BEN_UDP_HEALTH_PATTERN` for the transport's own `ping`. */
  readonly pattern: string;
  /** The device whose key verified; `undefined` where that key has no name, and for the transport's own `ping`. */
  readonly device: string | undefined;
  readonly remote: BenUdpRemote;
  /** As `BenUdpContext#getMetadata` gives it. */
  readonly metadata: Readonly<Record<string, string>> | undefined;
  readonly outcome: BenUdpOutcome;
  /** Milliseconds from the request to its reply, or to the end of its handlers. */
  readonly durationMs: number;
}

/** Listeners for `transport.on(event, listener)`. */
export type BenUdpEvents = {
  /** The socket is bound. */
  listening: (address: AddressInfo) => void;
  /** The bound socket reported an error; the server goes on. */
  error: (error: Error) => void;
  /** The socket is closed. */
  close: () => void;
  /** A datagram got no answer. */
  rejected: (rejected: BenUdpRejectedDatagram) => void;
  /** A request has ended. */
  exchange: (exchange: BenUdpExchange) => void;
  /** A device was not heard for longer than `silentAfter`; told once until it is heard again. */
  deviceSilent: (device: BenUdpDevice) => void;
};
