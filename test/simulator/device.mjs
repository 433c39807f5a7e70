import { boardExchange } from '#lib/testing/board-exchange.js';

/**
 * A board with upstream's client: one socket for life whose queue keeps unread datagrams, datagrams taken strictly in order,
 * nothing drained, nobody's sender checked.
 */

/**
 * How a request ended, as the program on the board sees it.
 * @typedef {'ok' | 'wrong' | 'stale' | 'noreturn' | 'timeout' | 'error' | 'refused'} Ending `stale` is the answer to an earlier request, whose whole
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
 * @property {number} queueSlots unread datagrams that its socket keeps; further ones are dropped. 1 is a board with
 * MicroPython before 1.26 on lwIP, 6 an ESP32.
 * @property {number} readMs from a datagram's arrival, or from the read before, to its read: the gap between polls.
 * @property {number} thinkMs from the id to the request.
 * @property {number} bufferSize longer datagrams are cut off.
 * @property {readonly import('#lib/protocol/index.js').EnvelopeKey[]} keyOrder of the envelope.
 * @property {import('#lib/random.js').RandomFill} [randomFill] the source of its random bytes.
 */

/** @typedef {(ending: 'reply' | 'noreturn' | 'timeout' | 'error', reply?: string) => void} OnEnd */

export class Device {
  /**
   * Datagrams that arrived and were not read.
   *
   * @type {Buffer[]}
   */
  unread = [];
  /** Datagrams that found the queue full. */
  overflowed = 0;
  /** @type {{ steps: ReturnType<typeof boardExchange>, onEnd: OnEnd } | undefined} */
  #exchange;
  /**
   * Set while the device waits for a datagram.
   *
   * @type {{ isReading: boolean } | undefined}
   */
  #reader;
  #timeline;
  #lib;
  #transmit;
  /** @type {import('#lib/protocol/index.js').Sealer} */
  sealer;
  /** @type {import('./world.mjs').Habits} How its program uses the client; set by the world. */
  habits;

  /**
   * @param {import('./timeline.mjs').Timeline} timeline
   * @param {import('../support/built-package.mjs').BuiltPackage} lib
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
    this.useKey(options.key);
  }

  /** @param {Buffer} key */
  useKey(key) {
    this.sealer = new this.#lib.Sealer(key, this.#lib.createRandomBlockSource(this.options.randomFill));
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
   * @param {OnEnd} onEnd
   */
  send(request, onEnd) {
    const { keyOrder } = this.options;
    this.#exchange = { steps: boardExchange(this.sealer, { ...request, keyOrder }), onEnd };
    this.#advance(undefined);
  }

  /**
   * A datagram of any sender arrives at its socket.
   *
   * @param {Buffer} datagram
   */
  receive(datagram) {
    if (this.unread.length >= this.options.queueSlots) {
      this.overflowed++;
      return;
    }
    this.unread.push(datagram.subarray(0, this.options.bufferSize));
    this.#readSoon();
  }

  /** @param {Buffer | undefined} input the datagram that was read. */
  #advance(input) {
    const { steps } = this.#underWay;
    for (let step = input ? steps.next(input) : steps.next(); ; step = steps.next()) {
      if (step.done) {
        // Upstream's client returns for an empty datagram; nothing was answered, so it counts as an error here.
        const { value } = step;
        this.#end(value.kind === 'empty' ? 'error' : value.kind, value.kind === 'reply' ? value.text : undefined);
        return;
      }
      switch (step.value.kind) {
        case 'send':
          this.#transmit(step.value.datagram);
          break;
        case 'read':
          this.#awaitDatagram();
          return;
        case 'compute':
          if (this.options.thinkMs > 0) {
            this.#timeline.after(this.options.thinkMs, () => this.#advance(undefined));
            return;
          }
      }
    }
  }

  get #underWay() {
    if (!this.#exchange) {
      throw new Error(`${this.name} has no exchange under way`);
    }
    return this.#exchange;
  }

  /** @type {OnEnd} */
  #end(ending, reply) {
    const { onEnd } = this.#underWay;
    this.#exchange = undefined;
    onEnd(ending, reply);
  }

  /** Reads one datagram within the timeout. */
  #awaitDatagram() {
    const reader = { isReading: false };
    this.#reader = reader;
    this.#timeline.after(this.options.timeoutMs, () => {
      if (this.#reader === reader) {
        this.#reader = undefined;
        this.#end('timeout');
      }
    });
    this.#readSoon();
  }

  #readSoon() {
    const reader = this.#reader;
    if (!reader || reader.isReading || this.unread.length === 0) {
      return;
    }
    if (this.options.readMs === 0) {
      this.#readOne();
      return;
    }
    reader.isReading = true;
    this.#timeline.after(this.options.readMs, () => {
      reader.isReading = false;
      if (this.#reader === reader) {
        this.#readOne();
      }
    });
  }

  #readOne() {
    this.#reader = undefined;
    this.#advance(this.unread.shift());
  }
}
