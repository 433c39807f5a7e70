/**
 * One simulated world: a server, the real transport on a simulated machine; devices; a network with faults between them; and the
 * books of all three. Everything in it follows from its seed.
 */
import { from, throwError } from 'rxjs';
import { Random } from '#lib/testing/random.js';
import { Device } from './device.mjs';
import { Ledger } from './ledger.mjs';
import { Machine } from './machine.mjs';
import { FaultyLink } from '#lib/testing/faulty-link.js';
import { Timeline } from './timeline.mjs';

const SERVER_PORT = 8585;

/** @type {readonly import('#lib/protocol/index.js').EnvelopeKey[]} */
const KEY_ORDER = ['hash', 'data', 'iv'];

/** Datagrams that an eavesdropper keeps. */
const RECORDED = 256;

/** Longer than any handler that ends, any datagram on its way, and any shutdown. */
const QUIET_MS = 120_000;

/**
 * @typedef {object} ServerOptions as `BenUdpTransport` takes them, without host, port and keys.
 * @property {number} [timeout]
 * @property {number} [datagramGap]
 * @property {number} [shutdownTimeout]
 * @property {number} [maxEndpoints]
 * @property {number} [maxInFlight]
 * @property {number} [maxInFlightPerDevice]
 * @property {number} [maxQueuedEvents]
 * @property {import('nestjs-ben-udp').BenUdpTransportOptions['limits']} [limits]
 * @property {'null' | 'text'} [errorReply]
 */

/**
 * @typedef {object} Habits how a device uses its client.
 * @property {readonly [number, number]} pauseMs from the end of a request to the next, at least and at most.
 * @property {number} noreturn share of requests that want no answer.
 * @property {Partial<Record<'echo' | 'slow' | 'fail' | 'hang' | 'block' | 'many', number>>} [actions] shares, each in its
 * order; the rest is `echo`.
 * @property {readonly [number, number]} [handlerMs] how long `slow` and `block` take.
 * @property {number} [count] requests after which it stops.
 * @property {number} [startMs] after which it begins; by default some time within a pause.
 */

/**
 * @typedef {object} WorldOptions
 * @property {ServerOptions} [server]
 * @property {import('./machine.mjs').MachineOptions} [machine]
 * @property {number} [start] the machine's uptime in milliseconds
 *
 * @typedef {{ n: number, p: string, ms: number }} Order the data of a request: its number, its payload, and how long its handler takes
 * @typedef {{ datagram: Buffer, address: string, port: number }} Recorded with its sender
 * @typedef {{ endpoint: string, since: number }} Running a handler
 *
 * @typedef {import('nestjs-ben-udp').BenUdpTransport} Transport
 * @typedef {import('#lib/protocol/index.js').Sealer} Sealer
 */

export class World {
  /** @type {Device[]} */
  devices = [];
  /** Whether devices go on sending. */
  isActive = true;
  /** Handlers that run, and the most that ran at once, of all and of one endpoint. */
  handlers = new RunningHandlers();
  /** @type {Machine | undefined} */
  machine;
  /** @type {import('nestjs-ben-udp').BenUdpTransport} */
  transport;
  /**
   * Datagrams that an eavesdropper on the way to the server saw, with their senders.
   *
   * @type {Recorded[]}
   */
  recorded = [];
  #lib;
  /** @type {ServerOptions & { timeout: number, datagramGap: number }} */
  #serverOptions;
  /** @type {Record<string, Buffer | Buffer[]>} A device is added with one key under its name. */
  #keys;
  /** @type {import('./machine.mjs').MachineOptions} */
  #machineOptions;
  /**
   * The devices at each endpoint, present and former, whose keys open the datagrams sent there.
   *
   * @type {Map<string, { current: Device | undefined, sealers: Set<Sealer> }>}
   */
  #residents = new Map();
  #nextAddress = 0;

  /**
   * @param {import('../support/built-package.mjs').BuiltPackage} lib
   * @param {number} seed
   * @param {WorldOptions} [options]
   */
  constructor(lib, seed, { server = {}, machine = {}, start = 0 } = {}) {
    this.random = new Random(seed);
    this.startedAt = start;
    this.timeline = new Timeline(start);
    this.up = new FaultyLink(this.timeline, this.random.fork());
    this.down = new FaultyLink(this.timeline, this.random.fork());
    this.ledger = new Ledger(
      () => this.timeline.now,
      (endpoint) => this.#residents.get(endpoint)?.sealers,
      lib.openId,
    );
    this.#lib = lib;
    this.#serverOptions = { timeout: 10_000, datagramGap: 0, ...server };
    this.#machineOptions = machine;
    this.#keys = {};
  }

  get timeoutMs() {
    return this.#serverOptions.timeout;
  }

  /**
   * @param {Partial<import('./device.mjs').DeviceOptions> & { keyName?: string }} options
   * @param {Habits} habits
   */
  addDevice(options, habits) {
    const { random } = this;
    const index = this.#nextAddress++;
    const keyName = options.keyName ?? `key ${index}`;
    this.#keys[keyName] ??= random.bytes(32);
    const device = new Device(
      this.timeline,
      this.#lib,
      {
        name: `device ${index}`,
        address: `10.1.${index >> 8}.${index & 255}`,
        port: SERVER_PORT,
        timeoutMs: this.#serverOptions.timeout,
        queueSlots: 6,
        readMs: 0,
        thinkMs: 0,
        bufferSize: 4096,
        keyOrder: shuffle(random, KEY_ORDER),
        ...options,
        keyName,
        randomFill: random.fork().fill,
        key: this.#lib.deriveKey(/** @type {Buffer} */ (this.#keys[keyName])),
      },
      (datagram) => this.#transmitUp(device, datagram),
    );
    device.habits = habits;
    this.devices.push(device);
    this.#settleIn(device);
    const { startMs = random.float() * habits.pauseMs[1] } = habits;
    this.timeline.after(startMs, () => this.#sendNext(device));
    return device;
  }

  /** The machine of the server that runs. */
  get running() {
    if (!this.machine) {
      throw new Error('no server runs');
    }
    return this.machine;
  }

  /** Whether every device has made as many requests as it was to make. */
  get isDone() {
    return this.devices.every(({ habits }) => habits.count === 0);
  }

  /** Devices that have made as many requests as they were to make go on without end. */
  resume() {
    for (const device of this.devices) {
      const { habits } = device;
      if (habits.count === 0) {
        habits.count = undefined;
        this.timeline.after(this.random.float() * habits.pauseMs[1], () => this.#sendNext(device));
      }
    }
  }

  /**
   * A NAT gives a device another port; datagrams on their way to the old one are lost.
   *
   * @param {Device} device
   */
  rebind(device) {
    const residents = this.#residents.get(device.endpoint);
    if (residents) {
      residents.current = undefined;
    }
    device.port = this.random.between(1024, 65_535);
    this.#settleIn(device);
  }

  /**
   * A device gets another key file.
   *
   * @param {Device} device
   * @param {Buffer} contents
   */
  rekey(device, contents) {
    device.useKey(this.#lib.deriveKey(contents));
    this.#settleIn(device);
  }

  /** Starts a server, with new secrets and nothing remembered. */
  async startServer() {
    const { timeout, datagramGap, maxEndpoints } = this.#serverOptions;
    this.ledger.beginServer({ timeoutMs: timeout, datagramGap, isForgetful: maxEndpoints !== undefined });
    const machine = new Machine(
      this.timeline,
      this.random.fork(),
      { timersFirst: this.random.chance(0.5), ...this.#machineOptions },
      {
        onRead: (datagram, remote, arrivedAt, now) => this.ledger.onRead(datagram, remote, arrivedAt, now),
        onReadEnd: () => this.ledger.onReadEnd(),
        onSend: (datagram, remote, now) => {
          this.ledger.onSend(datagram, remote, now);
          this.#transmitDown(datagram, remote, now);
        },
      },
    );
    const transport = new this.#lib.BenUdpTransport(
      { host: '10.0.0.1', port: SERVER_PORT, keys: this.#keys, ...this.#serverOptions },
      machine.platform,
    );
    transport.on('rejected', ({ reason }) => this.ledger.onRejected(reason));
    transport.on('exchange', () => {
      this.ledger.counts.ended++;
    });
    transport.on('error', (error) => this.ledger.breach(`the transport reported ${error.stack}`));
    this.#addHandlers(transport, machine);
    await machine.start(transport);
    this.machine = machine;
    this.transport = transport;
    this.handlers = new RunningHandlers();
  }

  /** The process ends without a word. */
  killServer() {
    this.checkBooks();
    this.running.kill();
    this.machine = undefined;
  }

  /**
   * Closes the transport as Nest does.
   *
   * @returns {Promise<{ isClosed: boolean, closedAt: number, ended: number, running: number }>} at once; the contents once it is
   * closed: when, how many requests had ended by then, and how many handlers still ran.
   */
  async closeServer() {
    const state = { isClosed: false, closedAt: Infinity, ended: 0, running: 0 };
    const { running: machine, ledger, handlers } = this;
    ledger.server.isClosing = true;
    const close = async () => {
      try {
        await this.transport.close();
        const { ended } = ledger.counts;
        Object.assign(state, { isClosed: true, closedAt: machine.now(), ended, running: handlers.size });
      } catch (error) {
        ledger.breach(`close() rejected: ${error instanceof Error ? error.stack : error}`);
      }
    };
    void close();
    await machine.settle();
    return state;
  }

  /**
   * Lets this time pass.
   *
   * @param {number} ms
   */
  async run(ms) {
    await this.timeline.runUntil(this.timeline.now + ms);
    await this.machine?.settle();
  }

  checkBooks() {
    const { counts } = this.ledger;
    const stats = this.transport.getStats();
    this.ledger.compare(stats);
    if (stats.endpoints > (this.#serverOptions.maxEndpoints ?? Infinity)) {
      this.ledger.breach(`${stats.endpoints} endpoints are remembered`);
    }
    if (counts.accepted !== counts.executions) {
      this.ledger.breach(`${counts.accepted} requests were accepted, ${counts.executions} handlers ran`);
    }
  }

  /**
   * Everybody stops, and the server is closed. Nothing may be left over: no timer but the watch on the loop, no work, no socket.
   *
   * @param {{ stuckHandlers?: number }} [options] handlers that never end.
   */
  async end({ stuckHandlers = 0 } = {}) {
    const { ledger } = this;
    this.isActive = false;
    await this.run(QUIET_MS);
    this.checkBooks();
    const { inFlight } = this.transport.getStats();
    if (this.running.timers !== 1 || inFlight !== stuckHandlers) {
      ledger.breach(`at rest there are ${this.running.timers} timers and ${inFlight} requests in flight`);
    }
    for (const device of this.devices) {
      if (device.isBusy) {
        ledger.breach(`${device.name} still waits`);
      }
    }
    const state = await this.closeServer();
    await this.run(QUIET_MS);
    if (!state.isClosed || this.running.timers !== 0 || this.running.isBound) {
      ledger.breach(`after close() there are ${this.running.timers} timers, socket bound: ${this.running.isBound}`);
    }
  }

  /**
   * The server accepts these keys from now on; a name may have several.
   *
   * @param {Record<string, Buffer | Buffer[]>} keys
   */
  async reloadKeys(keys) {
    this.#keys = keys;
    await this.transport.reloadKeys({ keys });
  }

  /** The keys that the server accepts, by their names. */
  get keys() {
    return { ...this.#keys };
  }

  /**
   * A datagram in anybody's name reaches the server, past the network's faults.
   *
   * @param {Buffer} datagram
   * @param {string} address
   * @param {number} port
   */
  spoof(datagram, address, port) {
    this.machine?.deliver(datagram, { address, port, family: 'IPv4' });
  }

  /** @param {Device} device */
  #sendNext(device) {
    const { habits } = device;
    if (!this.isActive || habits.count === 0) {
      return;
    }
    const { random, ledger } = this;
    const noreturn = random.chance(habits.noreturn);
    const action = this.#pickAction(habits.actions ?? {});
    const handlerMs = habits.handlerMs ? between(random, habits.handlerMs) : 0;
    const { keyName, name } = device.options;
    // The server names keys; so long that a reply never has the length of a hash.
    const payload = random.bytes(random.between(6, 24)).toString('hex');
    const request = ledger.openRequest({ device: name, keyName, action, noreturn, payload, endpoint: '' });
    const text = this.#lib.formatRequest({ action, data: { n: request.number, p: payload, ms: handlerMs }, noreturn });
    device.send(
      {
        text,
        noreturn,
        onSealed: (id) => {
          request.sealedAt = this.timeline.now;
          request.endpoint = device.endpoint;
          request.id = id.toString('latin1');
        },
      },
      (ending, reply) => {
        ledger.closeRequest(request, ending, reply);
        if (habits.count !== undefined) {
          habits.count--;
        }
        this.timeline.after(between(random, habits.pauseMs), () => this.#sendNext(device));
      },
    );
  }

  /** @param {NonNullable<Habits['actions']>} shares */
  #pickAction(shares) {
    let point = this.random.float();
    for (const [action, share] of Object.entries(shares)) {
      point -= share;
      if (point < 0) {
        return action;
      }
    }
    return 'echo';
  }

  /**
   * @param {Transport} transport
   * @param {Machine} machine
   */
  #addHandlers(transport, machine) {
    /**
     * @param {string} action
     * @param {(order: Order) => unknown} work
     */
    const handle = (action, work, isEvent = false) =>
      transport.addHandler(action, (data, context) => this.#execute(action, data, context, machine, work), isEvent);
    const wait = (/** @type {number} */ ms) =>
      new Promise((resolve) => machine.platform.schedule(() => resolve(undefined), ms));
    handle('echo', ({ n, p }) => ({ n, p }));
    handle('slow', async ({ n, p, ms }) => {
      await wait(ms);
      return { n, p };
    });
    handle('block', ({ n, p, ms }) => {
      machine.block(ms);
      return { n, p };
    });
    // As Nest's exception layer answers.
    handle('fail', ({ n }) => throwError(() => ({ n, message: 'as asked' })));
    handle('hang', () => new Promise(() => undefined));
    handle('many', ({ n, p }) => from([{ n: -1 }, { n, p }]));
  }

  /**
   * @param {string} action
   * @param {Order} order
   * @param {import('nestjs-ben-udp').BenUdpContext} context
   * @param {Machine} machine
   * @param {(order: Order) => unknown} work
   */
  async #execute(action, { n, p, ms }, context, machine, work) {
    const endpoint = `${context.getRemoteAddress()}|${context.getRemotePort()}`;
    this.ledger.onExecute(n, p, {
      action,
      endpoint,
      keyName: context.getDevice(),
      isReplyExpected: context.isReplyExpected(),
    });
    machine.activity++;
    const handler = this.handlers.begin(endpoint, machine.now(), this.timeoutMs);
    try {
      return await work({ n, p, ms });
    } finally {
      this.handlers.end(handler);
    }
  }

  /**
   * @param {Device} device
   * @param {Buffer} datagram
   */
  #transmitUp(device, datagram) {
    const { address, port } = device;
    this.#record(datagram, address, port);
    this.up.carry(device.endpoint, datagram, this.timeline.now, (bytes) => this.spoof(bytes, address, port));
  }

  /**
   * @param {Buffer} datagram
   * @param {{ address: string, port: number }} remote
   * @param {number} sentAt
   */
  #transmitDown(datagram, { address, port }, sentAt) {
    const endpoint = `${address}|${port}`;
    // Answers to strangers who do not exist go nowhere.
    if (this.#residents.has(endpoint)) {
      this.down.carry(endpoint, datagram, sentAt, (bytes) => this.#residents.get(endpoint)?.current?.receive(bytes));
    }
  }

  /**
   * @param {Buffer} datagram
   * @param {string} address
   * @param {number} port
   */
  #record(datagram, address, port) {
    const entry = { datagram, address, port };
    if (this.recorded.length < RECORDED) {
      this.recorded.push(entry);
    } else {
      this.recorded[this.random.below(RECORDED)] = entry;
    }
  }

  /** @param {Device} device */
  #settleIn(device) {
    const residents = this.#residents.get(device.endpoint) ?? { current: undefined, sealers: new Set() };
    residents.current = device;
    residents.sealers.add(device.sealer);
    this.#residents.set(device.endpoint, residents);
  }
}

/** Counts handlers as the transport does: one that runs for longer than the devices wait is not counted any more. */
class RunningHandlers {
  most = 0;
  mostOfOne = 0;
  /** @type {Set<Running>} */
  #running = new Set();

  get size() {
    return this.#running.size;
  }

  /**
   * @param {string} endpoint
   * @param {number} now
   * @param {number} forgetAfterMs
   */
  begin(endpoint, now, forgetAfterMs) {
    const handler = { endpoint, since: now };
    this.#running.add(handler);
    const counted = [...this.#running].filter(({ since }) => now - since < forgetAfterMs);
    this.most = Math.max(this.most, counted.length);
    this.mostOfOne = Math.max(this.mostOfOne, counted.filter((other) => other.endpoint === endpoint).length);
    return handler;
  }

  /** @param {Running} handler */
  end(handler) {
    this.#running.delete(handler);
  }
}

/**
 * @param {Random} random
 * @param {readonly [number, number]} range
 */
function between(random, [least, most]) {
  return random.between(least, most);
}

/**
 * @template T
 * @param {Random} random
 * @param {readonly T[]} items
 */
function shuffle(random, items) {
  const shuffled = [...items];
  for (let index = shuffled.length - 1; index > 0; index--) {
    const other = random.below(index + 1);
    [shuffled[index], shuffled[other]] = [shuffled[other], shuffled[index]];
  }
  return shuffled;
}
