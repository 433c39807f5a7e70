/**
 * A device that asks through a broker, MQTT 3.1.1 with QoS 1. Like `umqtt.simple`, it waits for each acknowledgement of the broker before
 * it goes on. Requests are published to a topic of its own, and the answer comes to the topic below, as Nest has it.
 */
import { ACTION, dataOf } from '../support/wire.mjs';
import { createTrust, openStream } from './stream.mjs';

const CONNACK = 2;
const PUBLISH = 3;
const SUBACK = 9;

const CONNECT_HEAD = 0x10;
const PUBLISH_QOS_1_HEAD = 0x32;
const PUBACK_HEAD = 0x40;
const SUBSCRIBE_HEAD = 0x82;

const CLEAN_SESSION = 2;
const MAX_PACKET_ID = 65_535;

/**
 * @typedef {import('../support/peers.mjs').PeerOptions} PeerOptions
 * @typedef {import('../support/peers.mjs').OnDone} OnDone
 */

export class MqttDevice {
  /** @type {import('node:net').Socket} Set by `open`. */
  socket;
  /** @type {(value?: unknown) => void} Set by `call`. */
  onAcknowledged;

  /** @param {PeerOptions} options */
  static share(options) {
    return { trust: createTrust(options), data: dataOf(options.dataBytes) };
  }

  /**
   * @param {number} index
   * @param {PeerOptions} options
   * @param {ReturnType<typeof MqttDevice.share>} shared
   * @param {OnDone} onDone
   */
  constructor(index, { port }, { trust, data }, onDone) {
    this.index = index;
    this.port = port;
    this.trust = trust;
    this.data = data;
    this.onDone = onDone;
    this.topic = `${ACTION}/${index}`;
    this.lastId = 0;
    /** @type {Buffer} */
    this.pending = Buffer.alloc(0);
  }

  async open() {
    this.pending = Buffer.alloc(0);
    this.socket = await openStream(this.index, this.port, this.trust);
    this.socket.on('data', (chunk) => this.receive(chunk));
    const keepAliveSeconds = [0, 0];
    await this.call(
      formatPacket(
        CONNECT_HEAD,
        formatText('MQTT'),
        [4, CLEAN_SESSION, ...keepAliveSeconds],
        formatText(`device-${this.index}`),
      ),
    );
    await this.call(formatPacket(SUBSCRIBE_HEAD, this.nextId(), formatText(`${this.topic}/reply`), [1]));
  }

  begin() {
    const packetId = this.nextId();
    const payload = `{"data":"${this.data}","id":"${this.lastId}"}`;
    this.socket.write(formatPacket(PUBLISH_QOS_1_HEAD, formatText(this.topic), packetId, Buffer.from(payload)));
  }

  close() {
    this.socket?.destroy();
  }

  /**
   * Sends a packet, and waits for the acknowledgement that ends a step of `open`.
   *
   * @param {Buffer} packet
   */
  call(packet) {
    return new Promise((resolve) => {
      this.onAcknowledged = resolve;
      this.socket.write(packet);
    });
  }

  nextId() {
    this.lastId = (this.lastId % MAX_PACKET_ID) + 1;
    return [this.lastId >> 8, this.lastId & 255];
  }

  /** @param {Buffer} chunk */
  receive(chunk) {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    for (let packet = readPacket(this.pending); packet; packet = readPacket(this.pending)) {
      this.pending = this.pending.subarray(packet.end);
      this.handle(packet.head >> 4, packet.body);
    }
  }

  /**
   * @param {number} type
   * @param {Buffer} body
   */
  handle(type, body) {
    if (type === CONNACK || type === SUBACK) {
      const returned = body[body.length - 1];
      if (returned !== (type === CONNACK ? 0 : 1)) {
        throw new Error(`MQTT device ${this.index}: the broker refused, code ${returned}`);
      }
      this.onAcknowledged();
    } else if (type === PUBLISH) {
      const topicEnd = 2 + body.readUInt16BE();
      this.socket.write(formatPacket(PUBACK_HEAD, body.subarray(topicEnd, topicEnd + 2)));
      this.check(body.subarray(topicEnd + 2).toString());
      this.onDone(this);
    }
  }

  /** @param {string} text */
  check(text) {
    const { response, id } = JSON.parse(text);
    if (response !== this.data || id !== String(this.lastId)) {
      throw new Error(`MQTT device ${this.index}: wrong answer ${text}`);
    }
  }
}

/**
 * @param {...(Buffer | number[])} parts at most 16383 bytes, so two of length
 * @param {number} head
 */
function formatPacket(head, ...parts) {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const length = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7];
  return Buffer.concat([Buffer.from([head, ...length]), body]);
}

/** @param {string} text */
function formatText(text) {
  return Buffer.concat([Buffer.from([0, text.length]), Buffer.from(text)]);
}

/**
 * The first packet, if all of it has arrived.
 *
 * @param {Buffer} bytes
 */
function readPacket(bytes) {
  if (bytes.length < 2) {
    return undefined;
  }
  const isLong = bytes[1] >= 128;
  const bodyAt = isLong ? 3 : 2;
  const end = bodyAt + (isLong ? (bytes[1] & 127) + (bytes[2] << 7) : bytes[1]);
  return bytes.length < end ? undefined : { head: bytes[0], body: bytes.subarray(bodyAt, end), end };
}
