/** The server of protocol v2 without a socket, and what a device sends to it. */
import { type BenUdpRemote, DEFAULT_LIMITS, type Decision } from '../../lib/exchange/index.js';
import { Gate } from '../../lib/exchange/limits/gate.js';
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
  readonly isReserved?: (remote: BenUdpRemote) => boolean;
  /** When the socket was bound. */
  readonly startedAt?: number;
}

export function createV2Server({ keys, inFlight, limits, isReserved, startedAt = 0, ...options }: V2TestOptions = {}) {
  const holders = new Holders();
  const server = new V2ServerExchange(
    {
      maxDatagramBytes: 4096,
      maxResultBytes: 1_000_000,
      maxSessionsPerAddress: 64,
      route: 0,
      isRouteShared: false,
      ...options,
      keys: new KeyRing(keys ?? [{ device: 'board', key: KEY }]),
    },
    {
      holders,
      gate: new Gate({ ...DEFAULT_LIMITS, ...limits }, isReserved),
      inFlight: new InFlight({ ...IN_FLIGHT, ...inFlight }, 10_000, holders),
    },
  );
  server.start(startedAt);
  return server;
}

/** The decision in one word. */
export function outcomeOf(decision: Decision): string {
  return decision.kind === 'rejected' ? decision.reason : decision.kind;
}

export function datagramOf(decision: Decision): Buffer | undefined {
  return 'datagrams' in decision ? decision.datagrams?.[0] : undefined;
}

export interface Answered {
  readonly reason?: string;
  readonly datagram?: Buffer;
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
    if (decision.kind !== 'request') {
      return {
        ...(decision.kind === 'rejected' && { reason: decision.reason }),
        ...(answer && { datagram: answer }),
      };
    }
    const pending = decision.pending as unknown as V2Pending;
    const text = this.handle(decision.request.text);
    const reply = decision.request.noreturn ? 'superseded' : this.exchange.reply(pending, text, now);
    this.exchange.finish(pending, now);
    return { datagram: typeof reply === 'string' ? answer! : reply[0]! };
  }
}
