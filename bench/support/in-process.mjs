/**
 * The whole server, Nest and controller included, on a socket that is none: every datagram is handed in, and what is sent is
 * handed out. So the server's part can be counted and measured without the system's.
 */
import { BaseRpcContext } from '@nestjs/microservices';
import { nodePlatform } from '#lib/net/index.js';
import { BoardCrypto, maxRequestLength, preparePlaintext } from './board-crypto.mjs';
import { startBenUdp } from './nest-apps.mjs';
import { ACTION, HELLO, HOST, addressOf, keyAt, requestText } from './wire.mjs';

export class InProcessServer {
  /** Datagrams the server has sent, those of each board apart. */
  sent = new Map();
  requests = 0;
  /** Told of each datagram that is sent, and whether another follows. */
  onSend = () => undefined;
  #strategy;
  #handlers;
  #boards;
  #noreturn;
  #crypto = new BoardCrypto(keyAt(0));
  #plaintext;

  constructor({ boards, dataBytes = 32, noreturn = false }) {
    this.#boards = Array.from({ length: boards }, (_, index) => index);
    this.#noreturn = noreturn;
    this.#plaintext = preparePlaintext(requestText(dataBytes, noreturn));
  }

  static async start(options) {
    const server = new InProcessServer(options);
    const platform = {
      ...nodePlatform,
      resolveHost: async (host) => host,
      bindSocket: async (_options, handlers) => {
        server.#handlers = handlers;
        return server.#createSocket();
      },
    };
    server.#strategy = await startBenUdp({ platform }, () => server.requests++);
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

  /** Hands in a datagram of each board, and waits until each was answered with so many. */
  async #deliver(remotes, datagramOf, answers) {
    this.sent.clear();
    for (let index = 0; index < remotes.length; index++) {
      this.#handlers.onDatagram(datagramOf(index), remotes[index]);
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

  #createSocket() {
    return {
      address: { address: HOST, port: 0, family: 'IPv4' },
      receiveBufferSize: 0,
      socket: { address: () => ({ address: HOST, port: 0 }) },
      send: (datagram, _port, address, isFollowed) => {
        this.onSend(isFollowed);
        const earlier = this.sent.get(address);
        if (earlier) {
          earlier.push(datagram);
        } else {
          this.sent.set(address, [datagram]);
        }
      },
      close: async () => undefined,
    };
  }
}

function remoteOf(index) {
  return { address: addressOf(index), port: 1024 + index, family: 'IPv4', size: 0 };
}
