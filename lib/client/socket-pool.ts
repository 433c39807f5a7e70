/**
 * The lines of a client: how many there are, which are free, and what becomes of one whose exchange failed.
 */
import type { BenUdpIgnoredReason } from '../exchange/index.js';
import { ClientSocket, type ClientSocketOptions, type ClientPeer } from './client-socket.js';
import type { Platform } from '../net/index.js';

export interface SocketPoolOptions extends ClientSocketOptions {
  /** Lines at once; 1 where the port to send from is fixed. */
  readonly maxSockets: number;
  /** Milliseconds after which a line is closed that was not used. */
  readonly idleTimeoutMs: number;
}

/** Whoever uses the lines. */
export interface SocketPoolHandlers {
  /** A line is free. */
  onFree(): void;
  /** A line could not be opened, and there is no other. */
  onNone(error: Error): void;
  onIgnored(reason: BenUdpIgnoredReason, remote: ClientPeer): void;
  /** A line failed while nothing was asked on it, or there is a bug here. */
  onError(error: unknown): void;
}

export class SocketPool {
  private readonly sockets = new Set<ClientSocket>();
  /** The one used last at the end and taken first, so that those in excess grow old and are closed. */
  private readonly idle: ClientSocket[] = [];
  private readonly idleTimers = new Map<ClientSocket, () => void>();
  private readonly resting = new Set<ClientSocket>();
  private readonly opening = new Set<Promise<ClientSocket>>();
  /** Lines that send from an address of a family that the server is not in any more. */
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

  /** Sends from another address from now on; lines that are in use are closed when they come back. */
  sendFrom(host: string): void {
    if (host !== this.host) {
      this.host = host;
      this.sockets.forEach((line) => this.outdated.add(line));
      [...this.idle].forEach((line) => void this.discard(line));
    }
  }

  /** Lines that are open. */
  get open(): readonly ClientSocket[] {
    return [...this.sockets];
  }

  /** Lines that are open or being opened. */
  get size(): number {
    return this.sockets.size + this.opening.size;
  }

  /** Lines that could be had without another exchange having to end. */
  get vacancies(): number {
    return this.options.maxSockets - this.sockets.size + this.idle.length;
  }

  /** Whether the port to send from is fixed. */
  get isPortFixed(): boolean {
    return this.options.bind.port !== 0;
  }

  /** A free line; to be brought back by `release` or `retire`. */
  take(): ClientSocket | undefined {
    const line = this.idle.pop();
    if (line) {
      this.cancelIdleTimer(line);
    }
    return line;
  }

  /** Opens as many lines as it takes for `waiting` exchanges, as far as there is room. `onFree` tells of each. */
  provide(waiting: number): void {
    const room = this.options.maxSockets - this.size;
    for (let count = Math.min(waiting - this.opening.size, room); count > 0; count--) {
      void this.openSocket();
    }
    // What waits keeps the process alive; elsewhere a socket that is being used or bound does so.
    this.resting.forEach((line) => line.keepAlive(waiting > 0));
  }

  /** Takes back a line whose exchange succeeded. */
  release(line: ClientSocket): void {
    if (this.outdated.has(line)) {
      void this.discard(line);
      this.handlers.onFree();
      return;
    }
    this.idle.push(line);
    this.handlers.onFree();
    if (this.idle.includes(line)) {
      const cancel = this.platform.schedule(() => void this.discard(line), this.options.idleTimeoutMs, {
        isBackground: true,
      });
      this.idleTimers.set(line, cancel);
    }
  }

  /**
   * Takes back a line whose exchange failed: datagrams of that exchange may still come, and a socket that is asked again would
   * take them for those of the next one (a late hash and IV, say, for an id and its IV: their sizes are right). So the next
   * exchange gets a socket with another port, which they do not reach. Where the port is fixed there is no other, and the line
   * rests instead for `restMs`: a server that answers later than that has no claim to be understood.
   */
  retire(line: ClientSocket, restMs: number): void {
    if (!this.isPortFixed) {
      void this.discard(line);
      return;
    }
    this.resting.add(line);
    line.rest(restMs, () => {
      this.resting.delete(line);
      this.release(line);
    });
  }

  /** Closes a line, whatever it is doing. */
  async discard(line: ClientSocket): Promise<void> {
    this.sockets.delete(line);
    this.resting.delete(line);
    this.cancelIdleTimer(line);
    const place = this.idle.indexOf(line);
    if (place >= 0) {
      this.idle.splice(place, 1);
    }
    await line.close();
  }

  /** Closes all lines, those too that are being opened. */
  async close(): Promise<void> {
    this.isClosed = true;
    const open = Array.from(this.sockets, (line) => this.discard(line));
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
        onError: (error, line) => this.reportError(line, error),
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
        // Where there is another line, what waits can wait for that one.
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

  private reportError(line: ClientSocket, error: unknown): void {
    if (this.idle.includes(line)) {
      void this.discard(line);
    }
    this.handlers.onError(error);
  }

  private cancelIdleTimer(line: ClientSocket): void {
    this.idleTimers.get(line)?.();
    this.idleTimers.delete(line);
  }
}
