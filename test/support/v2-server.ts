/** The server of protocol v2 without a socket, and the datagrams of a device. */
import {
  DEFAULT_LIMITS,
  type Decision,
  type RejectedDecision,
  Exchanges,
  type ExchangesOptions,
  type Sender,
} from '../../lib/exchange/index.js';
import { KnownBoards } from '../../lib/exchange/known-boards.js';
import { Admissions } from '../../lib/exchange/limits/admissions.js';
import { Holder, Holders } from '../../lib/exchange/limits/holder.js';
import { InFlight, type InFlightHandler, type InFlightLimits } from '../../lib/exchange/limits/in-flight.js';
import type { SessionTable } from '../../lib/exchange/v2/session-table.js';
import type { V2Pending } from '../../lib/exchange/v2/pending.js';
import { V2ServerExchange } from '../../lib/exchange/v2/server-exchange.js';
import type { V2ServerOptions } from '../../lib/exchange/v2/server-options.js';
import { KeyRing, type NamedKey } from '../../lib/keys/index.js';
import { KEY, remoteOf } from './pure-device.js';

export const IN_FLIGHT: InFlightLimits = { maxInFlight: 1000, maxInFlightPerDevice: 1000, maxQueuedEvents: 32 };

export interface V2TestOptions extends Partial<Omit<V2ServerOptions, 'keys'>> {
  readonly keys?: ReadonlyArray<NamedKey>;
  readonly inFlight?: Partial<InFlightLimits>;
  readonly limits?: Partial<typeof DEFAULT_LIMITS>;
  readonly isReserved?: (sender: Sender) => boolean;
  /** The limits of a v1 server, if they are shared. */
  readonly admissions?: Admissions;
  /** When the socket was bound. */
  readonly startedAt?: number;
}

export function createV2Server(given: V2TestOptions = {}) {
  const { keys, inFlight, limits, isReserved, admissions, startedAt = 0, ...options } = given;
  const holders = new Holders();
  const server = new V2ServerExchange(
    {
      maxDatagramBytes: 4096,
      maxResultBytes: 1_000_000,
      route: 1,
      ...options,
      keys: new KeyRing(keys ?? [{ device: 'board', key: KEY }]),
    },
    {
      holders,
      boards: new KnownBoards(100),
      admissions: admissions ?? new Admissions({ ...DEFAULT_LIMITS, ...limits }, isReserved),
      inFlight: new InFlight({ ...IN_FLIGHT, ...inFlight }, 10_000, holders),
    },
  );
  server.start(startedAt);
  return server;
}

/** Both protocols, and their keys. */
export function createExchanges({
  keys = [{ device: 'board', key: KEY }],
  ...options
}: Partial<Omit<ExchangesOptions, 'keys'>> & { keys?: readonly NamedKey[] } = {}) {
  const ring = new KeyRing(keys);
  const exchanges = new Exchanges({
    maxDatagramBytes: 4096,
    deviceTimeoutMs: 10_000,
    maxEndpoints: 100,
    limits: DEFAULT_LIMITS,
    inFlight: IN_FLIGHT,
    repair: true,
    v2: { maxResultBytes: 1_000_000, route: 1 },
    ...options,
    keys: ring,
  });
  exchanges.start(0);
  return { exchanges, ring };
}

/** The decision in one word. */
export function outcomeOf(decision: Decision): string {
  return decision.kind === 'rejected' ? decision.reason : decision.kind;
}

/** The decision, if it is an accepted request. */
export function accepted(decision: Decision) {
  if (decision.kind !== 'request') {
    throw new Error(`not accepted: ${outcomeOf(decision)}`);
  }
  return decision;
}

/** The server's own side of an accepted request. */
export const tokenOf = (decision: Decision) => (decision as { pending: unknown }).pending as V2Pending;

export function datagramOf(decision: Decision): Buffer | undefined {
  return 'datagrams' in decision ? decision.datagrams?.[0] : undefined;
}

export interface Answered {
  readonly reason?: string;
  readonly datagram?: Buffer | undefined;
}

/** A server whose handlers answer at once. */
export class V2AnsweringServer {
  readonly exchange: V2ServerExchange;
  private readonly inFlight: InFlight;
  private blocker: InFlightHandler | undefined;

  /** @param handle the text of the reply to a request. */
  constructor(
    options: V2TestOptions,
    private readonly handle: (text: string) => string,
  ) {
    this.exchange = createV2Server({ ...options, inFlight: { maxInFlight: 1 } });
    this.inFlight = (this.exchange as unknown as { limits: { inFlight: InFlight } }).limits.inFlight;
  }

  /** Whether all handlers are taken. */
  set isBusy(isBusy: boolean) {
    if (isBusy && !this.blocker) {
      this.blocker = this.inFlight.begin({ running: 0, holder: new Holder('blocker') }, false, 0)!;
    } else if (!isBusy && this.blocker) {
      this.inFlight.end(this.blocker, 0);
      this.blocker = undefined;
    }
  }

  /** A real server never stops closing. */
  set isClosing(isClosing: boolean) {
    Object.assign((this.exchange as unknown as { openings: object }).openings, { isClosing });
  }

  forgetSessions(): void {
    (this.exchange as unknown as { sessions: SessionTable }).sessions.keep(() => false);
  }

  receive(datagram: Buffer, remote = remoteOf('127.0.0.1'), now = 0): Answered {
    const decision = this.exchange.receive(datagram, remote, now);
    const answer = datagramOf(decision);
    if (decision.kind === 'rejected') {
      return { reason: decision.reason, datagram: decision.pending ? this.refuse(decision, now) : answer };
    }
    if (decision.kind !== 'request') {
      return { datagram: answer };
    }
    const pending = decision.pending as unknown as V2Pending;
    const text = this.handle(decision.request.text);
    const reply = decision.request.noreturn ? 'superseded' : this.exchange.reply(pending, text, now);
    this.exchange.finish(pending, now);
    return { datagram: typeof reply === 'string' ? answer! : reply[0]! };
  }

  /** The error reply to a request that does not run. */
  private refuse({ reason, pending }: RejectedDecision, now: number): Buffer | undefined {
    const token = pending as unknown as V2Pending;
    const reply = this.exchange.reply(token, JSON.stringify({ data: null, error: { message: reason } }), now);
    this.exchange.finish(token, now);
    return typeof reply === 'string' ? undefined : reply[0];
  }
}
