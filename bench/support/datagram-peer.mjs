/**
 * The part that all peers over UDP share: a socket with an address of its own.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { HELLO, HOST, addressOf } from './wire.mjs';

/** @typedef {import('./peers.mjs').Peer} Peer */
/** @typedef {import('./peers.mjs').PeerOptions} PeerOptions */

export class DatagramPeer {
  /** @type {import('node:dgram').Socket} Set by `open`. */
  socket;
  /** Any free one. */
  localPort = 0;

  /**
   * @param {number} index
   * @param {PeerOptions} options
   * @param {(peer: Peer) => void} onDone
   */
  constructor(index, { port, noreturn }, onDone) {
    this.index = index;
    this.port = port;
    this.noreturn = noreturn;
    this.onDone = onDone;
    this.received = 0;
  }

  async open() {
    this.socket = createSocket('udp4');
    // A server that has ended refuses datagrams. The exchange counts as lost.
    this.socket.on('error', () => undefined);
    this.socket.on('message', (datagram) => this.receive(datagram));
    this.socket.bind({ address: addressOf(this.index), port: this.localPort });
    await once(this.socket, 'listening');
    // With a connected socket, Node looks up no address and the system no route for each datagram.
    this.socket.connect(this.port, HOST);
    await once(this.socket, 'connect');
  }

  begin() {
    this.received = 0;
    this.socket.send(HELLO);
  }

  close() {
    this.socket.close();
  }

  /**
   * @abstract
   * @param {Buffer} _datagram
   */
  receive(_datagram) {
    throw new Error('a board reads its datagrams');
  }
}
