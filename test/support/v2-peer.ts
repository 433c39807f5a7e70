/** A server of protocol v2 behind a real socket, and the network before it: a test drops, doubles and forges datagrams by their turn. */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import { remoteOf } from './pure-device.js';
import { V2AnsweringServer } from './v2-server.js';
import { deriveKey } from '../../lib/keys/index.js';

/** The datagrams that arrive instead of one. */
type Fate = (datagram: Buffer, turn: number) => readonly Buffer[];

export class V2Peer {
  /** Texts in the order in which they were executed, over all restarts. */
  readonly executed: string[] = [];
  /** Datagrams as the board sent them, before the network. */
  readonly up: Buffer[] = [];
  /** Datagrams as the server sent them, before the network. */
  readonly down: Buffer[] = [];
  readonly reasons: string[] = [];
  server: V2AnsweringServer;
  upward: Fate = (datagram) => [datagram];
  downward: Fate = (datagram) => [datagram];
  answer: (text: string) => string = (text) => JSON.stringify({ data: text });
  private skippedMs = 0;

  private constructor(
    private readonly socket: Socket,
    private readonly key: Buffer,
  ) {
    this.server = this.createServer(0);
    socket.on('message', (datagram, { port }) => {
      this.up.push(datagram);
      for (const arrived of this.upward(datagram, this.up.length)) {
        this.receive(arrived, port);
      }
    });
  }

  static async start(key: Buffer): Promise<V2Peer> {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void socket.close());
    await once(socket, 'listening');
    return new V2Peer(socket, key);
  }

  get port(): number {
    return this.socket.address().port;
  }

  get now(): number {
    return performance.now() + this.skippedMs;
  }

  /** The types of the board's datagrams. */
  get upTypes(): number[] {
    return this.up.map((datagram) => datagram[1]!);
  }

  get downTypes(): number[] {
    return this.down.map((datagram) => datagram[1]!);
  }

  get bytes(): number {
    return [...this.up, ...this.down].reduce((sum, { length }) => sum + length, 0);
  }

  clear(): void {
    this.up.length = 0;
    this.down.length = 0;
    this.reasons.length = 0;
  }

  /** The time passes for the server alone. */
  skip(ms: number): void {
    this.skippedMs += ms;
  }

  /** Another process: no session, another secret, and bound for `upMs`. */
  restart({ upMs = 0, ...options }: { upMs?: number; route?: number } = {}): void {
    this.server = this.createServer(this.now - upMs, options);
  }

  private createServer(startedAt: number, options: { route?: number } = {}) {
    return new V2AnsweringServer(
      { keys: [{ device: 'board', key: deriveKey(this.key) }], startedAt, ...options },
      (text) => {
        this.executed.push(text);
        return this.answer(text);
      },
    );
  }

  private receive(arrived: Buffer, port: number): void {
    const { reason, datagram } = this.server.receive(arrived, remoteOf('127.0.0.1', port), this.now);
    if (reason) {
      this.reasons.push(reason);
    }
    if (datagram) {
      this.down.push(datagram);
      for (const sent of this.downward(datagram, this.down.length)) {
        this.socket.send(sent, port, '127.0.0.1');
      }
    }
  }
}
