/**
 * Sends the replies of a process that has left a shared port. A socket that stays bound would still get hellos of other boards, so
 * each reply gets a separate socket, connected to its board and closed after the last datagram.
 */
import type { BenUdpRemote } from '../exchange/index.js';
import type { DatagramSocket } from '../net/index.js';

/** Sockets that are open at once: 3 datagrams through each, so without a `datagramGap` they live for one turn. */
export const MAX_PARTING_SOCKETS = 256;

export interface PartingRepliesOptions {
  /** Binds a socket to the shared port, connected to a board. */
  bind(peer: BenUdpRemote): Promise<DatagramSocket>;
  /** Waits between two datagrams; `undefined` without a gap. */
  readonly pause: (() => Promise<void>) | undefined;
  onError(error: unknown): void;
}

export class PartingReplies {
  /** Bounded by `MAX_PARTING_SOCKETS`. */
  private readonly open = new Set<Promise<void>>();

  constructor(private readonly options: PartingRepliesOptions) {}

  get isBusy(): boolean {
    return this.open.size > 0;
  }

  /** @returns false if too many sockets are open. The reply is not sent then. */
  send(datagrams: readonly Buffer[], remote: BenUdpRemote): boolean {
    if (this.open.size >= MAX_PARTING_SOCKETS) {
      return false;
    }
    const sending = this.sendAll(datagrams, remote)
      .catch((error: unknown) => this.options.onError(error))
      .finally(() => this.open.delete(sending));
    this.open.add(sending);
    return true;
  }

  /** Resolves when all sockets are closed. */
  async close(): Promise<void> {
    await Promise.all(this.open);
  }

  private async sendAll(datagrams: readonly Buffer[], remote: BenUdpRemote): Promise<void> {
    const { bind, pause } = this.options;
    const socket = await bind(remote);
    try {
      for (const [index, datagram] of datagrams.entries()) {
        if (index > 0) {
          await pause?.();
        }
        socket.send(datagram, remote.port, remote.address);
      }
    } finally {
      await socket.close();
    }
  }
}
