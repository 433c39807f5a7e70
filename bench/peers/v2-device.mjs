/**
 * A board with protocol v2 (docs/protocol-v2.md): it opens a session once, then asks with one datagram and sends it again until the answer
 * is there. Written apart from the library, so that neither hides a mistake of the other. It is as lean as it can be: a load that costs
 * more than the server leaves the server idle, and an idle server wakes up for each datagram.
 */
import { createCipheriv, createDecipheriv, createHmac, hash, randomBytes } from 'node:crypto';
import { preparePlaintext } from '../support/board-crypto.mjs';
import { DatagramPeer } from '../support/datagram-peer.mjs';
import { BLOCK_BYTES, dataOf, keyAt, requestText } from '../support/wire.mjs';

const START = 0xb2;
const [OPEN, GRANT, REQ1, REQ, REP] = [1, 2, 3, 4, 5];
const TAG_BYTES = 16;
const REPLY_LABEL = Buffer.from([REP]);
const NO_SESSION = Buffer.alloc(8);
const NOTHING = Buffer.alloc(0);
/** The device can receive 4096 bytes. */
const FLAGS = (4096 / 512 - 1) << 4;

const ATTEMPTS = 5;
const RTO_MS = 1000;
const MAX_RTO_MS = 4000;
const JITTER = 0.25;

/** One reply in this number is decrypted and compared, as with boards of v1. */
const CHECKED_REPLIES = 16;

const HASH_BLOCK_BYTES = 64;
const HASH_BYTES = 32;

/** Shared by all sessions: messages are hashed one at a time, and a set-up HMAC costs more than its hashes. */
const inner = Buffer.alloc(HASH_BLOCK_BYTES + 65_536);
const outer = Buffer.alloc(HASH_BLOCK_BYTES + HASH_BYTES);

/** @typedef {import('../support/peers.mjs').PeerOptions} PeerOptions */
/** @typedef {import('../support/peers.mjs').OnDone} OnDone */

/**
 * @param {Buffer} key
 * @param {(string | Buffer)[]} parts
 */
const hmac = (key, ...parts) => parts.reduce((mac, part) => mac.update(part), createHmac('sha256', key)).digest();
/**
 * @param {Buffer} key
 * @param {(string | Buffer)[]} parts
 */
const tagOf = (key, ...parts) => hmac(key, ...parts).subarray(0, TAG_BYTES);
const byte = (/** @type {number} */ value) => Buffer.from([value]);

/** The HMAC of many messages under one key of 32 bytes. */
class Mac {
  #innerPad;
  #outerPad;

  /** @param {Buffer} key */
  constructor(key) {
    const padded = Buffer.concat([key], HASH_BLOCK_BYTES);
    this.#innerPad = padded.map((each) => each ^ 0x36);
    this.#outerPad = padded.map((each) => each ^ 0x5c);
  }

  /**
   * @returns {string} the tag of a message, as Latin-1
   * @param {Uint8Array[]} parts
   */
  tagOf(...parts) {
    inner.set(this.#innerPad);
    let end = HASH_BLOCK_BYTES;
    for (const part of parts) {
      inner.set(part, end);
      end += part.length;
    }
    outer.set(this.#outerPad);
    outer.write(hash('sha256', inner.subarray(0, end), 'binary'), HASH_BLOCK_BYTES, 'latin1');
    return hash('sha256', outer, 'binary').slice(0, TAG_BYTES);
  }
}

/** The keys of a session, and the ciphers that live as long. */
class Session {
  /** Of the last request. */
  number = 1;
  /** Session time begins with the first request. */
  begun = performance.now();
  #ivCipher;
  #cipher;
  /** A running cipher XORs its last block into the next one. */
  #lastBlock = Buffer.alloc(BLOCK_BYTES);
  #numberBlock = Buffer.alloc(BLOCK_BYTES);

  /**
   * @param {Buffer} secret
   * @param {Buffer} route
   */
  constructor(secret, route) {
    const [requestKey, requestTagKey, replyKey, replyTagKey, name] = [1, 2, 3, 4, 5].map((label) =>
      hmac(secret, byte(label)),
    );
    this.sid = Buffer.concat([route, name.subarray(0, 6)]);
    this.requestMac = new Mac(requestTagKey);
    this.replyMac = new Mac(replyTagKey);
    this.#ivCipher = createCipheriv('aes-256-ecb', requestKey, null).setAutoPadding(false);
    this.#cipher = createCipheriv('aes-256-cbc', requestKey, this.#lastBlock).setAutoPadding(false);
    this.replyKey = replyKey;
  }

  /** @param {Buffer} plaintext */
  seal(plaintext) {
    this.#numberBlock.writeUInt32BE(this.number);
    const iv = this.#ivCipher.update(this.#numberBlock);
    const chained = Buffer.from(plaintext);
    for (let index = 0; index < BLOCK_BYTES; index++) {
      chained[index] ^= iv[index] ^ this.#lastBlock[index];
    }
    const sealed = this.#cipher.update(chained);
    this.#lastBlock = sealed.subarray(-BLOCK_BYTES);
    return sealed;
  }

  /**
   * The text of a reply to the last request.
   *
   * @param {Buffer} sealed
   */
  open(sealed) {
    this.#numberBlock.writeUInt32BE(this.number);
    const iv = createCipheriv('aes-256-ecb', this.replyKey, null).setAutoPadding(false).update(this.#numberBlock);
    const decipher = createDecipheriv('aes-256-cbc', this.replyKey, iv).setAutoPadding(false);
    return decipher.update(sealed).toString().trim();
  }
}

export class V2Device extends DatagramPeer {
  /** @type {'asking' | 'idle'} */
  state = 'idle';
  /** @type {Session | undefined} */
  session;
  /** @type {Buffer} Of the last opening. */
  nonce = NOTHING;
  /** @type {Buffer} Of the last request. */
  requestTag = NOTHING;
  /** @type {NodeJS.Timeout | undefined} */
  timer;

  /** @param {Pick<PeerOptions, 'dataBytes' | 'keys'>} options */
  static share({ dataBytes, keys }) {
    return {
      keys: Array.from({ length: keys }, (_, index) => keyAt(index)),
      // As v1, without the room for the IV.
      plaintext: preparePlaintext(requestText(dataBytes, false)).subarray(BLOCK_BYTES),
      answer: `{"data":"${dataOf(dataBytes)}"}`,
    };
  }

  /**
   * @param {number} index
   * @param {PeerOptions} options
   * @param {ReturnType<typeof V2Device.share>} shared
   * @param {OnDone} onDone
   */
  constructor(index, options, { keys, plaintext, answer }, onDone) {
    super(index, options, onDone);
    this.key = keys[Math.floor((index * keys.length) / options.peers) % keys.length];
    this.plaintext = plaintext;
    this.answer = answer;
    this.id = hmac(this.key, 'ben2 id').subarray(0, 8);
    this.unchecked = 0;
  }

  /** @override */
  async open() {
    this.session = undefined;
    await super.open();
  }

  /** @override */
  begin() {
    this.state = 'asking';
    if (this.session === undefined) {
      this.nonce = randomBytes(16);
      const head = Buffer.concat([Buffer.from([START, OPEN]), this.id, this.nonce, NO_SESSION]);
      this.send(Buffer.concat([head, tagOf(hmac(this.key, 'ben2 up'), head)]));
    } else {
      const { session } = this;
      const head = Buffer.alloc(19);
      head[0] = START;
      head[1] = REQ;
      head.set(session.sid, 2);
      head.writeUInt32BE(++session.number, 10);
      head.writeUInt32BE(Math.floor(performance.now() - session.begun), 14);
      head[18] = FLAGS;
      this.sendRequest(session, head);
    }
  }

  /** @override */
  close() {
    clearTimeout(this.timer);
    super.close();
  }

  /**
   * @override
   * @param {Buffer} datagram
   */
  receive(datagram) {
    if (this.state === 'asking' && datagram[0] === START) {
      if (datagram[1] === GRANT && this.session === undefined) {
        this.receiveGrant(datagram);
      } else if (datagram[1] === REP && this.session !== undefined) {
        this.receiveReply(this.session, datagram);
      }
    }
  }

  /** @param {Buffer} datagram */
  receiveGrant(datagram) {
    const cookie = datagram.subarray(2, 5);
    const head = datagram.subarray(0, 7);
    const serverNonce = datagram.subarray(7, 23);
    const expected = tagOf(hmac(this.key, 'ben2 down'), head, this.nonce, NO_SESSION, serverNonce);
    if (!expected.equals(datagram.subarray(23))) {
      return;
    }
    const secret = hmac(this.key, 'ben2 session', this.nonce, cookie, serverNonce);
    this.session = new Session(secret, cookie.subarray(0, 2));
    this.sendRequest(
      this.session,
      Buffer.concat([Buffer.from([START, REQ1]), cookie, this.id, this.nonce, byte(FLAGS)]),
    );
  }

  /**
   * @param {Session} session
   * @param {Buffer} datagram
   */
  receiveReply(session, datagram) {
    const body = datagram.subarray(2, -TAG_BYTES);
    const tag = session.replyMac.tagOf(REPLY_LABEL, this.requestTag, body);
    if (body.readUInt32BE() !== session.number || tag !== datagram.toString('latin1', datagram.length - TAG_BYTES)) {
      return;
    }
    if (this.unchecked-- <= 0) {
      this.unchecked = CHECKED_REPLIES - 1;
      const text = session.open(body.subarray(5));
      if (text !== this.answer) {
        throw new Error(`v2 device ${this.index}: wrong answer ${text}`);
      }
    }
    clearTimeout(this.timer);
    this.state = 'idle';
    this.onDone(this);
  }

  /**
   * @param {Session} session
   * @param {Buffer} head
   */
  sendRequest(session, head) {
    const sealed = session.seal(this.plaintext);
    const tagAt = head.length + sealed.length;
    const datagram = Buffer.alloc(tagAt + TAG_BYTES);
    datagram.set(head);
    datagram.set(sealed, head.length);
    datagram.write(session.requestMac.tagOf(datagram.subarray(0, tagAt)), tagAt, 'latin1');
    this.requestTag = datagram.subarray(tagAt);
    this.send(datagram);
  }

  /**
   * Sends a datagram again after each wait. At the end the session is given up, and the program of the board asks again.
   *
   * @param {Buffer} datagram
   */
  send(datagram, attempt = 1) {
    clearTimeout(this.timer);
    this.socket.send(datagram);
    const wait = Math.min(RTO_MS * 2 ** (attempt - 1), MAX_RTO_MS) * (1 + JITTER * (2 * Math.random() - 1));
    this.timer = setTimeout(() => {
      if (attempt < ATTEMPTS) {
        this.send(datagram, attempt + 1);
      } else {
        this.session = undefined;
        this.begin();
      }
    }, wait);
  }
}
