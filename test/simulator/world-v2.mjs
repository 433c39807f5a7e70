/**
 * A simulated world of boards of protocol v2 beside boards of v1: the real transport on a simulated machine, a bad network, and an
 * attacker who records everything, sends it again to both sides, and forges AGAIN. Everything in it follows from its seed.
 */
import { throwError } from 'rxjs';
import { FaultyLink } from '#lib/testing/faulty-link.js';
import { Random } from '#lib/testing/random.js';
import { Device } from './device.mjs';
import { Machine } from './machine.mjs';
import { Timeline } from './timeline.mjs';

const SERVER_PORT = 8585;

/** Datagrams of each direction that the attacker keeps. */
const RECORDED = 256;

/** Until the last transmission has been given up, and everything on its way has arrived. */
const QUIET_MS = 60_000;

const MAX_BREACHES = 20;

/**
 * How a request ended, as the program on the board sees it. `restarted`: its board lost power meanwhile.
 * @typedef {'ok' | 'wrong' | 'no-answer' | 'refused' | 'unknown' | 'bad-reply' | 'restarted' | 'timeout' | 'error'} Ending
 */

/** Endings of v2 that promise that the request did not run, and never will. */
const DID_NOT_RUN = ['no-answer', 'refused'];

/**
 * @typedef {object} Request
 * @property {number} number
 * @property {string} board
 * @property {'v1' | 'v2'} protocol
 * @property {boolean} noreturn
 * @property {number} beganAt
 * @property {number} executions
 * @property {Ending | undefined} ending
 */

/**
 * @typedef {(ending: Exclude<Ending, 'ok' | 'wrong'> | 'reply' | 'noreturn', reply?: string) => void} OnEnd
 *
 * @typedef {object} Board
 * @property {string} name
 * @property {'v1' | 'v2'} protocol
 * @property {V2Board | V1Board} client
 * @property {string} address
 * @property {number} port
 * @property {readonly [number, number]} pauseMs from the end of a request to the next, at least and at most
 * @property {number} noreturn share of requests that want no reply
 * @property {number} count of requests, after which it stops
 *
 * @typedef {object} V2WorldOptions
 * @property {Omit<import('nestjs-ben-udp').BenUdpTransportOptions, 'host' | 'port' | 'keys'>} [server]
 * @property {import('./machine.mjs').MachineOptions} [machine]
 *
 * @typedef {import('./world.mjs').Order} Order
 * @typedef {import('./world.mjs').Recorded} Recorded
 * @typedef {import('nestjs-ben-udp').BenUdpTransport} Transport
 * @typedef {import('../support/built-package.mjs').BuiltPackage} BuiltPackage
 */

/** A board of v2: the state machine of the client, with its waits on the timeline. */
class V2Board {
  #lib;
  #timeline;
  #options;
  #transmit;
  /** @type {import('#lib/exchange/index.js').V2ClientExchange} Set by `powerUp`. */
  #exchange;
  /**
   * Of the call under way.
   *
   * @type {OnEnd | undefined}
   */
  #onEnd;
  #wait = {};

  /**
   * @param {Timeline} timeline
   * @param {BuiltPackage} lib
   * @param {{ key: Buffer, randomFill: import('#lib/random.js').RandomFill }} options
   * @param {(datagram: Buffer) => void} transmit
   */
  constructor(timeline, lib, options, transmit) {
    this.#lib = lib;
    this.#timeline = timeline;
    this.#options = options;
    this.#transmit = transmit;
    this.powerUp();
  }

  get isBusy() {
    return this.#onEnd !== undefined;
  }

  /** Forgets its session, and gives up the call under way. */
  powerUp() {
    const { key, randomFill } = this.#options;
    this.#exchange = new this.#lib.V2ClientExchange({ key, bufferSize: 1536, random: randomFill });
    this.#end({ ending: 'restarted' });
  }

  /**
   * @param {{ text: string, noreturn: boolean }} request
   * @param {OnEnd} onEnd
   */
  send({ text, noreturn }, onEnd) {
    this.#onEnd = onEnd;
    this.#act(this.#exchange.begin(text, noreturn, this.#timeline.now, 15_000));
  }

  /** @param {Buffer} datagram */
  receive(datagram) {
    this.#act(this.#exchange.receive(datagram, this.#timeline.now));
  }

  /** @param {import('#lib/exchange/index.js').V2ClientDecision} decision */
  #act(decision) {
    switch (decision.kind) {
      case 'send': {
        const wait = {};
        this.#wait = wait;
        this.#transmit(decision.datagram);
        this.#timeline.after(decision.waitMs, () => {
          if (this.#wait === wait) {
            this.#act(this.#exchange.elapse());
          }
        });
        return;
      }
      case 'done':
        this.#end({ ending: 'reply', text: decision.text });
        return;
      case 'failed':
        this.#end({ ending: decision.failure });
    }
  }

  /** @param {{ ending: Parameters<OnEnd>[0], text?: string | undefined }} result */
  #end({ ending, text = undefined }) {
    const onEnd = this.#onEnd;
    this.#onEnd = undefined;
    this.#wait = {};
    onEnd?.(ending, text);
  }
}

/** The client of v1, which has no call of that name. */
class V1Board extends Device {
  powerUp() {}
}

export class V2World {
  /** @type {Board[]} */
  boards = [];
  isActive = true;
  /** @type {Machine | undefined} */
  machine;
  /** @type {import('nestjs-ben-udp').BenUdpTransport} */
  transport;
  ledger = {
    /** @type {Request[]} */
    requests: [],
    /** @type {string[]} */
    breaches: [],
    counts: { delivered: 0, executions: 0 },
  };
  /** @type {{ up: Recorded[], down: Recorded[] }} */
  recorded = { up: [], down: [] };
  #lib;
  #serverOptions;
  /** @type {Record<string, import('nestjs-ben-udp').BenUdpKeyEntry>} */
  #keys = {};
  #attack = { every: 0 };
  #delivered = 0;

  /**
   * @param {import('../support/built-package.mjs').BuiltPackage} lib
   * @param {number} seed
   * @param {V2WorldOptions} [options]
   */
  constructor(lib, seed, { server = {}, machine = {} } = {}) {
    this.random = new Random(seed);
    this.timeline = new Timeline(0);
    this.startedAt = 0;
    this.up = new FaultyLink(this.timeline, this.random.fork());
    this.down = new FaultyLink(this.timeline, this.random.fork());
    this.#lib = lib;
    this.#serverOptions = server;
    this.machineOptions = machine;
  }

  /**
   * @param {{ protocol?: 'v1' | 'v2', pauseMs: readonly [number, number], noreturn?: number, count?: number }} habits `noreturn` is a
   * share, `count` the number of requests after which it stops.
   */
  addBoard({ protocol = 'v2', pauseMs, noreturn = 0, count = Infinity }) {
    const { random } = this;
    const name = `board ${this.boards.length}`;
    const contents = random.bytes(32);
    this.#keys[name] = { key: contents, protocol: protocol === 'v2' ? 'v2' : 'any' };
    const options = {
      name,
      keyName: name,
      address: `10.1.0.${this.boards.length}`,
      port: SERVER_PORT,
      timeoutMs: 10_000,
      queueSlots: 6,
      readMs: 0,
      thinkMs: 0,
      bufferSize: 4096,
      keyOrder: /** @type {const} */ (['hash', 'data', 'iv']),
      key: this.#lib.deriveKey(contents),
      randomFill: random.fork().fill,
    };
    const transmit = (/** @type {Buffer} */ datagram) => this.#transmitUp(board, datagram);
    const client = new (protocol === 'v2' ? V2Board : V1Board)(this.timeline, this.#lib, options, transmit);
    /** @type {Board} */
    const board = { name, protocol, client, address: options.address, port: SERVER_PORT, pauseMs, noreturn, count };
    this.boards.push(board);
    this.timeline.after(random.float() * pauseMs[1], () => this.#sendNext(board));
    return board;
  }

  get isDone() {
    return this.boards.every(({ count }) => count === 0);
  }

  /**
   * A NAT gives a board another port; datagrams on their way to the old one are lost.
   *
   * @param {Board} board
   */
  rebind(board) {
    board.port = this.random.between(1024, 65_535);
  }

  /** @param {number} every one attack in this time on average, in milliseconds; 0 ends them. */
  setAttack(every) {
    const attack = { every };
    this.#attack = attack;
    const next = () => {
      if (this.#attack === attack && this.isActive) {
        this.#strike();
        this.timeline.after(this.random.float() * 2 * every, next);
      }
    };
    if (every > 0) {
      this.timeline.after(this.random.float() * every, next);
    }
  }

  async startServer() {
    const machine = new Machine(this.timeline, this.random.fork(), this.machineOptions, {
      onRead: () => {
        this.#delivered++;
        this.ledger.counts.delivered++;
      },
      // A handler may have begun.
      onReadEnd: () => true,
      onSend: (datagram, remote, now) => this.#transmitDown(datagram, remote, now),
    });
    const options = { host: '10.0.0.1', port: SERVER_PORT, route: 1, keys: this.#keys, ...this.#serverOptions };
    const transport = new this.#lib.BenUdpTransport(options, machine.platform);
    transport.on('error', (error) => this.#breach(`the transport reported ${error.stack}`));
    this.#addHandlers(transport, machine);
    await machine.start(transport);
    this.#delivered = 0;
    this.machine = machine;
    this.transport = transport;
  }

  /** The process ends without a word. */
  killServer() {
    this.checkCounters();
    this.machine?.kill();
    this.machine = undefined;
  }

  /** @param {number} ms */
  async run(ms) {
    await this.timeline.runUntil(this.timeline.now + ms);
    await this.machine?.settle();
  }

  async runUntilDone() {
    while (!this.isDone) {
      await this.run(10_000);
    }
  }

  /** The counters of the server account for every datagram that it read. */
  checkCounters() {
    const { received, hellos, requests, resent, rejected } = this.transport.getStats();
    const sum = Object.values(rejected).reduce((all, count) => all + count, 0);
    if (received !== this.#delivered || received !== hellos + requests + resent + sum) {
      this.#breach(`${this.#delivered} datagrams read; ${received} = ${hellos} + ${requests} + ${resent} + ${sum}`);
    }
  }

  /** Everybody stops. Then each ending must have been true. */
  async end() {
    this.isActive = false;
    await this.run(QUIET_MS);
    this.checkCounters();
    for (const { number, board, protocol, executions, ending } of this.ledger.requests) {
      const least = protocol === 'v2' && ending === 'ok' ? 1 : 0;
      const most = DID_NOT_RUN.includes(ending ?? '') ? 0 : 1;
      if (ending === undefined || executions < least || executions > most) {
        this.#breach(`request ${number} of ${board} (${protocol}) ran ${executions} times, and ended as ${ending}`);
      }
    }
    await this.transport.close();
  }

  /** @param {Board} board */
  #sendNext(board) {
    if (!this.isActive || board.count === 0) {
      return;
    }
    const { random, ledger } = this;
    const noreturn = random.chance(board.noreturn);
    const action = noreturn ? 'note' : random.pick(['echo', 'echo', 'slow', 'fail']);
    const payload = random.bytes(random.between(6, 24)).toString('hex');
    /** @type {Request} */
    const request = {
      number: ledger.requests.length,
      board: board.name,
      protocol: board.protocol,
      noreturn,
      beganAt: this.timeline.now,
      executions: 0,
      ending: undefined,
    };
    ledger.requests.push(request);
    const data = { n: request.number, p: payload, ms: random.below(500) };
    const text = this.#lib.formatRequest({ action, data, noreturn });
    board.client.send({ text, noreturn }, (ending, reply) => {
      request.ending =
        ending === 'noreturn' ? 'ok' : ending === 'reply' ? this.#judge(request, data, action, reply) : ending;
      board.count--;
      this.timeline.after(random.between(board.pauseMs[0], board.pauseMs[1]), () => this.#sendNext(board));
    });
  }

  /**
   * @param {Request} request
   * @param {Order} order
   * @param {string} action
   * @param {string | undefined} reply
   * @returns {Ending}
   */
  #judge({ number, board, protocol, noreturn }, { n, p }, action, reply) {
    const right = action === 'fail' ? { data: null, error: { n, message: 'as asked' } } : { data: { n, p } };
    if (noreturn ? reply === undefined : reply === JSON.stringify(right)) {
      return 'ok';
    }
    // A board of v1 takes any datagram for the next one.
    if (protocol === 'v2') {
      this.#breach(`request ${number} of ${board} got a wrong answer: ${reply}`);
    }
    return 'wrong';
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
      transport.addHandler(
        action,
        async (data) => {
          machine.activity++;
          this.#count(data);
          return work(data);
        },
        isEvent,
      );
    handle('echo', ({ n, p }) => ({ n, p }));
    handle('note', () => undefined, true);
    handle('fail', ({ n }) => throwError(() => ({ n, message: 'as asked' })));
    handle('slow', async ({ n, p, ms }) => {
      await new Promise((resolve) => machine.platform.schedule(() => resolve(undefined), ms));
      return { n, p };
    });
  }

  /** @param {Order} order */
  #count({ n }) {
    this.ledger.counts.executions++;
    const request = this.ledger.requests[n];
    if (!request || ++request.executions > 1) {
      this.#breach(`request ${n} of ${request?.board} ran ${request?.executions} times`);
    }
  }

  /**
   * @param {Board} board
   * @param {Buffer} datagram
   */
  #transmitUp(board, datagram) {
    const { address, port, name } = board;
    this.#record('up', { datagram, address, port });
    this.up.carry(name, datagram, this.timeline.now, (bytes) => this.#deliver(bytes, address, port));
  }

  /**
   * @param {Buffer} datagram
   * @param {{ address: string, port: number }} remote
   * @param {number} sentAt
   */
  #transmitDown(datagram, { address, port }, sentAt) {
    this.#record('down', { datagram, address, port });
    const board = this.boards.find((each) => each.address === address);
    if (board) {
      this.down.carry(board.name, datagram, sentAt, (bytes) => {
        if (board.port === port) {
          board.client.receive(bytes);
        }
      });
    }
  }

  /**
   * @param {Buffer} datagram
   * @param {string} address
   * @param {number} port
   */
  #deliver(datagram, address, port) {
    this.machine?.deliver(datagram, { address, port, family: 'IPv4' });
  }

  /**
   * @param {'up' | 'down'} direction
   * @param {Recorded} entry
   */
  #record(direction, entry) {
    const kept = this.recorded[direction];
    if (kept.length < RECORDED) {
      kept.push(entry);
    } else {
      kept[this.random.below(RECORDED)] = entry;
    }
  }

  /** Boards of v2 alone are struck: one stray datagram costs a board of v1 its message, as upstream's client reads it. */
  #strike() {
    const { random, recorded } = this;
    const moved = this.boards.filter(({ protocol }) => protocol === 'v2');
    const victim = random.pick(moved);
    const isOfV2 = (/** @type {Recorded} */ { datagram }) => datagram[0] === 0xb2;
    const [up, down] = [recorded.up.filter(isOfV2), recorded.down.filter(isOfV2)];
    if (up.length === 0 || down.length === 0 || !victim) {
      return;
    }
    const sent = random.pick(up);
    const { datagram } = random.pick(down);
    switch (random.below(6)) {
      case 0:
        this.#deliver(sent.datagram, sent.address, sent.port);
        return;
      case 1:
        this.#deliver(sent.datagram, '10.9.0.1', random.between(1024, 65_535));
        return;
      case 2:
        this.#deliver(datagram, sent.address, sent.port);
        return;
      case 3:
        victim.client.receive(sent.datagram);
        return;
      case 4:
        victim.client.receive(datagram);
        return;
      default:
        victim.client.receive(Buffer.concat([Buffer.of(0xb2, 6), this.#sessionOf(victim, up)]));
    }
  }

  /**
   * The session id in the last request of a board that was recorded.
   *
   * @param {Board} board
   * @param {readonly Recorded[]} up
   */
  #sessionOf({ address }, up) {
    const last = up.findLast((each) => each.address === address && each.datagram[1] === 4);
    return last ? last.datagram.subarray(2, 10) : this.random.bytes(8);
  }

  /** @param {string} text */
  #breach(text) {
    if (this.ledger.breaches.length < MAX_BREACHES) {
      this.ledger.breaches.push(`at ${this.timeline.now.toFixed(3)} ms: ${text}`);
    }
  }
}
