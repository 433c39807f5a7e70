/**
 * The decision on a datagram.
 */
import type { BenUdpProtocolError } from '../errors.js';
import type { RingKey } from '../keys/index.js';
import type { Request } from '../protocol/index.js';
import type { BenUdpRejection } from './rejection.js';
import type { BenUdpRemote, EndpointKey, Sender } from './remote.js';
import type { PendingRequest } from './reply-slots.js';

/** A datagram that arrived. */
export interface Arrival {
  readonly sender: Sender;
  readonly now: number;
  readonly slot: number;
  /** How long the datagram may have waited to be read. */
  readonly waited: number;
  /** Whether this server's health probe sent it. */
  readonly isOwn: boolean;
}

/** A request that verified and could be read. */
export interface VerifiedRequest extends Request {
  readonly remote: BenUdpRemote;
  readonly endpoint: EndpointKey;
  /** The device whose key verified; `undefined` for a shared key. */
  readonly device: string | undefined;
  /** The decrypted Python text. */
  readonly text: string;
  readonly protocol: BenUdpProtocol;
  /** The longest sealed reply that the device can receive, in bytes; `undefined` if the device did not say. */
  readonly replyBytes: number | undefined;
  /** When its pair was sent, in monotonic milliseconds; -Infinity if that is not known. */
  readonly pairSentAt: number;
}

/** The version of the protocol. */
export type BenUdpProtocol = 'v1' | 'v2';

export type Decision =
  /** A hello is answered: datagrams 2 and 3, or only 2. */
  | { readonly kind: 'pair'; readonly datagrams: readonly Buffer[] }
  /** An opening of protocol v2 is answered. */
  | { readonly kind: 'grant'; readonly datagrams: readonly Buffer[] }
  /** The kept reply to a copy of a request is sent again. */
  | { readonly kind: 'resent'; readonly datagrams: readonly Buffer[] }
  | AcceptedDecision
  /** The key of the request is searched for, or the hello waits for that. `step` continues, and returns the decision. */
  | { readonly kind: 'searching' }
  | RejectedDecision;

/** A request is accepted. Each `pending` must be passed to `finish`. */
export interface AcceptedDecision {
  readonly kind: 'request';
  readonly request: VerifiedRequest;
  readonly pending: PendingRequest;
  /** Sent at once: an acknowledgement. */
  readonly datagrams?: readonly Buffer[];
}

/** A datagram is dropped. */
export interface RejectedDecision {
  readonly kind: 'rejected';
  readonly reason: BenUdpRejection;
  /** The device whose key verified, if one did. */
  readonly device?: string | undefined;
  /** The mistake in the request, if its hash was right. */
  readonly error?: BenUdpProtocolError;
  /** Sent at once. They end the wait of a device that could not read a reply. */
  readonly datagrams?: readonly Buffer[];
  /** Set if the device waits for a reply and may learn the reason. Must be passed to `finish`. */
  readonly pending?: PendingRequest;
}

/** A decision that took more than one step. */
export interface LateDecision {
  readonly decision: Decision;
  readonly remote: BenUdpRemote;
  /** When the datagram was received. */
  readonly receivedAt: number;
}

export function reject(reason: BenUdpRejection, key?: RingKey, error?: BenUdpProtocolError): RejectedDecision {
  const device = key?.device;
  return error ? { kind: 'rejected', reason, device, error } : { kind: 'rejected', reason, device };
}
