/**
 * The slow and lossy network without root: a proxy in the process of the devices, for UDP alone. Each device has a socket of its own
 * towards the server, with its address.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createFaultyLink } from '../support/faulty-link.mjs';
import { HOST } from '../support/wire.mjs';

/** The headers of IPv4 and UDP. */
const HEADER_BYTES = 28;

/** @typedef {import('node:dgram').Socket} Socket */

export class UdpProxy {
  /** Both directions, lost datagrams included, because they were sent. */
  counters = { bytes: 0, packets: 0 };
  #link = createFaultyLink();
  #socket;
  #serverPort;
  /** By address and port of the device. @type {Map<string, Promise<import('node:dgram').Socket>>} */
  #upstreams = new Map();

  /**
   * @param {Socket} socket
   * @param {{ serverPort: number }} options
   */
  constructor(socket, { serverPort }) {
    this.#socket = socket;
    this.#serverPort = serverPort;
    socket.on('message', (datagram, device) => {
      const upstream = this.#upstreamOf(device);
      this.#carry(datagram, async () => (await upstream).send(datagram, this.#serverPort, HOST));
    });
  }

  /** @param {{ serverPort: number }} options */
  static async start(options) {
    return new UdpProxy(await bind(HOST, 0), options);
  }

  get port() {
    return this.#socket.address().port;
  }

  /** @param {{ loss: number, roundTripMs: number }} way from now on; `loss` is the chance of each datagram to be lost */
  setWay({ loss, roundTripMs }) {
    this.#link.setFaults({ loss, delayMs: roundTripMs / 2 });
  }

  /**
   * @param {Buffer} datagram
   * @param {() => void} deliver
   */
  #carry(datagram, deliver) {
    this.counters.packets++;
    this.counters.bytes += datagram.length + HEADER_BYTES;
    this.#link.carry('', datagram, performance.now(), deliver);
  }

  /**
   * @param {{ address: string, port: number }} device
   * @returns {Promise<Socket>}
   */
  #upstreamOf({ address, port }) {
    const name = `${address}|${port}`;
    let upstream = this.#upstreams.get(name);
    if (!upstream) {
      // Upstream's server answers to its own port number.
      upstream = bind(address, this.#serverPort);
      this.#upstreams.set(name, upstream);
      void upstream.then((socket) =>
        socket.on('message', (datagram) => this.#carry(datagram, () => this.#socket.send(datagram, port, address))),
      );
    }
    return upstream;
  }
}

/**
 * @param {string} address
 * @param {number} port
 */
async function bind(address, port) {
  // A device that comes back has its address again, but another port.
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  socket.bind({ address, port });
  await once(socket, 'listening');
  return socket;
}
