/** A connection to a server that can lose what the server says, and break. */
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Link {
  readonly port: number;
  /** From now on, the client hears nothing, and the server everything. */
  mute(): void;
  /** Closes all connections. New ones are not mute. */
  cut(): void;
}

export async function startLink(serverPort: number): Promise<Link> {
  const sockets = new Set<Socket>();
  let isMute = false;
  const server = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (bytes) => (isMute && from === upstream) || to.write(bytes));
      from.on('error', () => from.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    sockets.forEach((socket) => socket.destroy());
    isMute = false;
  };
  onTestFinished(() => {
    server.close();
    cut();
  });
  return {
    port: (server.address() as AddressInfo).port,
    mute: () => {
      isMute = true;
    },
    cut,
  };
}
