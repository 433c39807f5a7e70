/**
 * A peer that behaves as upstream's CPython server does. It makes one exchange at a time, answers to its own port number instead of the
 * sender's, has decimal ids, prints JSON as `json.dumps` does, and exits on any unexpected datagram.
 */
import { randomInt } from 'node:crypto';
import { deriveKey } from '#lib/keys/index.js';
import { bindDatagramSocket } from '#lib/net/index.js';
import { Sealer, digest, isHello, parseEnvelope, parsePythonText, printPythonText } from '#lib/protocol/index.js';

/**
 * @typedef {object} UpstreamServerOptions
 * @property {Uint8Array} key the contents of the key file
 * @property {Record<string, (data?: unknown) => unknown>} handlers
 * @property {string} [host] default 127.0.0.1
 * @property {number} [timeout] milliseconds it waits for a request after a hello. Default 10000
 * @property {number} [bufferSize] default 4096
 * @property {(id: string) => void} [onIssued] called for each id
 * @property {(text: string) => void} [onServed] called with the text of each request that was served
 *
 * @typedef {{ readonly datagram: Buffer, readonly address: string }} Arrival
 */

export class UpstreamServer {
  /**
   * Its last error; `undefined` while it lives.
   *
   * @type {unknown}
   */
  causeOfDeath;
  /** @type {Arrival[]} */
  #unread = [];
  /** @type {((arrival: Arrival) => void) | undefined} */
  #reader;
  #sealer;
  /** @type {import('#lib/net/index.js').DatagramSocket | undefined} */
  #socket;
  /** @type {Promise<void> | undefined} */
  #over;

  /** @param {Required<UpstreamServerOptions>} options */
  constructor(options) {
    this.options = options;
    this.#sealer = new Sealer(deriveKey(options.key));
  }

  /** @param {UpstreamServerOptions} options */
  static async start(options) {
    const server = new UpstreamServer({
      host: '127.0.0.1',
      timeout: 10_000,
      bufferSize: 4096,
      onIssued: () => undefined,
      onServed: () => undefined,
      ...options,
    });
    const socket = await bindDatagramSocket(
      { host: server.options.host, port: 0, receiveBufferSize: undefined },
      { onDatagram: (datagram, { address }) => server.#store({ datagram, address }), onError: () => undefined },
    );
    server.#socket = socket;
    server.#over = server.#serve().catch(async (error) => {
      server.causeOfDeath = error;
      await socket.close();
    });
    return server;
  }

  get port() {
    return /** @type {import('#lib/net/index.js').DatagramSocket} */ (this.#socket).address.port;
  }

  /** Resolves when it has ended by its own mistake. */
  get over() {
    return this.#over;
  }

  /** Ends it as a stranger would. */
  async end() {
    if (this.causeOfDeath === undefined) {
      this.#store({ datagram: Buffer.from('end of test'), address: '127.0.0.1' });
    }
    await this.#over;
  }

  /** @returns {Promise<void>} rejects with the mistake that ends it. */
  async #serve() {
    for (;;) {
      const hello = await this.#receive();
      expectThat(isHello(hello.datagram), 'no hello');
      const id = String(randomInt(100_000, 99_999_999_999));
      this.options.onIssued(id);
      const pair = this.#sealer.seal(id);
      this.#answer(hello, [pair.ciphertext, pair.iv]);
      const request = await this.#receive(this.options.timeout);
      const { text, reply } = await this.#execute(id, request.datagram);
      if (reply !== undefined) {
        const { ciphertext, iv } = this.#sealer.seal(reply);
        this.#answer(request, [digest(Buffer.from(id), ciphertext, iv), iv, ciphertext]);
      }
      this.options.onServed(text);
    }
  }

  /**
   * @param {string} id
   * @param {Buffer} datagram
   */
  async #execute(id, datagram) {
    const envelope = parseEnvelope(datagram);
    if (typeof envelope === 'string') {
      throw new Error(`no envelope: ${envelope}`);
    }
    const { hash, data, iv } = envelope;
    expectThat(digest(Buffer.from(id), data, iv).equals(hash), 'a hash that does not fit');
    const text = this.#sealer.open(data, iv).toString().trim();
    const dict = /** @type {Record<string, unknown>} */ (parsePythonText(text));
    const handler = this.options.handlers[/** @type {string} */ (dict.action)];
    expectThat(handler !== undefined, 'KeyError: the action is not known');
    const result = await ('data' in dict ? handler(dict.data) : handler());
    return { text, reply: 'noreturn' in dict ? undefined : dumpJson({ data: result }) };
  }

  /**
   * To the sender's address, and the server's own port number.
   *
   * @param {Arrival} arrival
   * @param {readonly Buffer[]} datagrams
   */
  #answer({ address }, datagrams) {
    datagrams.forEach((datagram) => this.#socket?.send(datagram, this.port, address));
  }

  /** @param {Arrival} arrival */
  #store(arrival) {
    const cut = { ...arrival, datagram: arrival.datagram.subarray(0, this.options.bufferSize) };
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader) {
      reader(cut);
    } else {
      this.#unread.push(cut);
    }
  }

  /**
   * @param {number} [timeout]
   * @returns {Promise<Arrival>}
   */
  #receive(timeout) {
    const next = this.#unread.shift();
    if (next) {
      return Promise.resolve(next);
    }
    return new Promise((resolve, reject) => {
      const timer =
        timeout === undefined ? undefined : setTimeout(() => reject(new Error('socket.timeout: timed out')), timeout);
      this.#reader = (arrival) => {
        clearTimeout(timer);
        resolve(arrival);
      };
    });
  }
}

/**
 * What `json.dumps` prints by default: a space behind each comma and colon, ASCII only.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function dumpJson(value) {
  if (typeof value === 'string') {
    const escape = (/** @type {string} */ unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
    return JSON.stringify(value).replace(/[^ -~]/g, escape);
  }
  if (typeof value === 'boolean' || value === null || value === undefined) {
    return String(value ?? null);
  }
  if (Array.isArray(value)) {
    return `[${value.map(dumpJson).join(', ')}]`;
  }
  if (typeof value === 'object') {
    const pairs = Object.entries(value).map(([key, item]) => `${dumpJson(key)}: ${dumpJson(item)}`);
    return `{${pairs.join(', ')}}`;
  }
  return printPythonText(value);
}

/**
 * @param {boolean} isTrue
 * @param {string} otherwise
 * @returns {asserts isTrue}
 */
function expectThat(isTrue, otherwise) {
  if (!isTrue) {
    throw new Error(otherwise);
  }
}
