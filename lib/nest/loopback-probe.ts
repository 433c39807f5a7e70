/**
 * A client of this process's own server. A real exchange over loopback checks the socket, the event loop, the keys and the exchange.
 */
import { RequestClient } from '../client/index.js';
import { BEN_UDP_HEALTH_PATTERN, DEFAULT_BUFFER_SIZE } from '../constants.js';
import { BenUdpError } from '../errors.js';
import type { BenUdpRemote, VerifiedRequest } from '../exchange/index.js';
import type { KeyRing } from '../keys/index.js';
import { type Platform, scheduleAfterRead, withBindSocket } from '../net/index.js';
import { formatReply, formatRequest } from '../protocol/index.js';
import { randomBytes } from '../random.js';
import type { Answer, ListenerHandlers } from '../server/index.js';

/** A result is reused for this time, so a public health page can't use up the hello quota of this machine. */
const FRESH_MS = 1000;

/** Longer than the usual interval of health checks, so the socket stays open between them. */
const IDLE_TIMEOUT_MS = 60_000;

/** On a shared port: how long the probe waits for its own hello before it tries another source port. */
const SEARCH_MS = 5;

/**
 * In a flood, the system drops unread datagrams. A probe that failed because of one of them would restart a working server. Attempts
 * overlap, because in a flood a datagram also waits long to be read.
 */
const ATTEMPTS = 3;

const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/;

const HEALTHY: Answer = { text: formatReply('ok', DEFAULT_BUFFER_SIZE), isError: false };

/** Ends an attempt whose hello another process got. */
const ELSEWHERE = new Error('another process on the port got the hello');

interface Result {
  readonly durationMs: Promise<number>;
  /** `undefined` while the exchange is under way. */
  endedAt: number | undefined;
}

export class LoopbackProbe {
  /**
   * The action of the probe. No key holder knows it, so no device can request it. It has no handler, because Nest would list it among
   * the handlers of the app.
   */
  private readonly action: string;
  private server: { readonly address: string; readonly port: number } | undefined;
  private client: { readonly connected: Promise<RequestClient>; readonly ring: KeyRing } | undefined;
  private latest: Result | undefined;
  /**
   * The ports that its sockets have bound, at most `ATTEMPTS` for each key ring in use. No other process can send from them on this
   * machine.
   */
  private readonly ports = new Set<number>();
  /** Whether this process got the hello of the current attempt. */
  private isHeard = false;

  /** @param isShared whether other processes listen on the same port, so the system chooses one of them by the source port. */
  constructor(
    private readonly currentKeys: () => KeyRing,
    private readonly platform: Platform,
    private readonly isShared = false,
  ) {
    this.action = randomBytes(platform.randomFill, 16).toString('hex');
  }

  /** Returns handlers that answer the probe's own requests, and report them under `BEN_UDP_HEALTH_PATTERN`. */
  wrap(handlers: ListenerHandlers): ListenerHandlers {
    return {
      ...handlers,
      isOwn: ({ address, port }) => {
        const isOwn = this.ports.has(port) && this.isOfThisMachine(address);
        this.isHeard ||= isOwn;
        return isOwn;
      },
      onRequest: (request, receivedAt) =>
        this.isOwn(request) ? Promise.resolve(HEALTHY) : handlers.onRequest(request, receivedAt),
      onEnded: (ended) => {
        const { request } = ended;
        handlers.onEnded(
          this.isOwn(request)
            ? { ...ended, request: { ...request, action: BEN_UDP_HEALTH_PATTERN, device: undefined } }
            : ended,
        );
      },
    };
  }

  /** Sets the address of the bound server. */
  aim(server: { readonly address: string; readonly port: number }): void {
    this.server = server;
  }

  /**
   * Makes one exchange, in several attempts if datagrams are lost. If one is running or ended less than a second ago, returns its result.
   *
   * @returns its duration in milliseconds, from the first attempt on.
   * @throws BenUdpError `BEN_TIMEOUT`, `BEN_BAD_REPLY`, `BEN_SOCKET`.
   */
  run(timeoutMs: number): Promise<number> {
    const { latest } = this;
    if (latest && (latest.endedAt === undefined || this.platform.now() - latest.endedAt < FRESH_MS)) {
      return latest.durationMs;
    }
    const result: Result = { durationMs: this.exchange(timeoutMs), endedAt: undefined };
    const end = () => {
      result.endedAt = this.platform.now();
    };
    result.durationMs.then(end, end);
    this.latest = result;
    return result.durationMs;
  }

  async close(): Promise<void> {
    const client = await this.client?.connected.catch(() => undefined);
    await client?.close();
  }

  /** A check of only the port would let anybody on the network pass who guesses it. The system drops loopback addresses from outside. */
  private isOfThisMachine(address: BenUdpRemote['address']): boolean {
    return LOOPBACK.test(address) || address === this.server?.address;
  }

  private isOwn({ action }: VerifiedRequest): boolean {
    return action === this.action;
  }

  private readonly bindSocket: Platform['bindSocket'] = async (options, handlers) => {
    const socket = await this.platform.bindSocket(options, {
      ...handlers,
      onDatagram: (datagram, remote) => {
        // Another process has the same keys. If its pair were accepted, the client would send it the request.
        if (this.isHeard || !this.isShared) {
          handlers.onDatagram(datagram, remote);
        }
      },
    });
    const { port } = socket.address;
    const close = socket.close.bind(socket);
    this.ports.add(port);
    return Object.assign(socket, {
      close: () => {
        this.ports.delete(port);
        return close();
      },
    });
  };

  private async exchange(timeoutMs: number): Promise<number> {
    const abort = new AbortController();
    const stopTimer = this.platform.schedule(() => {
      abort.abort(
        new BenUdpError('BEN_TIMEOUT', `no exchange with itself within ${timeoutMs} ms: is the event loop blocked?`),
      );
    }, timeoutMs);
    const startedAt = this.platform.now();
    try {
      await (this.isShared ? this.findOwnPort(timeoutMs, abort.signal) : this.repeat(timeoutMs, abort.signal));
      return Math.round((this.platform.now() - startedAt) * 1000) / 1000;
    } finally {
      stopTimer();
      abort.abort();
    }
  }

  private async findOwnPort(timeoutMs: number, signal: AbortSignal): Promise<void> {
    while (!(await this.attempt(timeoutMs, signal))) {
      // The next attempt has another source port.
    }
  }

  /** Begins another exchange after each third of the time. The first that ends decides. */
  private async repeat(timeoutMs: number, signal: AbortSignal): Promise<void> {
    let cancel: () => void = () => undefined;
    const result = new Promise<void>((resolve, reject) => {
      const begin = (count: number) => {
        this.attempt(timeoutMs, signal).then(() => resolve(), reject);
        if (count < ATTEMPTS) {
          cancel = this.platform.schedule(() => begin(count + 1), timeoutMs / ATTEMPTS);
        }
      };
      begin(1);
    });
    await result.finally(() => cancel());
  }

  /** @returns false if another process on the port got the hello. */
  private async attempt(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const client = await this.connect();
    const elsewhere = new AbortController();
    this.isHeard = false;
    const stopTimer = this.isShared ? this.afterSearch(() => elsewhere.abort(ELSEWHERE)) : () => undefined;
    try {
      await client.request(
        {
          text: formatRequest({ action: this.action }),
          noreturn: false,
          pattern: BEN_UDP_HEALTH_PATTERN,
          timeout: timeoutMs,
          retries: 0,
          idempotent: true,
        },
        AbortSignal.any([signal, elsewhere.signal]),
      );
      return true;
    } catch (error) {
      if (error !== ELSEWHERE) {
        throw error;
      }
      void this.close();
      this.client = undefined;
      return false;
    } finally {
      stopTimer();
    }
  }

  /** Calls `giveUp` if the hello does not arrive in time. */
  private afterSearch(giveUp: () => void): () => void {
    const onElapsed = () => {
      if (!this.isHeard) {
        giveUp();
      }
    };
    return scheduleAfterRead(this.platform, onElapsed, SEARCH_MS);
  }

  /** Uses the first of the server's current keys. */
  private connect(): Promise<RequestClient> {
    const ring = this.currentKeys();
    if (this.client?.ring !== ring) {
      void this.close();
      const { address, port } = this.server!;
      const connected = RequestClient.create(
        {
          host: loopbackOf(address),
          port,
          localAddress: undefined,
          localPort: 0,
          bufferSize: DEFAULT_BUFFER_SIZE,
          // One for each attempt.
          maxSockets: ATTEMPTS,
          maxQueue: 0,
          idleTimeout: IDLE_TIMEOUT_MS,
        },
        ring.keys[0]!.sealer,
        { onIgnored: () => undefined, onError: () => undefined },
        withBindSocket(this.platform, this.bindSocket),
      );
      this.client = { connected, ring };
    }
    return this.client.connected;
  }
}

/** An address that reaches a socket bound to `address`. */
function loopbackOf(address: string): string {
  switch (address) {
    case '0.0.0.0':
      return '127.0.0.1';
    case '::':
      return '::1';
    default:
      return address;
  }
}
