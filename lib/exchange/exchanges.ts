/**
 * Both protocols on one port. The first byte of a datagram identifies its protocol, and both share the limits.
 */
import type { KeyRing } from '../keys/index.js';
import { V2_START } from '../protocol/v2/index.js';
import type { Decision, LateDecision } from './decision.js';
import type { KnownBoard } from './known-boards.js';
import { holderQuota } from './limits/holder.js';
import { type BenUdpRemote, remoteOfEndpoint } from './remote.js';
import type { PendingRequest, UnsentReply } from './reply-slots.js';
import { ServerExchange, type ServerExchangeOptions } from './server-exchange.js';
import { V2Pending } from './v2/pending.js';
import { V2ServerExchange } from './v2/server-exchange.js';
import type { V2ServerOptions } from './v2/server-options.js';

export interface ExchangesOptions extends ServerExchangeOptions {
  readonly v2: Pick<V2ServerOptions, 'maxResultBytes' | 'route'>;
}

export class Exchanges {
  private readonly v1: ServerExchange;
  private readonly v2: V2ServerExchange;
  private readonly maxEndpoints: number;

  constructor({ v2, ...options }: ExchangesOptions) {
    this.v1 = new ServerExchange(options);
    const { keys, maxDatagramBytes, maxEndpoints, random } = options;
    this.maxEndpoints = maxEndpoints;
    this.v2 = new V2ServerExchange({ keys, maxDatagramBytes, ...(random && { random }), ...v2 }, this.v1.parts);
  }

  /** Verified endpoints that are remembered. */
  get knownEndpoints(): number {
    return this.v1.knownEndpoints;
  }

  /** Sessions of protocol v2. */
  get sessions(): number {
    return this.v2.sessionCount;
  }

  /** Must be called when the socket is bound. */
  start(now: number): void {
    this.v2.start(now);
  }

  useKeys(keys: KeyRing, now: number): void {
    this.v1.useKeys(keys);
    this.v2.useKeys(keys, now);
  }

  stopIssuing(): void {
    this.v1.stopIssuing();
    this.v2.stopIssuing();
  }

  awaitsRequests(now: number): boolean {
    return this.v1.awaitsRequests(now) || this.v2.awaitsRequests(now);
  }

  dispose(): void {
    this.v1.dispose();
    this.v2.dispose();
  }

  /** As `ServerExchange#receive`. */
  receive(datagram: Buffer, remote: BenUdpRemote, now: number, waited = 0, isOwn = false): Decision {
    return datagram[0] === V2_START
      ? this.v2.receive(datagram, remote, now)
      : this.v1.receive(datagram, remote, now, waited, isOwn);
  }

  /** Whether `step` has work. */
  get isSearching(): boolean {
    return this.v1.isSearching;
  }

  /** As `ServerExchange#step`. */
  step(now: number): readonly LateDecision[] {
    return this.v1.step(now);
  }

  /** As `ServerExchange#remember`. */
  remember(board: KnownBoard): void {
    this.v1.remember(board);
  }

  /**
   * The boards that have verified, at most `maxEndpoints`. No holder gets more than its share, so the sessions of a stolen key can't
   * displace all others. May be read in parts while datagrams arrive.
   */
  *knownBoards(): Generator<KnownBoard> {
    const { maxEndpoints } = this;
    const sessions = this.v2.latest(maxEndpoints - this.v1.knownEndpoints, holderQuota(maxEndpoints));
    yield* this.v1.knownBoards(sessions.length);
    for (const { endpoint, key, lastAt } of sessions) {
      yield { remote: remoteOfEndpoint(endpoint), key, heardAt: lastAt };
    }
  }

  /** As `ServerExchange#reply`. */
  reply(pending: PendingRequest, text: string, now: number): readonly Buffer[] | UnsentReply {
    return isV2(pending) ? this.v2.reply(pending, text, now) : this.v1.reply(pending, text, now);
  }

  /** As `ServerExchange#finish`. */
  finish(pending: PendingRequest, now: number): void {
    if (isV2(pending)) {
      this.v2.finish(pending, now);
    } else {
      this.v1.finish(pending, now);
    }
  }

  /** As `ServerExchange#watch`. */
  watch(pending: PendingRequest, onSuperseded: () => void): number {
    return isV2(pending) ? this.v2.watch(pending, onSuperseded) : this.v1.watch(pending, onSuperseded);
  }

  /** As `ServerExchange#whenFree`. */
  whenFree(pending: PendingRequest, start: () => void): void {
    if (isV2(pending)) {
      this.v2.whenFree(pending, start);
    } else {
      this.v1.whenFree(pending, start);
    }
  }
}

function isV2(pending: PendingRequest): pending is V2Pending {
  return pending instanceof V2Pending;
}
