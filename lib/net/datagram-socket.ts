/**
 * The one place that opens UDP sockets.
 */
import { type RemoteInfo, type Socket, createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import type { AddressInfo } from 'node:net';

export interface DatagramSocketOptions {
  /** Address or name to bind to. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Bytes asked of the system for datagrams not yet read; `undefined` leaves the system's default. */
  readonly receiveBufferSize: number | undefined;
}

export interface DatagramSocketHandlers {
  readonly onDatagram: (datagram: Buffer, remote: RemoteInfo) => void;
  /** The bound socket failed; it stays usable. */
  readonly onError: (error: Error) => void;
  /** The system refused to send a datagram: no route to its address, for example. Default `onError`. */
  readonly onSendError?: (error: Error) => void;
}

/** A bound UDP socket. */
export interface DatagramSocket {
  readonly address: AddressInfo;
  /** Bytes the system grants for datagrams not yet read. */
  readonly receiveBufferSize: number;
  readonly socket: Socket;
  /**
   * @param isFollowed whether another datagram to the same address is sent right after it. What keeps this one from being sent
   * keeps that one too, so `onError` is told of that one alone: being told costs Node a turn of its queue for each datagram.
   */
  send(datagram: Uint8Array, port: number, address: string, isFollowed?: boolean): void;
  close(): Promise<void>;
}

/** Binds a socket; rejects with the system's error where that is not possible. */
export async function bindDatagramSocket(
  { host, port, receiveBufferSize }: DatagramSocketOptions,
  { onDatagram, onError, onSendError = onError }: DatagramSocketHandlers,
): Promise<DatagramSocket> {
  // Devices speak IPv4, so a name that has both kinds of address means that one.
  const { address, family } = await lookup(host, { verbatim: false });
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    // Every address here is numeric. Node's own lookup would defer each send to a later turn.
    lookup: (hostname, _options, callback) => callback(null, hostname, family),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    // Exclusive: node:cluster would share the socket between workers, and a hello and its request would reach different ones.
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', reject);
      resolve();
    });
  }).catch((error: unknown) => {
    socket.close();
    throw error;
  });
  if (receiveBufferSize !== undefined) {
    askForReceiveBuffer(socket, receiveBufferSize);
  }
  socket.on('error', onError);
  socket.on('message', onDatagram);
  const afterSend = (error: Error | null) => {
    if (error) {
      onSendError(error);
    }
  };
  const closed = new Promise<void>((resolve) => {
    socket.once('close', resolve);
  });
  return {
    socket,
    address: socket.address(),
    receiveBufferSize: socket.getRecvBufferSize(),
    send: (datagram, toPort, toAddress, isFollowed = false) =>
      socket.send(datagram, toPort, toAddress, isFollowed ? undefined : afterSend),
    close: () => {
      try {
        socket.close();
      } catch {
        // Whoever unwrapped it has closed it already.
      }
      return closed;
    },
  };
}

/** Some systems refuse more than they allow instead of granting less; what is granted is read back either way. */
function askForReceiveBuffer(socket: Socket, bytes: number): void {
  try {
    socket.setRecvBufferSize(bytes);
  } catch {
    // The caller reports the size that was granted.
  }
}
