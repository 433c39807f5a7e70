/**
 * A board with protocol v2 (docs/protocol-v2.md): it opens a session once, then asks with one datagram and sends it again until the answer is
 * there. Written apart from the library, so that neither hides a mistake of the other.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { preparePlaintext } from '../support/board-crypto.mjs';
import { DatagramPeer } from '../support/datagram-peer.mjs';
import { BLOCK_BYTES, dataOf, keyAt, requestText } from '../support/wire.mjs';

const START = 0xb2;
const [OPEN, GRANT, REQ1, REQ, REP] = [1, 2, 3, 4, 5];
const TAG_BYTES = 16;
const NO_SESSION = Buffer.alloc(8);
/** The device can receive 4096 bytes. */
const FLAGS = (4096 / 512 - 1) << 4;

const ATTEMPTS = 5;
const RTO_MS = 1000;
const MAX_RTO_MS = 4000;
const JITTER = 0.25;

/** One reply in this number is decrypted and compared, as with boards of v1. */
const CHECKED_REPLIES = 16;

const hmac = (key, ...parts) => parts.reduce((mac, part) => mac.update(part), createHmac('sha256', key)).digest();
const tagOf = (key, ...parts) => hmac(key, ...parts).subarray(0, TAG_BYTES);
const byte = (value) => Buffer.from([value]);

function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export class V2Device extends DatagramPeer {
  static share({ dataBytes, keys }) {
    return {
      keys: Array.from({ length: keys }, (_, index) => keyAt(index)),
      // As v1, without the room for the IV.
      plaintext: preparePlaintext(requestText(dataBytes, false)).subarray(BLOCK_BYTES),
      answer: `{"data":"${dataOf(dataBytes)}"}`,
    };
  }

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
      const number = ++session.number;
      const age = uint32(Math.floor(performance.now() - session.begun));
      this.sendRequest(session, Buffer.concat([Buffer.from([START, REQ]), session.sid, uint32(number), age]));
    }
  }

  /** @override */
  close() {
    clearTimeout(this.timer);
    super.close();
  }

  /** @override */
  receive(datagram) {
    if (this.state === 'asking' && datagram[0] === START) {
      if (datagram[1] === GRANT && this.session === undefined) {
        this.receiveGrant(datagram);
      } else if (datagram[1] === REP && this.session !== undefined) {
        this.receiveReply(this.session, datagram);
      }
    }
  }

  receiveGrant(datagram) {
    const cookie = datagram.subarray(2, 5);
    const head = datagram.subarray(0, 7);
    const serverNonce = datagram.subarray(7, 23);
    const expected = tagOf(hmac(this.key, 'ben2 down'), head, this.nonce, NO_SESSION, serverNonce);
    if (!expected.equals(datagram.subarray(23))) {
      return;
    }
    const secret = hmac(this.key, 'ben2 session', this.nonce, cookie, serverNonce);
    const [requestKey, requestTagKey, replyKey, replyTagKey, name] = [1, 2, 3, 4, 5].map((label) =>
      hmac(secret, byte(label)),
    );
    const sid = Buffer.concat([cookie.subarray(0, 2), name.subarray(0, 6)]);
    // Session time begins with the first request.
    this.session = { sid, requestKey, requestTagKey, replyKey, replyTagKey, number: 1, begun: performance.now() };
    this.sendRequest(this.session, Buffer.concat([Buffer.from([START, REQ1]), cookie, this.id, this.nonce]));
  }

  receiveReply({ number, replyKey, replyTagKey }, datagram) {
    const body = datagram.subarray(2, -TAG_BYTES);
    const tag = tagOf(replyTagKey, byte(REP), this.requestTag, body);
    if (body.readUInt32BE() !== number || !tag.equals(datagram.subarray(-TAG_BYTES))) {
      return;
    }
    if (this.unchecked-- <= 0) {
      this.unchecked = CHECKED_REPLIES - 1;
      const decipher = createDecipheriv('aes-256-cbc', replyKey, ivOf(replyKey, number)).setAutoPadding(false);
      const text = decipher.update(body.subarray(5)).toString().trim();
      if (text !== this.answer) {
        throw new Error(`v2 device ${this.index}: wrong answer ${text}`);
      }
    }
    clearTimeout(this.timer);
    this.state = 'idle';
    this.onDone(this);
  }

  sendRequest({ number, requestKey, requestTagKey }, head) {
    const cipher = createCipheriv('aes-256-cbc', requestKey, ivOf(requestKey, number)).setAutoPadding(false);
    const untagged = Buffer.concat([head, byte(FLAGS), cipher.update(this.plaintext)]);
    this.requestTag = tagOf(requestTagKey, untagged);
    this.send(Buffer.concat([untagged, this.requestTag]));
  }

  /** Sends a datagram again after each wait. At the end the session is given up, and the program of the board asks again. */
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

function ivOf(key, number) {
  const block = Buffer.concat([uint32(number), Buffer.alloc(BLOCK_BYTES - 4)]);
  return createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(block);
}
