/**
 * The address behind the server's name. A restarted server may have another one, so the name is looked up again: before an
 * exchange if the address is old, and after a failed exchange. No timer runs while there are no requests.
 */
import { isIP, isIPv6 } from 'node:net';
import { BenUdpError } from '../errors.js';
import type { Platform } from '../net/index.js';
import type { ClientPeer } from './client-socket.js';

/** An older address is looked up again before an exchange. */
export const MAX_ADDRESS_AGE_MS = 60_000;

/**
 * A lookup holds requests no longer than this, and never longer than the shortest of their timeouts. After that they use the known
 * address.
 */
export const LOOKUP_PATIENCE_MS = 1000;

/** The server as the options name it. */
export interface NamedServer {
  /** Address or name. */
  readonly host: string;
  readonly port: number;
  /** Address to send from, whose family the server must have. If `undefined`, both families are accepted. */
  readonly localAddress: string | undefined;
}

export interface ServerAddressHandlers {
  /** A lookup ended or is overdue: an exchange can begin. */
  onUsable(): void;
  /** A lookup failed. Not reported again before one succeeds. */
  onError(error: Error): void;
}

type Names = Pick<Platform, 'now' | 'schedule' | 'resolveHost'>;

/**
 * The first lookup.
 *
 * @param timeoutMs `undefined` leaves the time to the system.
 * @throws BenUdpError `BEN_HOST_UNKNOWN`.
 */
export async function findServer(
  { host, port, localAddress }: NamedServer,
  timeoutMs: number | undefined,
  platform: Names,
): Promise<ClientPeer> {
  let cancel: () => void = () => undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    if (timeoutMs !== undefined) {
      cancel = platform.schedule(() => reject(unknownHost(host, `no answer within ${timeoutMs} ms`)), timeoutMs);
    }
  });
  const found = platform.resolveHost(host, familyOf(localAddress)).catch((error: Error): never => {
    throw unknownHost(host, error.message, error);
  });
  try {
    return { address: await Promise.race([found, timeout]), port };
  } finally {
    cancel();
  }
}

/** A lookup under way. */
interface Lookup {
  readonly beganAt: number;
  /** When it is overdue. */
  heldUntil: number;
  isOverdue: boolean;
  cancelTimer: () => void;
}

export class ServerAddress {
  private readonly isLiteral: boolean;
  private lookedUpAt: number;
  private isDoubtful = false;
  private lookup: Lookup | undefined;
  private isFailing = false;
  private isClosed = false;

  /** @param known as the first lookup found it. */
  constructor(
    private readonly server: NamedServer,
    private known: ClientPeer,
    private readonly handlers: ServerAddressHandlers,
    private readonly platform: Names,
  ) {
    this.isLiteral = isIP(server.host) !== 0;
    this.lookedUpAt = platform.now();
  }

  /** Another object after each lookup. */
  get peer(): ClientPeer {
    return this.known;
  }

  /** The address to send from, of the server's family. */
  get localHost(): string {
    return this.server.localAddress ?? (isIPv6(this.known.address) ? '::' : '0.0.0.0');
  }

  /** Whether an exchange can begin without a lookup. */
  get isUsable(): boolean {
    if (this.lookup) {
      // Otherwise a hanging lookup would hold every new request again.
      return this.lookup.isOverdue;
    }
    return this.isLiteral || !(this.isDoubtful || this.platform.now() - this.lookedUpAt > MAX_ADDRESS_AGE_MS);
  }

  /** An exchange with a peer failed, so the server may have moved. An older peer proves nothing about the latest lookup. */
  doubt(peer: ClientPeer): void {
    this.isDoubtful ||= peer === this.known;
  }

  /**
   * Looks the name up, unless that is under way. Calls `onUsable` when an exchange can begin.
   *
   * @param shortestTimeout in ms, of the requests that wait. Called when a lookup begins.
   */
  lookUp(shortestTimeout: () => number): void {
    if (!this.lookup) {
      this.lookup = this.begin();
      this.hasten(shortestTimeout());
    }
  }

  /** Another request waits. A lookup under way is overdue after its timeout, if not before. */
  hasten(timeoutMs: number): void {
    const { lookup, platform } = this;
    if (!lookup || lookup.isOverdue) {
      return;
    }
    const heldUntil = lookup.beganAt + Math.min(timeoutMs, LOOKUP_PATIENCE_MS);
    if (heldUntil < lookup.heldUntil) {
      lookup.heldUntil = heldUntil;
      lookup.cancelTimer();
      lookup.cancelTimer = platform.schedule(
        () => {
          lookup.isOverdue = true;
          this.handlers.onUsable();
        },
        Math.max(0, heldUntil - platform.now()),
      );
    }
  }

  /** Reports nothing any more, also of a lookup under way. */
  close(): void {
    this.isClosed = true;
    this.lookup?.cancelTimer();
  }

  private begin(): Lookup {
    const { host, localAddress } = this.server;
    const { address } = this.known;
    this.platform.resolveHost(host, familyOf(localAddress)).then(
      (found) => this.end(found),
      (error: Error) => this.end(address, unknownHost(host, `${error.message}; still using ${address}`, error)),
    );
    return {
      beganAt: this.platform.now(),
      heldUntil: Infinity,
      isOverdue: false,
      cancelTimer: () => undefined,
    };
  }

  private end(address: string, error?: BenUdpError): void {
    this.lookup?.cancelTimer();
    this.lookup = undefined;
    this.lookedUpAt = this.platform.now();
    this.isDoubtful = false;
    this.known = { address, port: this.server.port };
    const isNews = error !== undefined && !this.isFailing;
    this.isFailing = error !== undefined;
    if (this.isClosed) {
      return;
    }
    this.handlers.onUsable();
    if (isNews) {
      this.handlers.onError(error);
    }
  }
}

/** 4 or 6; 0 accepts both. */
function familyOf(localAddress: string | undefined): number {
  return localAddress === undefined ? 0 : isIP(localAddress);
}

function unknownHost(host: string, reason: string, cause?: Error): BenUdpError {
  return new BenUdpError('BEN_HOST_UNKNOWN', `the host "${host}" is not known: ${reason}`, cause && { cause });
}
