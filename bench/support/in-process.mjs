/**
 * The whole server, Nest and controller included, without the system's part: every datagram is handed to its socket, and its
 * answers are kept. Uses the public API alone, so that it takes any version of this package.
 */
import { BaseRpcContext } from '@nestjs/microservices';
import { BoardCrypto, maxRequestLength, preparePlaintext } from './board-crypto.mjs';
import { startBenUdp } from './nest-apps.mjs';
import { ACTION, HELLO, addressOf, keyAt, requestText } from './wire.mjs';

export class InProcessServer {
  /** Datagrams the server has sent, those of each board apart. */
  sent = new Map();
  requests = 0;
  /**
   * Called for each datagram that is sent, with whether the server watches it for an error.
   *
   * @type {(isWatched: boolean) => void}
   */
  onSend = () => undefined;
  #strategy;
  #socket;
  #boards;
  #noreturn;
  #crypto = new BoardCrypto(keyAt(0));
  #plaintext;

  constructor({ boards, dataBytes = 32, noreturn = false }) {
    this.#boards = Array.from({ length: boards }, (_, index) => index);
    this.#noreturn = noreturn;
    this.#plaintext = preparePlaintext(requestText(dataBytes, noreturn));
  }

  /** @param {{ boards: number, dataBytes?: number, noreturn?: boolean, lib?: string }} options `lib` as in `startBenUdp` */
  static async start({ lib, ...options }) {
    const server = new InProcessServer(options);
    server.#strategy = await startBenUdp({ lib }, () => server.requests++);
    server.#socket = server.#strategy.unwrap();
    server.#socket.send = (...args) => server.#keep(...args);
    return server;
  }

  /**
   * One exchange of every board; the server's phases are handed to `measured`, which has to await them.
   *
   * @param {(phase: () => Promise<void>) => Promise<void>} measured
   */
  async exchangeAll(measured = (phase) => phase()) {
    const remotes = this.#boards.map((index) => remoteOf(index));
    await measured(() => this.#deliver(remotes, () => HELLO, 2));
    const envelopes = remotes.map(({ address }) => this.#ask(this.sent.get(address)));
    await measured(() => this.#deliver(remotes, (index) => envelopes[index], this.#noreturn ? 0 : 3));
  }

  /** Nest's own part alone: the handler as Nest has registered it. */
  callHandler() {
    return this.#strategy.getHandlers().get(ACTION)(undefined, new BaseRpcContext([]));
  }

  /** Delivers one datagram of each board, and checks the number of answers to each. */
  async #deliver(remotes, datagramOf, answers) {
    this.sent.clear();
    for (let index = 0; index < remotes.length; index++) {
      this.#socket.emit('message', datagramOf(index), remotes[index]);
    }
    const isAnswered = ({ address }) => (this.sent.get(address)?.length ?? 0) === answers;
    await new Promise((resolve) => setImmediate(resolve));
    if (!remotes.every(isAnswered)) {
      throw new Error(
        `the server did not answer every board: ${answers} datagrams expected, got ${remotes.map((r) => this.sent.get(r.address)?.length ?? 0)}`,
      );
    }
  }

  #ask([ciphertext, iv]) {
    const target = Buffer.alloc(maxRequestLength(this.#plaintext));
    const id = this.#crypto.openId(ciphertext, iv);
    return target.subarray(0, this.#crypto.writeRequest(id, this.#plaintext, target));
  }

  /** Replaces the `send` of the socket. Like Node, it calls a callback in a later turn. */
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

function remoteOf(index) {
  return { address: addressOf(index), port: 1024 + index, family: 'IPv4', size: 0 };
}
