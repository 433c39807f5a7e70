/**
 * A board with upstream's client: one socket for life whose queue keeps what is not read, datagrams taken strictly in order,
 * nothing drained, nobody's sender checked.
 */

/**
 * How a request ended, as the program on the board sees it.
 * @typedef {'ok' | 'wrong' | 'stale' | 'noreturn' | 'timeout' | 'error'} Ending `stale` is the answer to an earlier request, whose whole
 * exchange the network delivered twice: the device made the same id of the same pair again. No server can prevent that.
 */

/**
 * @typedef {object} DeviceOptions
 * @property {string} name
 * @property {string | undefined} keyName under which the server knows its key; `undefined` for the shared key.
 * @property {Buffer} key
 * @property {string} address
 * @property {number} port
 * @property {number} timeoutMs for each datagram.
 * @property {number} queueSlots unread datagrams that its socket keeps; what comes then is dropped. 1 is a board with
 * MicroPython before 1.26 on lwIP, 6 an ESP32.
 * @property {number} readMs from a datagram's arrival, or from the read before, to its read: the gap between polls.
 * @property {number} thinkMs from the id to the request.
 * @property {number} bufferSize longer datagrams are cut off.
 * @property {readonly string[]} keyOrder of the envelope.
 */

export class Device {
  /** Datagrams that arrived and were not read. */
  unread = [];
  /** Datagrams that found the queue full. */
  overflowed = 0;
  /** The exchange under way. */
  #exchange;
  #reader;
  #timeline;
  #lib;
  #transmit;

  /**
   * @param {import('./timeline.mjs').Timeline} timeline
   * @param lib the package's functions.
   * @param {DeviceOptions} options
   * @param {(datagram: Buffer) => void} transmit
   */
  constructor(timeline, lib, options, transmit) {
    this.#timeline = timeline;
    this.#lib = lib;
    this.#transmit = transmit;
    this.options = options;
    this.address = options.address;
    this.port = options.port;
    this.sealer = new lib.Sealer(options.key);
  }

  get name() {
    return this.options.name;
  }

  get endpoint() {
    return `${this.address}|${this.port}`;
  }

  get isBusy() {
    return this.#exchange !== undefined;
  }

  /**
   * One exchange, as upstream's `client.send`.
   *
   * @param {{ text: string, noreturn: boolean, onSealed?: (id: Buffer) => void }} request
   * @param {(ending: 'reply' | 'noreturn' | 'timeout' | 'error', reply?: string) => void} onEnd
   */
  send(request, onEnd) {
    this.#exchange = { request, onEnd };
    this.#transmit(this.#lib.HELLO);
    this.#read(2, ([ciphertext, iv]) => this.#takeId(ciphertext, iv));
  }

  /** A datagram arrives at its socket, whoever sent it. */
  receive(datagram) {
    if (this.unread.length >= this.options.queueSlots) {
      this.overflowed++;
      return;
    }
    this.unread.push(datagram.subarray(0, this.options.bufferSize));
    this.#readSoon();
  }

  #takeId(ciphertext, iv) {
    // The AES module of the board raises on these.
    if (ciphertext.length === 0 || ciphertext.length % 16 !== 0 || iv.length !== 16) {
      this.#end('error');
      return;
    }
    const id = this.#lib.openId(this.sealer, { ciphertext, iv });
    const { thinkMs } = this.options;
    if (thinkMs > 0) {
      this.#timeline.after(thinkMs, () => this.#request(id));
    } else {
      this.#request(id);
    }
  }

  #request(id) {
    const { request } = this.#exchange;
    request.onSealed?.(id);
    this.#transmit(this.#lib.sealRequest(this.sealer, id, request.text, this.options.keyOrder));
    if (request.noreturn) {
      this.#end('noreturn');
      return;
    }
    this.#read(3, ([hash, iv, ciphertext]) => {
      const text =
        ciphertext.length % 16 === 0 && iv.length === 16
          ? this.#lib.openReply(this.sealer, id, hash, { ciphertext, iv })
          : undefined;
      if (text === undefined) {
        this.#end('error');
      } else {
        this.#end('reply', text);
      }
    });
  }

  #end(ending, reply) {
    const { onEnd } = this.#exchange;
    this.#exchange = undefined;
    onEnd(ending, reply);
  }

  /** Reads so many datagrams, each within the timeout. */
  #read(count, onRead) {
    this.#reader = { count, onRead, datagrams: [], isReading: false, deadline: 0 };
    this.#awaitNext(this.#reader);
    this.#readSoon();
  }

  #awaitNext(reader) {
    const deadline = this.#timeline.now + this.options.timeoutMs;
    reader.deadline = deadline;
    this.#timeline.at(deadline, () => {
      if (this.#reader === reader && reader.deadline === deadline) {
        this.#reader = undefined;
        this.#end('timeout');
      }
    });
  }

  #readSoon() {
    const reader = this.#reader;
    if (!reader || reader.isReading || this.unread.length === 0) {
      return;
    }
    if (this.options.readMs === 0) {
      this.#readOne(reader);
      return;
    }
    reader.isReading = true;
    this.#timeline.after(this.options.readMs, () => {
      reader.isReading = false;
      if (this.#reader === reader) {
        this.#readOne(reader);
      }
    });
  }

  #readOne(reader) {
    reader.datagrams.push(this.unread.shift());
    if (reader.datagrams.length === reader.count) {
      this.#reader = undefined;
      reader.onRead(reader.datagrams);
    } else {
      this.#awaitNext(reader);
      this.#readSoon();
    }
  }
}
