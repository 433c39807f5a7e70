/**
 * The socket of a server. It sends the datagrams of an answer at once, or with `datagramGap` between them. A process that has left its shared
 * port sends the answers that it still owes through sockets of their own.
 */
import type { Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import type { BenUdpRemote } from '../exchange/index.js';
import type { DatagramSocket, DatagramSocketOptions, Platform } from '../net/index.js';
import { PartingReplies } from './parting-replies.js';

export interface ServerSocketOptions extends DatagramSocketOptions {
  /** Milliseconds between two datagrams of an answer. */
  readonly datagramGap: number;
}

export interface ServerSocketHandlers {
  readonly onDatagram: (datagram: Buffer, remote: BenUdpRemote) => void;
  /** The socket failed; it stays usable. Or an answer could not be sent. */
  readonly onError: (error: unknown) => void;
  /** The system refused to send a datagram, or the port of a board is closed. */
  readonly onSendError: (error: Error) => void;
}

export class ServerSocket {
  private socket!: DatagramSocket;
  /** Answers that are being sent with `datagramGap` between their datagrams. */
  private spaced = 0;
  /** Set once the process has left a shared port. */
  private parting: PartingReplies | undefined;
  private isClosed = false;

  private constructor(
    private readonly options: ServerSocketOptions,
    private readonly handlers: ServerSocketHandlers,
    private readonly platform: Platform,
  ) {}

  /** Rejects with the error of the system, or with `BEN_REUSE_PORT_UNSUPPORTED`. */
  static async bind(
    options: ServerSocketOptions,
    handlers: ServerSocketHandlers,
    platform: Platform,
  ): Promise<ServerSocket> {
    const socket = new ServerSocket(options, handlers, platform);
    socket.socket = await platform.bindSocket(options, handlers);
    return socket;
  }

  get address(): AddressInfo {
    return this.socket.address;
  }

  /** Bytes that the system grants for unread datagrams. */
  get receiveBufferSize(): number {
    return this.socket.receiveBufferSize;
  }

  /** Whether datagrams of an answer still have to leave. */
  get isSending(): boolean {
    return this.spaced > 0 || this.parting?.isBusy === true;
  }

  /** Whether the process has left its shared port. */
  get hasLeft(): boolean {
    return this.parting !== undefined;
  }

  unwrap(): Socket {
    return this.socket.socket;
  }

  /** @returns false if they are not sent: only after the process has left a shared port. */
  send(datagrams: readonly Buffer[], remote: BenUdpRemote): boolean {
    if (this.parting) {
      return this.parting.send(datagrams, remote);
    }
    if (this.options.datagramGap > 0) {
      this.spaced++;
      this.sendSpaced(datagrams, remote)
        .catch((error: unknown) => this.handlers.onError(error))
        .finally(() => this.spaced--);
      return true;
    }
    const last = datagrams.length - 1;
    for (let index = 0; index <= last; index++) {
      this.socket.send(datagrams[index]!, remote.port, remote.address, index < last);
    }
    return true;
  }

  /** Closes the socket, because a socket leaves the group of a shared port in no other way. Answers that are owed leave after that. */
  async leave(): Promise<void> {
    const { address, port } = this.address;
    const { datagramGap, receiveBufferSize } = this.options;
    const { onDatagram, onError, onSendError } = this.handlers;
    this.parting = new PartingReplies({
      bind: (peer) =>
        this.platform.bindSocket(
          { host: address, port, receiveBufferSize, reusePort: true, peer },
          // A connected socket reports a closed port of its board. A board must not cause errors of the transport.
          { onDatagram, onError: onSendError, onSendError },
        ),
      pause: datagramGap > 0 ? () => this.pause() : undefined,
      onError,
    });
    await this.socket.close();
  }

  /** Resolves when all sockets are closed. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([this.parting?.close(), this.socket.close()]);
  }

  private async sendSpaced(datagrams: readonly Buffer[], remote: BenUdpRemote): Promise<void> {
    for (const [index, datagram] of datagrams.entries()) {
      if (index > 0) {
        await this.pause();
      }
      if (this.isClosed) {
        return;
      }
      if (this.parting) {
        this.parting.send(datagrams.slice(index), remote);
        return;
      }
      this.socket.send(datagram, remote.port, remote.address);
    }
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => this.platform.schedule(resolve, this.options.datagramGap));
  }
}
