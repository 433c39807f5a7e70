/**
 * One socket of a client. The wire has no correlation on replies, so a line carries one exchange at a time, and each step of it
 * has its time.
 */
import type { ClientExchange, BenUdpIgnoredReason } from '../exchange/index.js';
import type { DatagramSocket, DatagramSocketOptions, Platform } from '../net/index.js';

/** How an exchange ended. */
export type SocketOutcome =
  /** The text of the reply; `undefined` for `noreturn`, whose request was handed to the socket. */
  | { readonly kind: 'done'; readonly text: string | undefined }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'bad-reply' }
  | { readonly kind: 'socket-error'; readonly error: Error };

/** An exchange on a line, and whoever waits for its end. */
export interface SocketUse {
  readonly exchange: ClientExchange;
  /** The server. */
  readonly peer: ClientPeer;
  readonly noreturn: boolean;
  /** Milliseconds for each step. */
  readonly timeoutMs: number;
  readonly onEnd: (outcome: SocketOutcome) => void;
}

/** Hears what belongs to no exchange. */
export interface ClientSocketHandlers {
  onIgnored(reason: BenUdpIgnoredReason, remote: ClientPeer): void;
  /** The socket failed while nothing was asked, or there is a bug here; the line can't be relied on. */
  onError(error: unknown, line: ClientSocket): void;
}

export interface ClientPeer {
  readonly address: string;
  readonly port: number;
}

export interface ClientSocketOptions {
  readonly bind: DatagramSocketOptions;
}

export class ClientSocket {
  private socket!: DatagramSocket;
  private use: SocketUse | undefined;
  /** An exchange that was given up, while datagrams for it may still come. */
  private givenUp: { readonly exchange: ClientExchange; readonly onEnd: () => void } | undefined;
  private lastExchange: ClientExchange | undefined;
  private cancelTimer: () => void = () => undefined;
  private onRequestSent: () => void = () => undefined;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly handlers: ClientSocketHandlers,
    private readonly platform: Platform,
  ) {}

  /** Binds the socket; rejects with the system's error where that is not possible. */
  static async open(
    { bind }: ClientSocketOptions,
    handlers: ClientSocketHandlers,
    platform: Platform,
  ): Promise<ClientSocket> {
    const line = new ClientSocket(handlers, platform);
    line.socket = await platform.bindSocket(bind, {
      onDatagram: (datagram, remote) => line.receive(datagram, remote),
      onError: (error) => line.fail(error),
    });
    // An idle socket keeps no process alive.
    line.keepAlive(false);
    return line;
  }

  get boundSocket(): DatagramSocket {
    return this.socket;
  }

  /** Datagrams whose late copies are to be ignored by the next exchange. */
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

  /** Begins an exchange on a line that has none. */
  begin(use: SocketUse): void {
    this.use = use;
    this.lastExchange?.dispose();
    this.lastExchange = use.exchange;
    this.keepAlive(true);
    this.send(use.exchange.hello, use);
    this.startTimer(use);
  }

  /**
   * Gives the line rest after an exchange that was given up: what comes is dropped. Ends after `ms`, or when the reply that was
   * not waited for has come whole, for nothing follows it.
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

  /** Resolves when no request is owed: that of the exchange under way was sent, or is not to be sent any more. */
  async requestSent(): Promise<void> {
    if (this.use && (this.use.exchange.step === 'hello' || this.use.exchange.step === 'id')) {
      await new Promise<void>((resolve) => (this.onRequestSent = resolve));
    }
  }

  /** Ends whatever the line carries without telling, and closes the socket. */
  close(): Promise<void> {
    this.cancelTimer();
    this.use = undefined;
    this.givenUp = undefined;
    this.lastExchange?.dispose();
    // Where its user has closed the socket by `unwrap`, it can't be closed again.
    this.closing ??= this.socket.close().catch(() => undefined);
    return this.closing;
  }

  /** Every datagram comes in here; nothing may be thrown out of it, for that would end the process. */
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
    const receipt = use.exchange.receive(datagram, remote);
    switch (receipt.kind) {
      case 'ignored':
        this.handlers.onIgnored(receipt.reason, remote);
        return;
      case 'taken':
        this.startTimer(use);
        return;
      case 'request':
        this.send(receipt.datagram, use);
        this.onRequestSent();
        if (use.noreturn) {
          // Where the system refuses the datagram, it says so before this runs.
          queueMicrotask(() => this.end(use, { kind: 'done', text: undefined }));
        } else {
          this.startTimer(use);
        }
        return;
      case 'reply':
        this.end(use, { kind: 'done', text: receipt.text });
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
    let isOff = false;
    const cancel = this.platform.schedule(() => {
      // After a standstill of the process timers come before sockets, and the answer may be there, unread.
      this.platform.afterTurn(() => {
        if (!isOff) {
          this.end(use, { kind: use.exchange.isReplyBad ? 'bad-reply' : 'timeout' });
        }
      });
    }, use.timeoutMs);
    this.cancelTimer = () => {
      isOff = true;
      cancel();
    };
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
      this.end(this.use, { kind: 'socket-error', error });
    } else if (!this.closing) {
      this.handlers.onError(error, this);
    }
  }
}
