/**
 * A device that asks over HTTP: with a new connection for each request, as `urequests` does, or with one that is kept.
 */
import { ACTION, HOST, dataOf } from '../support/wire.mjs';
import { createTrust, openStream } from './stream.mjs';

/** Until a device asks again that was refused. */
const RETRY_MS = 50;

const END_OF_HEADERS = '\r\n\r\n';

/**
 * @typedef {import('../support/peers.mjs').PeerOptions} PeerOptions
 * @typedef {import('../support/peers.mjs').OnDone} OnDone
 */

export class HttpDevice {
  /** @type {import('node:net').Socket | undefined} */
  socket;
  isAsking = false;

  /** @param {PeerOptions} options */
  static share({ keepsAlive, dataBytes, ca }) {
    const body = JSON.stringify({ data: dataOf(dataBytes) });
    // Version 1.0 means that the server closes the connection.
    const head = [
      `POST /${ACTION} HTTP/1.${keepsAlive ? 1 : 0}`,
      `Host: ${HOST}`,
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
    ];
    return { trust: createTrust({ ca }), body, request: `${head.join('\r\n')}${END_OF_HEADERS}${body}` };
  }

  /**
   * @param {number} index
   * @param {PeerOptions} options
   * @param {ReturnType<typeof HttpDevice.share>} shared
   * @param {OnDone} onDone
   */
  constructor(index, { port, keepsAlive }, { trust, body, request }, onDone) {
    this.index = index;
    this.port = port;
    this.keepsAlive = keepsAlive;
    this.trust = trust;
    this.body = body;
    this.request = request;
    this.onDone = onDone;
    this.pending = '';
  }

  async open() {
    if (this.keepsAlive) {
      await this.connect();
    }
  }

  begin() {
    this.isAsking = true;
    void this.ask();
  }

  close() {
    this.isAsking = false;
    this.socket?.destroy();
  }

  /** With too many connections at once, a server refuses some, and it closes those that are idle. The device asks again. */
  async ask() {
    this.pending = '';
    try {
      if (this.socket === undefined || this.socket.destroyed) {
        await this.connect();
      }
      this.socket?.write(this.request);
    } catch {
      setTimeout(() => this.isAsking && this.ask(), RETRY_MS);
    }
  }

  async connect() {
    const socket = await openStream(this.index, this.port, this.trust);
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => this.receive(String(chunk)));
    socket.on('error', () => undefined);
    socket.on('end', () => this.isComplete() && this.end());
    socket.on('close', () => this.isAsking && socket === this.socket && this.ask());
    this.socket = socket;
  }

  /** @param {string} chunk */
  receive(chunk) {
    this.pending += chunk;
    if (this.keepsAlive && this.isComplete()) {
      this.end();
    }
  }

  /** Whether an answer is there that is not read yet, and its body as long as its header says. */
  isComplete() {
    const bodyAt = this.pending.indexOf(END_OF_HEADERS) + END_OF_HEADERS.length;
    const length = Number(/content-length: (\d+)/i.exec(this.pending)?.[1]);
    return this.isAsking && bodyAt >= END_OF_HEADERS.length && this.pending.length >= bodyAt + length;
  }

  end() {
    this.isAsking = false;
    if (!this.keepsAlive) {
      // It ends by itself, and the next request must not wait for it.
      this.socket = undefined;
    }
    if (!/^HTTP\/1\.1 20[01] /.test(this.pending) || !this.pending.endsWith(`${END_OF_HEADERS}${this.body}`)) {
      throw new Error(`HTTP device ${this.index}: wrong answer ${this.pending}`);
    }
    this.onDone(this);
  }
}
