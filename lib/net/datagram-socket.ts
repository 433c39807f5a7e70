/**
 * The one place that opens UDP sockets.
 */
import { type RemoteInfo, type Socket, type SocketOptions, createSocket } from 'node:dgram';
import { type AddressInfo, isIPv6 } from 'node:net';
import { resolveHost } from './resolve-host.js';
import { requireReusePort } from './reuse-port.js';

export interface DatagramSocketOptions {
  /** Address or name to bind to. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Bytes requested from the system for unread datagrams; `undefined` keeps the default of the system. */
  readonly receiveBufferSize: number | undefined;
  /** Whether other sockets with this option may bind the same address and port. Default false. */
  readonly reusePort?: boolean;
  /** As `connect`, in the turn of the bind. A socket on a shared port receives datagrams of others until it is connected. */
  readonly peer?: { readonly address: string; readonly port: number };
}

/** The types of Node 20 do not have the option. */
type ReusePortOptions = SocketOptions & { readonly reusePort?: boolean };

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
  /** Bytes that the system grants for unread datagrams. */
  readonly receiveBufferSize: number;
  readonly socket: Socket;
  /**
   * @param isFollowed whether another datagram to the same address is sent right after this one. An error that stops this one stops
   * that one too, so only the last reports it: a callback costs Node a turn of its queue for each datagram.
   */
  send(datagram: Uint8Array, port: number, address: string, isFollowed?: boolean): void;
  /**
   * Fixes the peer. The system then drops datagrams of others, and reports a closed port of the peer to `onError` as `ECONNREFUSED`.
   *
   * @returns false if the system refuses, because there is no route for example. Its error goes to `onError`.
   */
  connect(port: number, address: string): boolean;
  /** Resolves when it is closed. May be called more than once. */
  close(): Promise<void>;
}

/** Binds a socket; rejects with the error of the system, or with `BEN_REUSE_PORT_UNSUPPORTED`. */
export async function bindDatagramSocket(
  { host, port, receiveBufferSize, reusePort = false, peer: fixedPeer }: DatagramSocketOptions,
  { onDatagram, onError, onSendError = onError }: DatagramSocketHandlers,
): Promise<DatagramSocket> {
  if (reusePort) {
    requireReusePort();
  }
  const address = await resolveHost(host, 0);
  const family = isIPv6(address) ? 6 : 4;
  const options: ReusePortOptions = {
    type: family === 6 ? 'udp6' : 'udp4',
    // Every address here is numeric. Node's own lookup would defer each send to a later turn.
    lookup: (hostname, _options, callback) => callback(null, hostname, family),
    ...(reusePort && { reusePort }),
  };
  const socket = createSocket(options);
  /** The peer of a connected socket. */
  let peer: string | undefined;
  const connect = (toPort: number, toAddress: string): boolean => {
    const name = `${toAddress}|${toPort}`;
    if (peer !== undefined && peer !== name) {
      peer = undefined;
      socket.disconnect();
    }
    if (peer === undefined && connectNow(socket, toPort, toAddress)) {
      peer = name;
    }
    return peer !== undefined;
  };
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    // Exclusive: node:cluster would share the socket between workers, and a hello and its request would reach different ones.
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', reject);
      socket.on('error', onError);
      socket.on('message', onDatagram);
      if (fixedPeer) {
        connect(fixedPeer.port, fixedPeer.address);
      }
      resolve();
    });
  }).catch((error: unknown) => {
    socket.close();
    throw error;
  });
  if (receiveBufferSize !== undefined) {
    requestReceiveBuffer(socket, receiveBufferSize);
  }
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
    send: (datagram, toPort, toAddress, isFollowed = false) => {
      const callback = isFollowed ? undefined : afterSend;
      if (peer === undefined) {
        socket.send(datagram, toPort, toAddress, callback);
      } else {
        // Node rejects an address for a connected socket.
        socket.send(datagram, callback);
      }
    },
    connect,
    close: () => {
      try {
        socket.close();
      } catch {
        // A user who unwrapped it has closed it already.
      }
      return closed;
    },
  };
}

/** Node connects in this turn, because addresses are numeric here, and emits an error in the next one. */
function connectNow(socket: Socket, port: number, address: string): boolean {
  socket.connect(port, address);
  try {
    socket.remoteAddress();
    return true;
  } catch {
    return false;
  }
}

/** Some systems reject a size above their limit instead of granting less. The caller reads the granted size back either way. */
function requestReceiveBuffer(socket: Socket, bytes: number): void {
  try {
    socket.setRecvBufferSize(bytes);
  } catch {
    // The caller logs the granted size.
  }
}
