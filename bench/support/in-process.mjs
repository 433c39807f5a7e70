/**
 * The whole server, Nest and controller included, without the system's part: every datagram is handed to its socket, and its
 * answers are kept. Uses the public API alone, so that it takes any version of this package.
 */
import { BaseRpcContext } from '@nestjs/microservices';
import { V2Device } from '../peers/v2-device.mjs';
import { BoardCrypto, maxRequestLength, preparePlaintext } from './board-crypto.mjs';
import { startBenUdp } from './nest-apps.mjs';
import { ACTION, HELLO, addressOf, keyAt, requestText } from './wire.mjs';

/** The server withholds answers if it did not run for a while, because other work had its core. */
export class UnansweredError extends Error {}

/**
 * @typedef {import('node:dgram').RemoteInfo} Remote
 *
 * @typedef {object} InProcessOptions
 * @property {number} boards
 * @property {number} [keys] how many the server holds. Default 1
 * @property {number} [dataBytes] default 32
 * @property {boolean} [noreturn]
 */

export class InProcessServer {
  /**
   * Datagrams the server has sent, those of each board apart.
   *
   * @type {Map<string, Buffer[]>}
   */
  sent = new Map();
  requests = 0;
  /**
   * Called for each datagram that is sent, with whether the server watches it for an error.
   *
   * @type {(isWatched: boolean) => void}
   */
  onSend = () => undefined;
  /** @type {import('nestjs-ben-udp').BenUdpTransport} Set by `start`. */
  #strategy;
  /** @type {import('node:dgram').Socket} Set by `start`. */
  #socket;
  #boards;
  #noreturn;
  #cryptos;
  #plaintext;

  /** @param {InProcessOptions} options */
  constructor({ boards, keys = 1, dataBytes = 32, noreturn = false }) {
    this.#boards = Array.from({ length: boards }, (_, index) => index);
    this.#noreturn = noreturn;
    // The last keys of the ring, so that the server finds none of them early.
    const firstKey = Math.max(0, keys - boards);
    this.#cryptos = this.#boards.map((index) => new BoardCrypto(keyAt(firstKey + (index % keys))));
    this.#plaintext = preparePlaintext(requestText(dataBytes, noreturn));
  }

  /** @param {InProcessOptions & { lib?: string | undefined, relays?: boolean }} options `lib` and `relays` as in `startBenUdp` */
  static async start({ lib, relays, ...options }) {
    const server = new this(options);
    server.#strategy = await startBenUdp({ lib, relays, keys: options.keys }, () => server.requests++);
    server.#socket = server.#strategy.unwrap();
    Object.assign(server.#socket, { send: server.#keep.bind(server) });
    return server;
  }

  /**
   * One exchange of every board; the server's phases are handed to `measured`, which has to await them.
   *
   * @param {(phase: () => Promise<void>) => Promise<void>} measured
   */
  async exchangeAll(measured = (phase) => phase()) {
    const remotes = this.#boards.map((index) => remoteOf(index));
    await measured(() => this.deliver(remotes, () => HELLO, 2));
    const envelopes = remotes.map(({ address }, index) => this.#ask(index, this.sent.get(address) ?? []));
    await measured(() => this.deliver(remotes, (index) => envelopes[index], this.#noreturn ? 0 : 3));
  }

  /** Nest's own part alone: the handler as Nest has registered it. */
  callHandler() {
    const handler = this.#strategy.getHandlers().get(ACTION);
    if (!handler) {
      throw new Error(`no handler for ${ACTION}`);
    }
    return handler(undefined, new BaseRpcContext([]));
  }

  /**
   * Delivers one datagram of each board, and checks the number of answers to each.
   *
   * @param {readonly Remote[]} remotes
   * @param {(index: number) => Buffer} datagramOf
   * @param {number} answers
   */
  async deliver(remotes, datagramOf, answers) {
    this.sent.clear();
    for (let index = 0; index < remotes.length; index++) {
      this.#socket.emit('message', datagramOf(index), remotes[index]);
    }
    const isAnswered = (/** @type {Remote} */ { address }) => (this.sent.get(address)?.length ?? 0) === answers;
    await new Promise((resolve) => setImmediate(resolve));
    if (!remotes.every(isAnswered)) {
      throw new UnansweredError(
        `the server did not answer every board: ${answers} datagrams expected, got ${remotes.map((r) => this.sent.get(r.address)?.length ?? 0)}`,
      );
    }
  }

  /**
   * @param {number} index
   * @param {readonly Buffer[]} pair
   */
  #ask(index, [ciphertext, iv]) {
    const target = Buffer.alloc(maxRequestLength(this.#plaintext));
    const crypto = this.#cryptos[index];
    const id = crypto.openId(ciphertext, iv);
    return target.subarray(0, crypto.writeRequest(id, this.#plaintext, target));
  }

  /**
   * Replaces the `send` of the socket. Like Node, it calls a callback in a later turn.
   *
   * @param {Buffer} datagram
   * @param {number} _port
   * @param {string} address
   * @param {(error: null, bytes: number) => void} [callback]
   */
  #keep(datagram, _port, address, callback) {
    this.onSend(callback !== undefined);
    const earlier = this.sent.get(address);
    if (earlier) {
      earlier.push(datagram);
    } else {
      this.sent.set(address, [datagram]);
    }
    if (callback) {
      process.nextTick(callback, null, datagram.length);
    }
  }
}

/** The same with boards of protocol v2, which have their sessions: one datagram to the server, and one back. */
export class InProcessV2Server extends InProcessServer {
  #devices;
  #remotes;
  /**
   * The datagram that each device has sent last.
   *
   * @type {Buffer[]}
   */
  #asked = [];
  #answered = 0;

  /** @param {InProcessOptions} options */
  constructor(options) {
    super(options);
    const { boards, keys = 1, dataBytes = 32 } = options;
    const deviceOptions = { port: 0, noreturn: false, peers: boards, keys, dataBytes };
    const shared = V2Device.share(deviceOptions);
    this.#remotes = Array.from({ length: boards }, (_, index) => remoteOf(index));
    this.#devices = this.#remotes.map((_, index) => {
      const device = new V2Device(index, deviceOptions, shared, () => this.#answered++);
      const send = (/** @type {Buffer} */ datagram) => (this.#asked[index] = datagram);
      device.socket = /** @type {import('node:dgram').Socket} */ (/** @type {unknown} */ ({ send }));
      return device;
    });
  }

  /**
   * @override
   * @param {(phase: () => Promise<void>) => Promise<void>} measured
   */
  async exchangeAll(measured = (phase) => phase()) {
    const before = this.#answered;
    this.#devices.forEach((device) => device.begin());
    // The first time, each opens its session.
    while (this.#answered - before < this.#devices.length) {
      const asked = [...this.#asked];
      await measured(() => this.deliver(this.#remotes, (index) => asked[index], 1));
      this.#devices.forEach((device, index) => {
        const [answer] = this.sent.get(this.#remotes[index].address) ?? [];
        device.receive(answer);
      });
    }
  }
}

/**
 * @param {number} index
 * @returns {Remote}
 */
function remoteOf(index) {
  return { address: addressOf(index), port: 1024 + index, family: 'IPv4', size: 0 };
}
