/**
 * The server's side of the exchange: what a datagram from an endpoint leads to. No socket, no timer; the clock is passed
 * in, so that a simulator can drive it.
 *
 * Checks go from cheap to dear, and until the hash has verified all of them end in silence and a counted reason:
 * exact hello, or size and first byte → the envelope's three keys and sizes → ids it could be for, compared in constant
 * time → the id is burnt → decrypted → padding, UTF-8 and Python text, all strict.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { BenProtocolError } from '../ben-udp.errors.js';
import {
  type Envelope,
  type Request,
  type Sealed,
  decodeUtf8,
  digest,
  isHello,
  looksLikeEnvelope,
  parseEnvelope,
  parseRequest,
  unpad,
} from '../protocol/index.js';
import { type Endpoint, EndpointTable, LIVE_SLOTS } from './endpoint-table.js';
import { deriveId, derivePair, slotAt } from './id-pair.js';
import type { KeyRing, RingKey } from './key-ring.js';
import type { Rejection } from './rejection.js';

const SECRET_BYTES = 32;
const HASH_TAG_BYTES = 6;

/** Where a datagram came from, and where its answer goes. */
export interface Remote {
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
}

export interface ServerExchangeOptions {
  readonly keys: KeyRing;
  /** Longest datagram that is looked at, in bytes. */
  readonly maxDatagramBytes: number;
  /** How long after a request its reply may still be sent, in milliseconds. */
  readonly replyWithinMs: number;
  /** Endpoints that are remembered. */
  readonly maxEndpoints: number;
  /** Keys the id pairs; drawn anew by default, so that nothing recorded before a restart is valid after it. */
  readonly secret?: Uint8Array;
}

/** A request that verified, opened and could be read. */
export interface VerifiedRequest extends Request {
  readonly remote: Remote;
  /** The device whose key verified; `undefined` for a shared key. */
  readonly device: string | undefined;
  /** The decrypted Python text. */
  readonly text: string;
}

/** The right to answer a request, once and in time. */
export interface ReplyTicket {
  readonly endpoint: Endpoint;
  readonly turn: number;
  readonly key: RingKey;
  readonly id: Buffer;
  readonly deadline: number;
}

/** What a datagram led to. */
export type Receipt =
  /** The answer to a hello: datagrams 2 and 3. */
  | { readonly kind: 'pair'; readonly datagrams: readonly Buffer[] }
  | {
      readonly kind: 'request';
      readonly request: VerifiedRequest;
      /** `undefined` where the device does not wait. */
      readonly ticket: ReplyTicket | undefined;
    }
  | {
      readonly kind: 'rejected';
      readonly reason: Rejection;
      /** Whose key verified, where one did. */
      readonly device?: string | undefined;
      /** What is wrong with the text, where it could be opened. */
      readonly error?: BenProtocolError;
    };

/** Why a reply was not sent although there was one. */
export type ReplyRefusal =
  /** The device has stopped waiting: `replyWithinMs` has passed. */
  | 'late'
  /** The device has stopped waiting: it has said hello or sent a request since. Or it has its reply. */
  | 'superseded';

interface Verified {
  readonly key: RingKey;
  readonly id: Buffer;
  readonly slot: number;
}

export class ServerExchange {
  private readonly secret: Uint8Array;
  private readonly endpoints: EndpointTable;
  private isClosing = false;
  keys: KeyRing;

  constructor(private readonly options: ServerExchangeOptions) {
    this.keys = options.keys;
    this.secret = options.secret ?? randomBytes(SECRET_BYTES);
    this.endpoints = new EndpointTable(options.maxEndpoints);
  }

  /** Ids that are already issued stay valid, new ones are refused. */
  stopIssuing(): void {
    this.isClosing = true;
  }

  /** @param now monotonic milliseconds. */
  receive(datagram: Buffer, remote: Remote, now: number): Receipt {
    if (isHello(datagram)) {
      return this.receiveHello(remote, now);
    }
    if (datagram.length > this.options.maxDatagramBytes) {
      return reject('too-large');
    }
    if (!looksLikeEnvelope(datagram)) {
      return reject('unknown-datagram');
    }
    const envelope = parseEnvelope(datagram);
    return typeof envelope === 'string' ? reject(envelope) : this.receiveEnvelope(envelope, remote, now);
  }

  /** Datagrams 5 to 7, or why the device must not get them any more. */
  reply(ticket: ReplyTicket, text: string, now: number): readonly Buffer[] | ReplyRefusal {
    if (ticket.turn !== ticket.endpoint.turn) {
      return 'superseded';
    }
    ticket.endpoint.turn++;
    if (now > ticket.deadline) {
      return 'late';
    }
    const { ciphertext, iv } = ticket.key.sealer.seal(text);
    return [digest(ticket.id, ciphertext, iv), iv, ciphertext];
  }

  private receiveHello(remote: Remote, now: number): Receipt {
    if (this.isClosing) {
      return reject('closing');
    }
    const name = endpointName(remote);
    const endpoint = this.endpoints.get(name);
    const slot = slotAt(now);
    if (endpoint) {
      endpoint.turn++;
    }
    const { ciphertext, iv } = derivePair(this.secret, name, slot, endpoint?.usedIn(slot) ?? 0);
    return { kind: 'pair', datagrams: [ciphertext, iv] };
  }

  private receiveEnvelope(envelope: Envelope, remote: Remote, now: number): Receipt {
    const name = endpointName(remote);
    const slot = slotAt(now);
    const hashTag = envelope.hash.readUIntBE(0, HASH_TAG_BYTES);
    const known = this.endpoints.get(name);
    const verified = this.verify(envelope, name, known, slot);
    if (!verified) {
      return reject(known?.lastHash === hashTag ? 'replayed' : 'bad-hash');
    }
    const endpoint = this.endpoints.admit(name, slot);
    if (!endpoint) {
      return reject('table-full', verified.key);
    }
    endpoint.burn(verified.slot, slot);
    endpoint.key = verified.key;
    endpoint.lastHash = hashTag;
    endpoint.turn++;
    return this.openRequest(envelope, verified, endpoint, remote, now);
  }

  /** The key and id under which the hash is right, for an id of this endpoint that is live and unused. */
  private verify(
    { hash, data, iv }: Envelope,
    name: string,
    endpoint: Endpoint | undefined,
    current: number,
  ): Verified | undefined {
    const pairs: Array<Sealed & { slot: number }> = [];
    for (let slot = current; slot > current - LIVE_SLOTS; slot--) {
      pairs.push({ ...derivePair(this.secret, name, slot, endpoint?.usedIn(slot) ?? 0), slot });
    }
    for (const key of this.keys.startingWith(endpoint?.key)) {
      for (const pair of pairs) {
        const id = deriveId(key.sealer, pair);
        if (timingSafeEqual(digest(id, data, iv), hash)) {
          return { key, id, slot: pair.slot };
        }
      }
    }
    return undefined;
  }

  /** Decrypts and reads a request that has verified. Strict, for its hash may have been extended (SHA-256 allows that). */
  private openRequest(
    { data, iv }: Envelope,
    { key, id }: Verified,
    endpoint: Endpoint,
    remote: Remote,
    now: number,
  ): Receipt {
    const bytes = unpad(key.sealer.open(data, iv));
    if (!bytes) {
      return reject('bad-padding', key);
    }
    const text = decodeUtf8(bytes);
    if (text === undefined) {
      return reject('bad-utf8', key);
    }
    try {
      const request: VerifiedRequest = { ...parseRequest(text), remote, device: key.device, text };
      const deadline = now + this.options.replyWithinMs;
      const ticket = request.noreturn ? undefined : { endpoint, turn: endpoint.turn, key, id, deadline };
      return { kind: 'request', request, ticket };
    } catch (error) {
      if (!(error instanceof BenProtocolError)) {
        throw error;
      }
      return reject(error.code === 'BEN_BAD_REQUEST' ? 'bad-request' : 'bad-text', key, error);
    }
  }
}

/** What the pair is derived from and the table keyed by. Addresses hold no `|`, so two endpoints never read alike. */
function endpointName({ address, port }: Remote): string {
  return `${address}|${port}`;
}

function reject(reason: Rejection, key?: RingKey, error?: BenProtocolError): Receipt {
  return { kind: 'rejected', reason, device: key?.device, ...(error && { error }) };
}
