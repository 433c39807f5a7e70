/**
 * A machine on a network in memory, with a clock of the test. Only the test decides when time passes, so a slow machine changes nothing.
 */
import type { Socket } from 'node:dgram';
import type { DatagramSocket, DatagramSocketHandlers, DatagramSocketOptions } from '../../lib/net/index.js';
import { FakePlatform } from './fake-platform.js';

/** A datagram leads to the next one within fewer turns of the event loop. */
const QUIET_TURNS = 10;

export class MemoryNetwork extends FakePlatform {
  private readonly sockets = new Map<string, DatagramSocketHandlers>();
  private lastPort = 50_000;
  private sent = 0;

  override readonly bindSocket = async (
    { host, port }: DatagramSocketOptions,
    handlers: DatagramSocketHandlers,
  ): Promise<DatagramSocket> => {
    const address = { address: host, port: port || ++this.lastPort, family: 'IPv4' } as const;
    this.sockets.set(nameOf(host, address.port), handlers);
    return {
      address,
      receiveBufferSize: 212_992,
      socket: { address: () => address } as Socket,
      connect: () => true,
      send: (datagram, toPort, toAddress) => {
        const copy = Buffer.from(datagram);
        this.sent++;
        setImmediate(() =>
          this.sockets.get(nameOf(toAddress, toPort))?.onDatagram(copy, { ...address, size: copy.length }),
        );
      },
      close: async () => void this.sockets.delete(nameOf(host, address.port)),
    };
  };

  /** Lets time pass until the promise settles. A timer fires only if no datagram is under way. */
  async play<T>(outcome: Promise<T>): Promise<T> {
    const state = { isOver: false };
    const end = () => void (state.isOver = true);
    outcome.then(end, end);
    await this.settle();
    while (!state.isOver) {
      this.advance(this.nextTimerMs());
      await this.settle();
    }
    return outcome;
  }

  /** Lets this time pass. */
  pass(ms: number): Promise<void> {
    return this.play(new Promise((resolve) => this.schedule(resolve, ms)));
  }

  private async settle(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      const { sent } = this;
      await new Promise((resolve) => setImmediate(resolve));
      if (this.sent !== sent) {
        quiet = 0;
      }
    }
  }
}

function nameOf(address: string, port: number): string {
  return `${address}:${port}`;
}
