/**
 * The peers of the load: boards, boards' traffic without its contents (the floor), clients of Nest's TCP transport, and the devices
 * of other transports. Each has an address of its own and runs one exchange at a time.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { CoapDevice } from '../peers/coap-device.mjs';
import { HttpDevice } from '../peers/http-device.mjs';
import { MqttDevice } from '../peers/mqtt-device.mjs';
import { V2Device } from '../peers/v2-device.mjs';
import { BoardCrypto, maxRequestLength, preparePlaintext } from './board-crypto.mjs';
import { DatagramPeer } from './datagram-peer.mjs';
import { ACTION, BLOCK_BYTES, HOST, addressOf, dataOf, keyAt, requestText } from './wire.mjs';

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
 * @property {boolean} [keepsAlive] whether an HTTP connection takes more than one request
 * @property {string} [ca] the certificate to trust; without it, a stream is not encrypted
 */

/**
 * @typedef {(peer: Peer) => void} OnDone
 * @typedef {(first: Buffer, second: Buffer) => Buffer} EnvelopeFor the request for a pair
 */

/**
 * What all peers of a kind share is made once.
 *
 * @template Shared
 * @typedef {{
 *   share(options: PeerOptions): Shared,
 *   new (index: number, options: PeerOptions, shared: Shared, onDone: OnDone): Peer,
 * }} PeerClass
 */

/**
 * @param {import('./rounds.mjs').Kind} kind
 * @param {PeerOptions} options
 * @param {OnDone} onDone
 * @returns {Peer[]}
 */
export function createPeers(kind, options, onDone) {
  return KINDS[kind](options, onDone);
}

/**
 * @template Shared
 * @param {PeerClass<Shared>} Type
 * @returns {(options: PeerOptions, onDone: OnDone) => Peer[]}
 */
function creatorOf(Type) {
  return (options, onDone) => {
    const shared = Type.share(options);
    return Array.from({ length: options.peers }, (_, index) => new Type(index, options, shared, onDone));
  };
}

/** Datagrams of the right number and size that mean nothing. */
class FloorBoard extends DatagramPeer {
  /** @type {Buffer} */
  first;

  /**
   * Really sealed envelopes, so that sizes are spread as they are on the wire.
   *
   * @param {PeerOptions} options
   * @returns {EnvelopeFor}
   */
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

  /**
   * @param {number} index
   * @param {PeerOptions} options
   * @param {EnvelopeFor} envelopeFor
   * @param {OnDone} onDone
   */
  constructor(index, options, envelopeFor, onDone) {
    super(index, options, onDone);
    this.envelopeFor = envelopeFor;
  }

  /**
   * @override
   * @param {Buffer} datagram
   */
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

  /** @param {PeerOptions} options */
  static share({ dataBytes, noreturn, keys }) {
    return {
      cryptos: Array.from({ length: keys }, (_, index) => new BoardCrypto(keyAt(index))),
      plaintext: preparePlaintext(requestText(dataBytes, noreturn)),
      answer: `{"data":"${dataOf(dataBytes)}"}`,
    };
  }

  /**
   * @param {number} index
   * @param {PeerOptions} options
   * @param {ReturnType<typeof Board.share>} shared
   * @param {OnDone} onDone
   */
  constructor(index, options, { cryptos, plaintext, answer }, onDone) {
    super(index, options, onDone);
    // Spread over the ring: the server must not find every key at its beginning.
    this.crypto = cryptos[Math.floor((index * cryptos.length) / options.peers) % cryptos.length];
    this.plaintext = plaintext;
    this.answer = answer;
    this.envelope = Buffer.alloc(maxRequestLength(plaintext));
    this.unchecked = 0;
  }

  /**
   * @override
   * @param {Buffer} datagram
   */
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

  /** @param {Buffer} ciphertext */
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

/** Upstream's server answers to its own port number, and prints JSON as Python does. */
class UpstreamBoard extends Board {
  /** @override */
  localPort = this.port;

  /**
   * @override
   * @param {PeerOptions} options
   */
  static share(options) {
    return { ...Board.share(options), answer: `{"data": "${dataOf(options.dataBytes)}"}` };
  }
}

/** Speaks the frames of Nest's TCP transport: length, `#`, JSON. */
class TcpClient {
  /** @type {import('node:net').Socket} Set by `open`. */
  socket;

  static share() {
    return undefined;
  }

  /**
   * @param {number} index
   * @param {PeerOptions} options
   * @param {undefined} _shared
   * @param {OnDone} onDone
   */
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
    this.socket.on('data', (chunk) => this.receive(String(chunk)));
    await once(this.socket, 'connect');
  }

  begin() {
    const frame = `{"pattern":"${ACTION}","data":"${this.data}","id":"${++this.lastId}"}`;
    this.socket.write(`${frame.length}#${frame}`);
  }

  close() {
    this.socket.destroy();
  }

  /** @param {string} chunk */
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

/** @type {Record<import('./rounds.mjs').Kind, (options: PeerOptions, onDone: OnDone) => Peer[]>} */
const KINDS = {
  floor: creatorOf(FloorBoard),
  ben: creatorOf(Board),
  upstream: creatorOf(UpstreamBoard),
  tcp: creatorOf(TcpClient),
  mqtt: creatorOf(MqttDevice),
  http: creatorOf(HttpDevice),
  coap: creatorOf(CoapDevice),
  v2: creatorOf(V2Device),
};
