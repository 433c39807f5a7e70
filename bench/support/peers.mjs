/**
 * The peers of the load: boards, boards' traffic without its contents (the floor), and clients of Nest's TCP transport. Each
 * has an address of its own and runs one exchange at a time.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { BoardCrypto, maxRequestLength, preparePlaintext } from './board-crypto.mjs';
import { ACTION, BLOCK_BYTES, HELLO, HOST, addressOf, dataOf, keyAt, requestText } from './wire.mjs';

/** One reply in this number is opened and compared. Opening all would make the load the bottleneck. */
const CHECKED_REPLIES = 16;

/**
 * @typedef {object} Peer
 * @property {number} index
 * @property {() => Promise<void>} open
 * @property {() => void} begin one exchange; `onDone` is called at its end
 * @property {() => void} close
 *
 * @typedef {object} PeerOptions
 * @property {number} port of the server
 * @property {number} dataBytes
 * @property {boolean} noreturn
 * @property {number} peers how many there are
 * @property {number} keys how many the server holds
 * @property {boolean} [isComputing] whether boards of the floor do their cryptography, although nobody looks at it
 */

/** @returns {Peer[]} */
export function createPeers(kind, options, onDone) {
  const Type = { floor: FloorBoard, ben: Board, tcp: TcpClient }[kind];
  const shared = Type.share(options);
  return Array.from({ length: options.peers }, (_, index) => new Type(index, options, shared, onDone));
}

/** The part that all boards share: the socket. */
class DatagramPeer {
  /** @type {import('node:dgram').Socket} Set by `open`. */
  socket;

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
    this.socket.on('message', (datagram) => this.receive(datagram));
    this.socket.bind({ address: addressOf(this.index), port: 0 });
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

/** Datagrams of the right number and size that mean nothing. */
class FloorBoard extends DatagramPeer {
  /** @type {Buffer} */
  first;

  /** Really sealed envelopes, so that sizes are spread as they are on the wire. */
  static share({ dataBytes, noreturn, isComputing = false }) {
    const crypto = new BoardCrypto(keyAt(0));
    const plaintext = preparePlaintext(requestText(dataBytes, noreturn));
    if (isComputing) {
      // As a real board: each envelope is made when its pair has come.
      const target = Buffer.alloc(maxRequestLength(plaintext));
      return (first, second) =>
        target.subarray(0, crypto.writeRequest(crypto.openId(first, second), plaintext, target));
    }
    const envelopes = Array.from({ length: 64 }, () => {
      const target = Buffer.alloc(maxRequestLength(plaintext));
      return target.subarray(0, crypto.writeRequest(randomBytes(BLOCK_BYTES), plaintext, target));
    });
    let next = 0;
    return () => envelopes[next++ % envelopes.length];
  }

  constructor(index, options, envelopeFor, onDone) {
    super(index, options, onDone);
    this.envelopeFor = envelopeFor;
  }

  /** @override */
  receive(datagram) {
    this.received++;
    if (this.received === 1) {
      this.first = datagram;
    } else if (this.received === 2) {
      this.socket.send(this.envelopeFor(this.first, datagram));
      if (this.noreturn) {
        this.onDone(this);
      }
    } else if (this.received === 5) {
      this.onDone(this);
    }
  }
}

/** A board as upstream's client: reads strictly in order, and trusts every sender. */
class Board extends DatagramPeer {
  /** @type {Buffer} The sealed id, then the hash. */
  first;
  /** @type {Buffer} */
  id;
  /** @type {Buffer} */
  iv;

  static share({ dataBytes, noreturn, keys }) {
    return {
      cryptos: Array.from({ length: keys }, (_, index) => new BoardCrypto(keyAt(index))),
      plaintext: preparePlaintext(requestText(dataBytes, noreturn)),
      answer: `{"data":"${dataOf(dataBytes)}"}`,
    };
  }

  constructor(index, options, { cryptos, plaintext, answer }, onDone) {
    super(index, options, onDone);
    // Spread over the ring: the server must not find every key at its beginning.
    this.crypto = cryptos[Math.floor((index * cryptos.length) / options.peers) % cryptos.length];
    this.plaintext = plaintext;
    this.answer = answer;
    this.envelope = Buffer.alloc(maxRequestLength(plaintext));
    this.unchecked = 0;
  }

  /** @override */
  receive(datagram) {
    switch (++this.received) {
      case 1:
      case 3:
        this.first = datagram;
        return;
      case 2:
        this.id = this.crypto.openId(this.first, datagram);
        this.socket.send(this.envelope, 0, this.crypto.writeRequest(this.id, this.plaintext, this.envelope));
        if (this.noreturn) {
          this.onDone(this);
        }
        return;
      case 4:
        this.iv = datagram;
        return;
      case 5:
        this.check(datagram);
        this.onDone(this);
    }
  }

  check(ciphertext) {
    if (this.unchecked-- > 0) {
      return;
    }
    this.unchecked = CHECKED_REPLIES - 1;
    const text = this.crypto.openReply(this.id, this.first, this.iv, ciphertext);
    if (text !== this.answer) {
      throw new Error(`board ${this.index}: wrong answer ${text}`);
    }
  }
}

/** Speaks the frames of Nest's TCP transport: length, `#`, JSON. */
class TcpClient {
  /** @type {import('node:net').Socket} Set by `open`. */
  socket;

  static share() {
    return undefined;
  }

  constructor(index, { port, dataBytes }, _shared, onDone) {
    this.index = index;
    this.port = port;
    this.onDone = onDone;
    this.data = dataOf(dataBytes);
    this.lastId = 0;
    this.pending = '';
  }

  async open() {
    this.pending = '';
    this.socket = connect({ port: this.port, host: HOST, localAddress: addressOf(this.index), noDelay: true });
    this.socket.setEncoding('utf8');
    this.socket.on('data', (chunk) => this.receive(chunk));
    await once(this.socket, 'connect');
  }

  begin() {
    const frame = `{"pattern":"${ACTION}","data":"${this.data}","id":"${++this.lastId}"}`;
    this.socket.write(`${frame.length}#${frame}`);
  }

  close() {
    this.socket.destroy();
  }

  receive(chunk) {
    this.pending += chunk;
    const length = Number.parseInt(this.pending, 10);
    if (this.pending.length < String(length).length + 1 + length) {
      return;
    }
    if (this.lastId % CHECKED_REPLIES === 1) {
      const { response, id } = JSON.parse(this.pending.slice(this.pending.indexOf('#') + 1));
      if (response !== this.data || id !== String(this.lastId)) {
        throw new Error(`TCP client ${this.index}: wrong answer ${this.pending}`);
      }
    }
    this.pending = '';
    this.onDone(this);
  }
}
