/**
 * One session of a client with a server of protocol v2, and a socket while it is needed. It carries one request at a time. The
 * session outlives the socket, because a server knows a device by its key.
 */
import {
  type BenUdpIgnoredReason,
  type V2ClientDecision,
  V2ClientExchange,
  type V2ClientPhase,
  type V2Failure,
} from '../exchange/index.js';
import { type DatagramSocket, type DatagramSocketOptions, type Platform, scheduleAfterRead } from '../net/index.js';
import { type ClientPeer, isRefusal } from './client-socket.js';

/** How a request of a session ended. */
export type SessionOutcome =
  /** The text of the reply; `undefined` for an acknowledgement. */
  | { readonly kind: 'done'; readonly text: string | undefined }
  /** `phase` is that in which it failed. */
  | { readonly kind: 'failed'; readonly failure: V2Failure; readonly phase: V2ClientPhase }
  /** No program listens on the port of the server: nothing ran. */
  | { readonly kind: 'no-listener'; readonly error: Error; readonly phase: V2ClientPhase }
  | { readonly kind: 'socket-error'; readonly error: Error; readonly phase: V2ClientPhase };

export interface SessionUse {
  readonly text: string;
  readonly noreturn: boolean;
  /** The server. */
  readonly peer: ClientPeer;
  /** Milliseconds that each step waits for its answer. */
  readonly timeoutMs: number;
  readonly onEnd: (outcome: SessionOutcome) => void;
}

export interface SessionOptions {
  /** 32 bytes; copied. */
  readonly key: Uint8Array;
  readonly bufferSize: number;
  /** An idle socket is closed after this time, in milliseconds. */
  readonly idleTimeoutMs: number;
}

export interface SessionHandlers {
  onIgnored(reason: BenUdpIgnoredReason, remote: ClientPeer): void;
  /** A bug here, or an idle socket failed. */
  onError(error: unknown): void;
}

export class V2ClientSession {
  private readonly exchange: V2ClientExchange;
  /** The socket, also while it is being bound, and the host that it sends from. */
  private bound: { readonly host: string; readonly opening: Promise<DatagramSocket> } | undefined;
  private socket: DatagramSocket | undefined;
  private use: SessionUse | undefined;
  private cancelTimer: () => void = () => undefined;
  private isClosed = false;

  constructor(
    private readonly options: SessionOptions,
    private readonly handlers: SessionHandlers,
    private readonly platform: Platform,
  ) {
    const { key, bufferSize } = options;
    const { randomFill: random } = platform;
    this.exchange = new V2ClientExchange({ key, bufferSize, random, wallClock: () => platform.wallClock() });
  }

  get boundSocket(): DatagramSocket | undefined {
    return this.socket;
  }

  get phase(): V2ClientPhase {
    return this.exchange.phase;
  }

  /** Begins a request. The session must be free. */
  async begin(bind: DatagramSocketOptions, use: SessionUse): Promise<void> {
    this.cancelTimer();
    this.use = use;
    let socket: DatagramSocket;
    try {
      socket = await this.provide(bind);
    } catch (error) {
      this.end(use, { kind: 'socket-error', error: error as Error, phase: 'idle' });
      return;
    }
    if (this.use === use) {
      socket.socket.ref();
      if (this.connect(socket, use)) {
        this.act(this.exchange.begin(use.text, use.noreturn, this.platform.now(), use.timeoutMs));
      }
    } else if (!this.use) {
      this.rest();
    }
  }

  /** Gives the request up without a call of `onEnd`. */
  abandon(): void {
    this.use = undefined;
    this.exchange.abandon();
    this.rest();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.cancelTimer();
    this.use = undefined;
    this.exchange.dispose();
    await this.closeSocket();
  }

  /** The bound socket, or a new one. If the server has an address of another family, the bound one can't reach it. */
  private async provide(bind: DatagramSocketOptions): Promise<DatagramSocket> {
    if (this.bound && this.bound.host !== bind.host) {
      await this.closeSocket();
    }
    this.bound ??= { host: bind.host, opening: this.open(bind) };
    const { bound } = this;
    const socket = await bound.opening;
    if (this.bound === bound) {
      this.socket = socket;
    }
    return socket;
  }

  private async open(bind: DatagramSocketOptions): Promise<DatagramSocket> {
    try {
      const socket = await this.platform.bindSocket(bind, {
        onDatagram: (datagram, remote) => this.receive(datagram, remote),
        onError: (error) => this.fail(error),
      });
      if (this.isClosed) {
        await socket.close();
        throw new Error('the client was closed');
      }
      return socket;
    } catch (error) {
      this.bound = undefined;
      throw error;
    }
  }

  /** Entry of every datagram. Must not throw: a remote peer could crash the process. */
  private receive(datagram: Buffer, remote: ClientPeer): void {
    try {
      const { phase } = this.exchange;
      const decision = this.exchange.receive(datagram, this.platform.now());
      if (decision.kind === 'ignored') {
        this.handlers.onIgnored(phase === 'idle' ? 'unasked' : 'bad-hash', remote);
      } else {
        this.act(decision, phase);
      }
    } catch (error) {
      this.handlers.onError(error);
    }
  }

  private act(decision: V2ClientDecision, phase = this.exchange.phase): void {
    const { use, socket } = this;
    if (!use || !socket) {
      return;
    }
    this.cancelTimer();
    switch (decision.kind) {
      case 'send':
        this.send(decision.datagram, socket, use);
        this.startTimer(decision.waitMs);
        return;
      case 'done':
        this.end(use, decision);
        return;
      case 'failed':
        this.end(use, { ...decision, phase });
        return;
      case 'ignored':
    }
  }

  /** Fixes the peer, because the system reports a closed port only to a connected socket. */
  private connect(socket: DatagramSocket, { peer }: SessionUse): boolean {
    try {
      return socket.connect(peer.port, peer.address);
    } catch (error) {
      this.fail(error as Error);
      return false;
    }
  }

  private send(datagram: Buffer, socket: DatagramSocket, { peer }: SessionUse): void {
    try {
      socket.send(datagram, peer.port, peer.address);
    } catch (error) {
      this.fail(error as Error);
    }
  }

  private startTimer(ms: number): void {
    const onElapsed = () => {
      const { phase } = this.exchange;
      this.act(this.exchange.elapse(), phase);
    };
    this.cancelTimer = scheduleAfterRead(this.platform, onElapsed, ms);
  }

  private fail(error: Error): void {
    const { use } = this;
    const { phase } = this.exchange;
    // Later, the server may be restarting. When it is back, it tells whether the request ran.
    if (isRefusal(error) && phase !== 'opening') {
      return;
    }
    if (!use) {
      this.handlers.onError(error);
      return;
    }
    this.exchange.abandon();
    this.end(use, { kind: isRefusal(error) ? 'no-listener' : 'socket-error', error, phase });
  }

  private end(use: SessionUse, outcome: SessionOutcome): void {
    if (this.use === use) {
      this.use = undefined;
      this.rest();
      use.onEnd(outcome);
    }
  }

  /** An idle socket does not keep the process alive, and is closed after a while. The session stays. */
  private rest(): void {
    this.cancelTimer();
    this.socket?.socket.unref();
    this.cancelTimer = this.platform.schedule(() => void this.closeSocket(), this.options.idleTimeoutMs, {
      isBackground: true,
    });
  }

  private async closeSocket(): Promise<void> {
    const { bound } = this;
    this.bound = undefined;
    this.socket = undefined;
    const socket = await bound?.opening.catch(() => undefined);
    await socket?.close();
  }
}
