/**
 * A device that asks over CoAP (RFC 7252): one confirmable POST, which is repeated until the answer is there.
 */
import { DatagramPeer } from '../support/datagram-peer.mjs';
import { ACTION, dataOf } from '../support/wire.mjs';

const CONFIRMABLE_POST = Buffer.from([0x41, 0x02]);
const ACKNOWLEDGEMENT = 0x61;
const CONTENT = 0x45;
const URI_PATH = 11;
const PAYLOAD_MARKER = 0xff;

/** `ACK_TIMEOUT`, `ACK_RANDOM_FACTOR` and `MAX_RETRANSMIT` of the RFC. */
const FIRST_TIMEOUT_MS = 2000;
const RANDOM_FACTOR = 1.5;
const MAX_REPEATS = 4;

/** A message id must not be used twice within four minutes. After this many, the device takes a new port, which has separate ids. */
const MAX_MESSAGE_ID = 65_535;

/**
 * @typedef {import('../support/peers.mjs').PeerOptions} PeerOptions
 * @typedef {import('../support/peers.mjs').OnDone} OnDone
 */

export class CoapDevice extends DatagramPeer {
  /** @param {PeerOptions} options */
  static share({ dataBytes }) {
    return dataOf(dataBytes);
  }

  /**
   * @param {number} index
   * @param {PeerOptions} options
   * @param {string} data
   * @param {OnDone} onDone
   */
  constructor(index, options, data, onDone) {
    super(index, options, onDone);
    this.data = data;
    this.messageId = 0;
  }

  /** @override */
  async begin() {
    if (++this.messageId > MAX_MESSAGE_ID) {
      super.close();
      await this.open();
      this.messageId = 1;
    }
    const id = [this.messageId >> 8, this.messageId & 255];
    const token = 1;
    const path = [(URI_PATH << 4) | ACTION.length, ...Buffer.from(ACTION)];
    const head = Buffer.from([...CONFIRMABLE_POST, ...id, token, ...path, PAYLOAD_MARKER]);
    const request = Buffer.concat([head, Buffer.from(this.data)]);
    this.send(request, FIRST_TIMEOUT_MS * (1 + Math.random() * (RANDOM_FACTOR - 1)), MAX_REPEATS);
  }

  /** @override */
  close() {
    clearTimeout(this.timer);
    super.close();
  }

  /**
   * @param {Buffer} request
   * @param {number} timeoutMs
   * @param {number} repeats
   */
  send(request, timeoutMs, repeats) {
    this.socket.send(request);
    if (repeats > 0) {
      this.timer = setTimeout(() => this.send(request, timeoutMs * 2, repeats - 1), timeoutMs);
    }
  }

  /**
   * @override
   * @param {Buffer} datagram
   */
  receive(datagram) {
    if (datagram[0] !== ACKNOWLEDGEMENT || datagram.readUInt16BE(2) !== this.messageId) {
      return;
    }
    const isAnswer = datagram[1] === CONTENT && datagram.subarray(-this.data.length).toString() === this.data;
    if (!isAnswer) {
      throw new Error(`CoAP device ${this.index}: wrong answer ${datagram.toString('latin1')}`);
    }
    clearTimeout(this.timer);
    // The answer to a repetition may come after the answer to the first.
    this.messageId++;
    this.onDone(this);
  }
}
