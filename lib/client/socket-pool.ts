/**
 * The sockets of a client: how many there are, which are free, and what happens to a socket after a failed exchange.
 */
import type { BenUdpIgnoredReason } from '../exchange/index.js';
import { ClientSocket, type ClientSocketOptions, type ClientPeer } from './client-socket.js';
import type { Platform } from '../net/index.js';

export interface SocketPoolOptions extends ClientSocketOptions {
  /** Largest number of sockets; 1 if `bind.port` is fixed. */
  readonly maxSockets: number;
  /** An idle socket is closed after this time, in milliseconds. */
  readonly idleTimeoutMs: number;
}

export interface SocketPoolHandlers {
  /** A socket is free. */
  onFree(): void;
  /** No socket could be bound, and there is no other. */
  onNone(error: Error): void;
  onIgnored(reason: BenUdpIgnoredReason, remote: ClientPeer): void;
  /** An idle socket failed, or there is a bug here. */
  onError(error: unknown): void;
}

export class SocketPool {
  /** This and the collections below are bounded by `maxSockets`. */
  private readonly sockets = new Set<ClientSocket>();
  /** The most recently used is last and is taken first, so surplus sockets stay idle and are closed. */
  private readonly idle: ClientSocket[] = [];
  private readonly idleTimers = new Map<ClientSocket, () => void>();
  private readonly resting = new Set<ClientSocket>();
  private readonly opening = new Set<Promise<ClientSocket>>();
  /** Sockets of an address family that the server has left. */
  private outdated = new WeakSet<ClientSocket>();
  private host: string;
  private isClosed = false;

  constructor(
    private readonly options: SocketPoolOptions,
    private readonly handlers: SocketPoolHandlers,
    private readonly platform: Platform,
  ) {
    this.host = options.bind.host;
  }

  /** Sends from another address from now on. Busy sockets are closed after their exchange. */
  sendFrom(host: string): void {
    if (host !== this.host) {
      this.host = host;
      this.sockets.forEach((socket) => this.outdated.add(socket));
      [...this.idle].forEach((socket) => void this.discard(socket));
    }
  }

  /** Open sockets. */
  get open(): readonly ClientSocket[] {
    return [...this.sockets];
  }

  /** Sockets that are open or being bound. */
  get size(): number {
    return this.sockets.size + this.opening.size;
  }

  /** Exchanges that could begin now. */
  get vacancies(): number {
    return this.options.maxSockets - this.sockets.size + this.idle.length;
  }

  /** Whether the local port is fixed. */
  get isPortFixed(): boolean {
    return this.options.bind.port !== 0;
  }

  /** Takes a free socket. Return it with `release` or `retire`. */
  take(): ClientSocket | undefined {
    const socket = this.idle.pop();
    if (socket) {
      this.cancelIdleTimer(socket);
    }
    return socket;
  }

  /** Opens sockets for `waiting` exchanges, up to `maxSockets`. Calls `onFree` for each. */
  provide(waiting: number): void {
    const room = this.options.maxSockets - this.size;
    for (let count = Math.min(waiting - this.opening.size, room); count > 0; count--) {
      void this.openSocket();
    }
    // Requests that wait keep the process alive. Busy sockets, and sockets being bound, do so anyway.
    this.resting.forEach((socket) => socket.keepAlive(waiting > 0));
  }

  /** Takes back a socket after a successful exchange. */
  release(socket: ClientSocket): void {
    if (this.outdated.has(socket)) {
      void this.discard(socket);
      this.handlers.onFree();
      return;
    }
    this.idle.push(socket);
    this.handlers.onFree();
    if (this.idle.includes(socket)) {
      const cancel = this.platform.schedule(() => void this.discard(socket), this.options.idleTimeoutMs, {
        isBackground: true,
      });
      this.idleTimers.set(socket, cancel);
    }
  }

  /**
   * Takes back a socket after a failed exchange. Datagrams of that exchange may still arrive, and the next exchange could mistake
   * them for its own: a late hash and IV have the sizes of an id and its IV. So the socket is closed, and the next exchange gets
   * another port. If the local port is fixed, the socket rests for `restMs` instead. Answers after that are not supported.
   */
  retire(socket: ClientSocket, restMs: number): void {
    if (!this.isPortFixed) {
      void this.discard(socket);
      return;
    }
    this.resting.add(socket);
    socket.rest(restMs, () => {
      this.resting.delete(socket);
      this.release(socket);
    });
  }

  /** Closes a socket, also a busy one. */
  async discard(socket: ClientSocket): Promise<void> {
    this.sockets.delete(socket);
    this.resting.delete(socket);
    this.cancelIdleTimer(socket);
    const place = this.idle.indexOf(socket);
    if (place >= 0) {
      this.idle.splice(place, 1);
    }
    await socket.close();
  }

  /** Closes all sockets, also those being bound. */
  async close(): Promise<void> {
    this.isClosed = true;
    const open = Array.from(this.sockets, (socket) => this.discard(socket));
    const opening = Array.from(this.opening, async (opened) => (await opened).close());
    await Promise.allSettled([...open, ...opening]);
  }

  private async openSocket(): Promise<void> {
    const { handlers, options, platform } = this;
    const { host } = this;
    const opened = ClientSocket.open(
      { bind: { ...options.bind, host } },
      {
        onIgnored: (reason, remote) => handlers.onIgnored(reason, remote),
        onError: (error, socket) => this.reportError(socket, error),
      },
      platform,
    );
    this.opening.add(opened);
    const result = await opened.catch((error: Error) => error);
    this.opening.delete(opened);
    if (!(result instanceof ClientSocket)) {
      if (host !== this.host) {
        handlers.onFree();
      } else if (this.size === 0) {
        // If there is another socket, requests wait for it.
        handlers.onNone(result);
      }
    } else if (!this.isClosed) {
      this.sockets.add(result);
      if (host !== this.host) {
        this.outdated.add(result);
      }
      this.release(result);
    }
  }

  private reportError(socket: ClientSocket, error: unknown): void {
    if (this.idle.includes(socket)) {
      void this.discard(socket);
    }
    this.handlers.onError(error);
  }

  private cancelIdleTimer(socket: ClientSocket): void {
    this.idleTimers.get(socket)?.();
    this.idleTimers.delete(socket);
  }
}
