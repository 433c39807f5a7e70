/** A machine whose clock the test moves and whose sockets the test plays: sent datagrams are kept, received ones are given. */
import type { Socket } from 'node:dgram';
import { isIP } from 'node:net';
import {
  type DatagramSocket,
  type DatagramSocketHandlers,
  type DatagramSocketOptions,
  type Platform,
  resolveHost,
} from '../../lib/net/index.js';
import { FakePlatform } from './fake-platform.js';
import { SERVER } from './scripted-server.js';

export class ScriptedPlatform implements Platform {
  /** Every socket that was ever bound, in order. */
  readonly sockets: ScriptedSocket[] = [];
  readonly bound: DatagramSocketOptions[] = [];
  /** Thrown by `bindSocket` while it is set. */
  bindError: Error | undefined;
  /** What names stand for; a name that is not here is not known. Set to a promise to let a look-up take its time. */
  readonly names = new Map<string, string | Promise<string>>();
  lookups = 0;
  private readonly clock = new FakePlatform();

  now(): number {
    return this.clock.now();
  }

  wallClock(): number {
    return this.clock.wallClock();
  }

  get randomFill(): Platform['randomFill'] {
    return this.clock.randomFill;
  }

  schedule(callback: () => void, ms: number): () => void {
    return this.clock.schedule(callback, ms);
  }

  afterTurn(callback: () => void): void {
    this.clock.afterTurn(callback);
  }

  async bindSocket(options: DatagramSocketOptions, handlers: DatagramSocketHandlers): Promise<DatagramSocket> {
    await turn();
    this.bound.push(options);
    if (this.bindError) {
      throw this.bindError;
    }
    const socket = new ScriptedSocket(options, handlers);
    this.sockets.push(socket);
    return socket;
  }

  async resolveHost(host: string): Promise<string> {
    this.lookups++;
    if (isIP(host) !== 0) {
      return resolveHost(host, 0);
    }
    const address = this.names.get(host);
    if (address === undefined) {
      throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND', syscall: 'getaddrinfo' });
    }
    return address;
  }

  get openSockets(): ScriptedSocket[] {
    return this.sockets.filter(({ isClosed }) => !isClosed);
  }

  get pendingTimers(): number {
    return this.clock.pendingTimers;
  }

  /** Moves the clock, and lets happen what follows. */
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settle();
  }
}

export class ScriptedSocket implements DatagramSocket {
  readonly sent: Buffer[] = [];
  /** The destination of each datagram of `sent`. */
  readonly sentTo: string[] = [];
  readonly address;
  readonly receiveBufferSize = 212_992;
  isClosed = false;
  /** Whether it keeps the process alive. */
  isReferenced = true;
  /** Reported for each datagram that is sent while it is set. */
  sendError: Error | undefined;
  readonly socket = {
    ref: () => void (this.isReferenced = true),
    unref: () => void (this.isReferenced = false),
  } as unknown as Socket;

  constructor(
    { host, port }: DatagramSocketOptions,
    private readonly handlers: DatagramSocketHandlers,
  ) {
    this.address = { address: host, port: port || 50_000, family: 'IPv4' };
  }

  connect(): boolean {
    if (this.isClosed) {
      throw new Error('Not running');
    }
    return true;
  }

  send(datagram: Uint8Array, port: number, address: string): void {
    if (this.isClosed) {
      throw new Error('Not running');
    }
    const { sendError } = this;
    if (sendError) {
      process.nextTick(() => (this.handlers.onSendError ?? this.handlers.onError)(sendError));
    } else {
      this.sent.push(Buffer.from(datagram));
      this.sentTo.push(`${address}:${port}`);
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  /** Datagrams arrive, by default the server's, each in a turn of its own; and what follows happens. */
  async receive(datagrams: readonly Buffer[], remote = SERVER): Promise<void> {
    for (const datagram of datagrams) {
      // Called from the turn itself, as the machine does: callbacks of this tick run before any promise.
      await new Promise<void>((resolve) =>
        setImmediate(() => {
          this.receiveNow(datagram, remote);
          resolve();
        }),
      );
    }
    await settle();
  }

  receiveNow(datagram: Buffer, remote = SERVER): void {
    if (!this.isClosed) {
      this.handlers.onDatagram(datagram, { ...remote, family: 'IPv4', size: datagram.length });
    }
  }

  fail(error: Error): void {
    this.handlers.onError(error);
  }
}

/** Lets promises and what waits for a turn of the loop run. */
export async function settle(): Promise<void> {
  for (let count = 0; count < 6; count++) {
    await turn();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
