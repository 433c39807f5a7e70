/**
 * One socket of a client. A reply does not name its request, so a socket carries one exchange at a time. Each step has a timeout.
 */
import type { ClientExchange, BenUdpIgnoredReason } from '../exchange/index.js';
import { type DatagramSocket, type DatagramSocketOptions, type Platform, scheduleAfterRead } from '../net/index.js';

/** How an exchange ended. */
export type SocketOutcome =
  /** The text of the reply; `undefined` for `noreturn`. */
  | { readonly kind: 'done'; readonly text: string | undefined }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'bad-reply' }
  /** No program listens on the server's port. */
  | { readonly kind: 'refused'; readonly error: Error }
  | { readonly kind: 'socket-error'; readonly error: Error };

/** An exchange on a socket. */
export interface SocketUse {
  readonly exchange: ClientExchange;
  /** The server. */
  readonly peer: ClientPeer;
  readonly noreturn: boolean;
  /** Milliseconds for each step. */
  readonly timeoutMs: number;
  readonly onEnd: (outcome: SocketOutcome) => void;
}

/** Events outside an exchange. */
export interface ClientSocketHandlers {
  onIgnored(reason: BenUdpIgnoredReason, remote: ClientPeer): void;
  /** The idle socket failed, or there is a bug here. Do not use the socket again. */
  onError(error: unknown, socket: ClientSocket): void;
}

export interface ClientPeer {
  readonly address: string;
  readonly port: number;
}

export interface ClientSocketOptions {
  readonly bind: DatagramSocketOptions;
}

/** Errors of the system that a closed port of the server causes. Windows reports a reset connection. */
const REFUSED_CODES: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'ECONNRESET']);

export function isRefusal(error: Error): boolean {
  return REFUSED_CODES.has((error as NodeJS.ErrnoException).code);
}

export class ClientSocket {
  private socket!: DatagramSocket;
  private use: SocketUse | undefined;
  /** A failed exchange whose datagrams may still arrive. */
  private givenUp: { readonly exchange: ClientExchange; readonly onEnd: () => void } | undefined;
  private lastExchange: ClientExchange | undefined;
  private cancelTimer: () => void = () => undefined;
  private onRequestSent: () => void = () => undefined;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly handlers: ClientSocketHandlers,
    private readonly platform: Platform,
  ) {}

  /** Binds the socket. Rejects with the error of the system. */
  static async open(
    { bind }: ClientSocketOptions,
    handlers: ClientSocketHandlers,
    platform: Platform,
  ): Promise<ClientSocket> {
    const clientSocket = new ClientSocket(handlers, platform);
    clientSocket.socket = await platform.bindSocket(bind, {
      onDatagram: (datagram, remote) => clientSocket.receive(datagram, remote),
      onError: (error) => clientSocket.fail(error),
    });
    // An idle socket does not keep the process alive.
    clientSocket.keepAlive(false);
    return clientSocket;
  }

  get boundSocket(): DatagramSocket {
    return this.socket;
  }

  /** Datagrams whose late copies the next exchange ignores. */
  get remnants(): readonly Buffer[] {
    return this.lastExchange?.remnants ?? [];
  }

  /** Whether the socket keeps the process alive. */
  keepAlive(isWanted: boolean): void {
    const { socket } = this.socket;
    if (isWanted) {
      socket.ref();
    } else {
      socket.unref();
    }
  }

  /** Begins an exchange. The socket must be free. */
  begin(use: SocketUse): void {
    this.use = use;
    this.lastExchange?.dispose();
    this.lastExchange = use.exchange;
    this.keepAlive(true);
    if (this.connect(use)) {
      this.send(use.exchange.hello, use);
      this.startTimer(use);
    }
  }

  /**
   * Drops all datagrams after a failed exchange. Ends after `ms`, or when the late reply is complete, because nothing follows it.
   */
  rest(ms: number, onEnd: () => void): void {
    const exchange = this.lastExchange;
    if (!exchange) {
      onEnd();
      return;
    }
    this.givenUp = { exchange, onEnd };
    this.cancelTimer = this.platform.schedule(() => this.endRest(), ms, { isBackground: true });
  }

  /** Resolves when the current exchange has sent its request, or has ended. */
  async requestSent(): Promise<void> {
    if (this.use && (this.use.exchange.step === 'hello' || this.use.exchange.step === 'id')) {
      await new Promise<void>((resolve) => (this.onRequestSent = resolve));
    }
  }

  /** Closes the socket. Drops the current exchange without a call of `onEnd`. */
  close(): Promise<void> {
    this.cancelTimer();
    this.use = undefined;
    this.givenUp = undefined;
    this.lastExchange?.dispose();
    this.closing ??= this.socket.close();
    return this.closing;
  }

  /** Entry of every datagram. Must not throw: a remote peer could crash the process. */
  private receive(datagram: Buffer, remote: ClientPeer): void {
    try {
      if (this.use) {
        this.act(this.use, datagram, remote);
      } else {
        this.drop(datagram, remote);
      }
    } catch (error) {
      this.handlers.onError(error, this);
    }
  }

  private act(use: SocketUse, datagram: Buffer, remote: ClientPeer): void {
    const decision = use.exchange.receive(datagram, remote);
    switch (decision.kind) {
      case 'ignored':
        this.handlers.onIgnored(decision.reason, remote);
        return;
      case 'taken':
        this.startTimer(use);
        return;
      case 'request':
        this.send(decision.datagram, use);
        this.onRequestSent();
        if (use.noreturn) {
          // The system reports a refused datagram before this runs.
          queueMicrotask(() => this.end(use, { kind: 'done', text: undefined }));
        } else {
          this.startTimer(use);
        }
        return;
      case 'reply':
        this.end(use, { kind: 'done', text: decision.text });
        return;
      case 'bad-reply':
        this.end(use, { kind: 'bad-reply' });
    }
  }

  private drop(datagram: Buffer, remote: ClientPeer): void {
    this.handlers.onIgnored('unasked', remote);
    if (this.givenUp?.exchange.receive(datagram, remote).kind === 'reply') {
      this.endRest();
    }
  }

  private endRest(): void {
    const { givenUp } = this;
    this.cancelTimer();
    this.givenUp = undefined;
    givenUp?.onEnd();
  }

  /** Fixes the peer, because the system reports a closed port only to a connected socket. */
  private connect({ peer }: SocketUse): boolean {
    try {
      return this.socket.connect(peer.port, peer.address);
    } catch (error) {
      this.fail(error as Error);
      return false;
    }
  }

  private send(datagram: Buffer, { peer }: SocketUse): void {
    try {
      this.socket.send(datagram, peer.port, peer.address);
    } catch (error) {
      this.fail(error as Error);
    }
  }

  private startTimer(use: SocketUse): void {
    this.cancelTimer();
    if (this.use !== use) {
      return;
    }
    this.cancelTimer = scheduleAfterRead(
      this.platform,
      () => this.end(use, { kind: use.exchange.isReplyBad ? 'bad-reply' : 'timeout' }),
      use.timeoutMs,
    );
  }

  private end(use: SocketUse, outcome: SocketOutcome): void {
    if (this.use !== use) {
      return;
    }
    this.cancelTimer();
    this.use = undefined;
    this.keepAlive(false);
    this.onRequestSent();
    use.onEnd(outcome);
  }

  private fail(error: Error): void {
    if (this.use) {
      this.end(this.use, { kind: isRefusal(error) ? 'refused' : 'socket-error', error });
    } else if (!this.closing) {
      this.handlers.onError(error, this);
    }
  }
}
