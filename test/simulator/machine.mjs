/**
 * The machine a transport runs on: a `Platform` on simulated time, with one event loop that does one thing at a time, as Node's
 * does. While a callback blocks, or the whole loop stands still, datagrams wait in the socket and timers are late.
 */

/** What libuv reads from a socket in one turn of the loop. */
const DATAGRAMS_PER_TURN = 32;

/**
 * @typedef {{ address: string, port: number, family: 'IPv4' }} Remote
 *
 * @typedef {object} MachineOptions
 * @property {number} [bufferedDatagrams] that the socket holds. Default 10000
 * @property {number} [lateMs] that a timer may be late. Default 1
 * @property {number} [datagramCostMs] the time that it takes to read one. Default 0
 * @property {boolean} [timersFirst] after a standstill, as libuv before 1.45; else sockets
 * @property {() => number} [wallClock]
 *
 * @typedef {object} Watcher is told of what happens
 * @property {(datagram: Buffer, remote: Remote, arrivedAt: number, now: number) => void} onRead
 * @property {() => boolean} onReadEnd says whether to settle
 * @property {(datagram: Buffer, remote: { address: string, port: number }, now: number) => void} onSend
 *
 * @typedef {{ datagram: Buffer, remote: Remote, arrivedAt: number }} Waiting a datagram in the socket
 */

export class Machine {
  /** Set when something went in or out; what waits for quiet looks at it. */
  activity = 0;
  /** Datagrams dropped because the socket's buffer was full. */
  overflowed = 0;
  #timeline;
  #random;
  #options;
  #secrets;
  #watcher;
  /** The machine's own clock: ahead of the world while a callback blocks. */
  #clock;
  /** @type {Map<number, { callback: () => void, dueAt: number }>} */
  #timers = new Map();
  #nextTimer = 0;
  /** @type {(() => void)[]} */
  #immediates = [];
  /** @type {Fifo<Waiting>} */
  #waiting = new Fifo();
  /** @type {import('#lib/net/index.js').DatagramSocketHandlers | undefined} */
  #handlers;
  #isBusy = false;
  #isDead = false;
  #wakeAt = Infinity;

  /**
   * @param {import('./timeline.mjs').Timeline} timeline the world's.
   * @param {import('#lib/testing/random.js').Random} random for the lateness of timers.
   * @param {MachineOptions} options
   * @param {Watcher} watcher
   */
  constructor(timeline, random, options, watcher) {
    this.#timeline = timeline;
    this.#random = random;
    this.#secrets = random.fork();
    this.#options = {
      bufferedDatagrams: 10_000,
      lateMs: 1,
      datagramCostMs: 0,
      timersFirst: false,
      wallClock: Date.now,
      ...options,
    };
    this.#watcher = watcher;
    this.#clock = timeline.now;
  }

  /** Timers that are set. */
  get timers() {
    return this.#timers.size;
  }

  get isBound() {
    return this.#handlers !== undefined;
  }

  /**
   * The platform for the transport's constructor.
   *
   * @returns {import('#lib/net/index.js').Platform}
   */
  get platform() {
    return {
      now: () => this.now(),
      wallClock: () => this.#options.wallClock(),
      randomFill: this.#secrets.fill,
      schedule: (callback, ms) => this.#schedule(callback, ms),
      afterTurn: (callback) => this.#afterTurn(callback),
      bindSocket: async (options, handlers) => this.#bind(options, handlers),
      resolveHost: async (host) => host,
    };
  }

  now() {
    return Math.max(this.#clock, this.#timeline.now);
  }

  /**
   * Stands still for this time: called by a callback, as a handler that computes; or from outside, as a suspended process.
   *
   * @param {number} ms
   */
  block(ms) {
    this.#clock = this.now() + ms;
  }

  /** Kill -9: nothing runs any more, nothing goes out. */
  kill() {
    this.#isDead = true;
    this.#handlers = undefined;
  }

  /**
   * A datagram reaches the socket.
   *
   * @param {Buffer} datagram
   * @param {Remote} remote
   */
  deliver(datagram, remote) {
    if (!this.#handlers || this.#isDead) {
      return;
    }
    if (this.#waiting.length >= this.#options.bufferedDatagrams) {
      this.overflowed++;
      return;
    }
    this.#waiting.push({ datagram, remote, arrivedAt: this.#timeline.now });
    this.#wake(this.now());
  }

  /**
   * Lets a transport listen on this machine.
   *
   * @param {import('nestjs-ben-udp').BenUdpTransport} transport
   */
  async start(transport) {
    /** @type {unknown} */
    let failure;
    transport.listen((error) => {
      failure = error;
    });
    await this.settle();
    if (failure || !this.isBound) {
      throw failure ?? new Error('the simulated server did not start');
    }
  }

  /** Waits until promises have settled and nothing new came of it. Deterministic: a turn of the real loop runs all microtasks. */
  async settle() {
    let before;
    do {
      before = this.activity;
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.activity !== before);
  }

  /**
   * @param {() => void} callback
   * @param {number} ms
   */
  #schedule(callback, ms) {
    this.activity++;
    const id = this.#nextTimer++;
    // Node's timers take whole milliseconds, and at least one.
    const dueAt = this.now() + Math.max(1, Math.trunc(ms)) + this.#random.float() * this.#options.lateMs;
    this.#timers.set(id, { callback, dueAt });
    this.#wake(dueAt);
    return () => {
      this.#timers.delete(id);
    };
  }

  /** @param {() => void} callback */
  #afterTurn(callback) {
    this.activity++;
    this.#immediates.push(callback);
    this.#wake(this.now());
  }

  /**
   * @param {import('#lib/net/index.js').DatagramSocketOptions} options
   * @param {import('#lib/net/index.js').DatagramSocketHandlers} handlers
   * @returns {import('#lib/net/index.js').DatagramSocket}
   */
  #bind({ host, port }, handlers) {
    this.#handlers = handlers;
    return {
      address: { address: host, port, family: 'IPv4' },
      receiveBufferSize: 4_194_304,
      socket: /** @type {import('node:dgram').Socket} */ (/** @type {unknown} */ ({})),
      send: (datagram, toPort, toAddress) => {
        if (this.#isDead) {
          return;
        }
        if (!this.isBound) {
          throw new Error('Not running');
        }
        this.activity++;
        const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length);
        this.#watcher.onSend(bytes, { address: toAddress, port: toPort }, this.now());
      },
      connect: () => true,
      close: async () => {
        this.#handlers = undefined;
        this.#waiting.clear();
      },
    };
  }

  /** @param {number} time */
  #wake(time) {
    if (this.#isBusy || time >= this.#wakeAt) {
      return;
    }
    this.#wakeAt = time;
    this.#timeline.at(time, () => {
      // A later wake-up that an earlier one has overtaken.
      if (this.#wakeAt === time && !this.#isBusy) {
        return this.#turn();
      }
      return undefined;
    });
  }

  /** One turn of the loop. */
  async #turn() {
    this.#isBusy = true;
    await this.#catchUp();
    if (this.#options.timersFirst) {
      await this.#runTimers();
    }
    for (let count = 0; count < DATAGRAMS_PER_TURN && this.#waiting.length > 0; count++) {
      const next = this.#waiting.shift();
      if (next) {
        await this.#read(next);
      }
    }
    for (const callback of this.#immediates.splice(0)) {
      await this.#run(callback);
    }
    if (!this.#options.timersFirst) {
      await this.#runTimers();
    }
    this.#isBusy = false;
    this.#wakeAt = Infinity;
    if (!this.#isDead) {
      this.#wake(this.#waiting.length + this.#immediates.length > 0 ? this.now() : this.#nextDue());
    }
  }

  async #runTimers() {
    const due = [...this.#timers].filter(([, { dueAt }]) => dueAt <= this.now());
    for (const [id, { callback }] of due.toSorted(([, a], [, b]) => a.dueAt - b.dueAt)) {
      if (this.#timers.delete(id)) {
        await this.#run(callback);
      }
    }
  }

  /** @param {Waiting} waiting */
  async #read({ datagram, remote, arrivedAt }) {
    if (!this.#handlers || this.#isDead) {
      return;
    }
    this.#clock = this.now() + this.#options.datagramCostMs;
    this.#watcher.onRead(datagram, remote, arrivedAt, this.now());
    this.#handlers.onDatagram(datagram, { ...remote, size: datagram.length });
    if (this.#watcher.onReadEnd()) {
      await this.settle();
    }
    await this.#catchUp();
  }

  /** @param {() => void} callback */
  async #run(callback) {
    if (!this.#isDead) {
      callback();
      await this.settle();
      await this.#catchUp();
    }
  }

  /** Lets the world go on while this machine was busy. */
  async #catchUp() {
    if (this.#clock > this.#timeline.now) {
      await this.#timeline.runUntil(this.#clock);
    }
  }

  #nextDue() {
    let next = Infinity;
    for (const { dueAt } of this.#timers.values()) {
      next = Math.min(next, dueAt);
    }
    return next;
  }
}

/**
 * A queue whose `shift` costs the same however long it is.
 *
 * @template T
 */
class Fifo {
  /** @type {(T | undefined)[]} */
  #items = [];
  #first = 0;

  get length() {
    return this.#items.length - this.#first;
  }

  /** @param {T} item */
  push(item) {
    this.#items.push(item);
  }

  shift() {
    const item = this.#items[this.#first];
    this.#items[this.#first++] = undefined;
    if (this.#first > 1024 && this.#first * 2 > this.#items.length) {
      this.#items.splice(0, this.#first);
      this.#first = 0;
    }
    return item;
  }

  clear() {
    this.#items.length = 0;
    this.#first = 0;
  }
}
