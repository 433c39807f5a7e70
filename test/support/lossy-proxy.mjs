/**
 * A bad network between real boards and a real server: a UDP proxy that loses, doubles, holds back, delays and damages
 * datagrams, each way by itself, with the faults of the simulator and by a seed.
 *
 * Each client has a separate socket towards the server, so the server sees an endpoint for each. On a loopback network it even sees their
 * addresses. A seed repeats the fate of the first, second and third datagram of the first, second and third client that is heard. The
 * timing of the machine decides which datagrams those are.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { nodePlatform } from '#lib/net/index.js';
import { Agenda } from '#lib/testing/agenda.js';
import { FaultyLink } from '#lib/testing/faulty-link.js';
import { Random } from '#lib/testing/random.js';

/**
 * @typedef {Partial<import('#lib/testing/faulty-link.js').LinkFaults>} Faults of one direction.
 * @typedef {import('node:dgram').Socket} Socket
 * @typedef {{ toServer: FaultyLink, toDevice: FaultyLink, upstream: Promise<Socket> }} Client
 */

/**
 * @typedef {object} LossyProxyOptions
 * @property {{ host?: string, port: number }} server default host 127.0.0.1.
 * @property {string} [host] the address of the proxy for the boards. Default 127.0.0.1.
 * @property {number} [port] default any free port.
 * @property {number} [seed] default 1.
 * @property {Faults} [toServer]
 * @property {Faults} [toDevice]
 */

const FATES = /** @type {const} */ (['sent', 'arrived', 'lost', 'doubled', 'reordered', 'corrupted', 'truncated']);

export class LossyProxy {
  #server;
  #socket;
  #random;
  #faults;
  #agenda = new Agenda(nodePlatform);
  /** By address and port. @type {Map<string, Client>} */
  #clients = new Map();

  /**
   * @param {LossyProxyOptions} options
   * @param {Socket} socket
   */
  constructor({ server, seed = 1, toServer = {}, toDevice = {} }, socket) {
    this.#server = { host: '127.0.0.1', ...server };
    this.#random = new Random(seed);
    this.#faults = { toServer, toDevice };
    this.#socket = socket;
    socket.on('message', (datagram, { address, port }) => this.#forward(datagram, address, port));
  }

  /** @param {LossyProxyOptions} options */
  static async start({ host = '127.0.0.1', port = 0, ...options }) {
    return new LossyProxy(options, await bind({ address: host, port }));
  }

  get port() {
    return this.#socket.address().port;
  }

  get clients() {
    return this.#clients.size;
  }

  /** What became of datagrams, all clients together. */
  get fates() {
    const links = [...this.#clients.values()];
    return { toServer: addUp(links, 'toServer'), toDevice: addUp(links, 'toDevice') };
  }

  /**
   * From now on; datagrams on their way are not affected.
   *
   * @param {{ toServer?: Faults, toDevice?: Faults }} faults
   */
  setFaults({ toServer = {}, toDevice = {} }) {
    this.#faults = { toServer, toDevice };
    for (const client of this.#clients.values()) {
      client.toServer.setFaults(toServer);
      client.toDevice.setFaults(toDevice);
    }
  }

  async close() {
    this.#agenda.stop();
    const upstream = await Promise.all([...this.#clients.values()].map((client) => client.upstream));
    await Promise.all([this.#socket, ...upstream].map(close));
  }

  /**
   * @param {Buffer} datagram
   * @param {string} address
   * @param {number} port
   */
  #forward(datagram, address, port) {
    const { toServer, upstream } = this.#clientAt(address, port);
    toServer.carry('', datagram, performance.now(), async (bytes) => {
      const socket = await upstream;
      send(socket, bytes, this.#server.port, this.#server.host);
    });
  }

  /**
   * @param {string} address
   * @param {number} port
   */
  #clientAt(address, port) {
    const name = `${address}|${port}`;
    let client = this.#clients.get(name);
    if (!client) {
      const random = this.#random.fork();
      client = {
        toServer: new FaultyLink(this.#agenda, random.fork()),
        toDevice: new FaultyLink(this.#agenda, random.fork()),
        upstream: bind({ address: isLoopback(address) ? address : undefined, port: 0 }),
      };
      client.toServer.setFaults(this.#faults.toServer);
      client.toDevice.setFaults(this.#faults.toDevice);
      this.#clients.set(name, client);
      void this.#carryBack(client, address, port);
    }
    return client;
  }

  /**
   * @param {Client} client
   * @param {string} address
   * @param {number} port
   */
  async #carryBack({ upstream, toDevice }, address, port) {
    const socket = await upstream;
    socket.on('message', (datagram) =>
      toDevice.carry('', datagram, performance.now(), (bytes) => send(this.#socket, bytes, port, address)),
    );
  }
}

/** @param {import('node:dgram').BindOptions} options */
async function bind(options) {
  const socket = createSocket(isIPv6(options.address ?? '') ? 'udp6' : 'udp4');
  // A peer that is gone or can't be reached loses a datagram, as on a real network.
  socket.on('error', () => undefined);
  socket.bind(options);
  await once(socket, 'listening');
  return socket;
}

/**
 * A datagram that was under way when the proxy was closed is lost.
 *
 * @param {Socket} socket
 * @param {Buffer} bytes
 * @param {number} port
 * @param {string} host
 */
function send(socket, bytes, port, host) {
  try {
    socket.send(bytes, port, host);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ERR_SOCKET_DGRAM_NOT_RUNNING') {
      throw error;
    }
  }
}

/**
 * @param {Socket} socket
 * @returns {Promise<void>}
 */
function close(socket) {
  return new Promise((resolve) => socket.close(resolve));
}

/** @param {string} address */
function isLoopback(address) {
  return address.startsWith('127.') || address === '::1';
}

/**
 * @param {Client[]} clients
 * @param {'toServer' | 'toDevice'} direction
 */
function addUp(clients, direction) {
  /** @type {import('#lib/testing/faulty-link.js').LinkFates} */
  const sum = { sent: 0, arrived: 0, lost: 0, doubled: 0, reordered: 0, corrupted: 0, truncated: 0 };
  for (const client of clients) {
    for (const fate of FATES) {
      sum[fate] += client[direction].fates[fate];
    }
  }
  return sum;
}
