/**
 * The boards, as a separate program: a number of each kind, which together begin a number of exchanges a second, each at its time, even if
 * earlier ones have not ended. If a board still waits at its turn, another board goes first.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { addressOf, keyFileAt } from '../../bench/support/wire.mjs';
import { pause, serve } from '../../bench/support/child.mjs';
import { LossyProxy } from '../support/lossy-proxy.mjs';
import { Random } from '#lib/testing/random.js';

const TICK_MS = 5;
const OPENED_AT_ONCE = 200;
/** Beyond it, latencies are a random sample of this size. */
const KEPT_LATENCIES = 100_000;

/**
 * @typedef {import('./server.mjs').Stamp} Stamp
 *
 * @typedef {object} Question a request, and the expected reply
 * @property {string} action
 * @property {Stamp} data
 * @property {boolean} [noreturn]
 * @property {object | null} answer
 *
 * @typedef {'echo' | 'slow' | 'fail' | 'nobody' | 'note'} RequestName
 * @typedef {'ok' | 'wrong' | 'lost' | 'bad'} Outcome of an exchange. `bad`: it failed, but not by a timeout
 */

const ERROR_ANSWER = null;

/** Where noise comes from; no board has this address. */
const NOISE_ADDRESS = '127.200.0.1';
const MAX_NOISE_BYTES = 1400;

/**
 * The requests of a board.
 *
 * @type {Record<RequestName, (data: Stamp, random: Random) => Question>}
 */
const REQUESTS = {
  echo: (data) => ({ action: 'echo', data, answer: data }),
  slow: (data, random) => {
    const slow = { ...data, ms: random.below(200) };
    return { action: 'slow', data: slow, answer: slow };
  },
  fail: (data) => ({ action: 'fail', data, answer: ERROR_ANSWER }),
  nobody: (data) => ({ action: 'nobody', data, answer: ERROR_ANSWER }),
  note: (data) => ({ action: 'note', data, noreturn: true, answer: {} }),
};

class Tally {
  begun = 0;
  ok = 0;
  lost = 0;
  bad = 0;
  wrong = 0;
  /**
   * Boards with at least one answer.
   *
   * @type {Set<number>}
   */
  heard = new Set();
  /** @type {number[]} */
  latencies = [];
  #random = new Random(1);

  /**
   * @param {Outcome} outcome
   * @param {number} ms
   * @param {number} device
   */
  end(outcome, ms, device) {
    this[outcome]++;
    if (outcome !== 'ok') {
      return;
    }
    this.heard.add(device);
    if (this.latencies.length < KEPT_LATENCIES) {
      this.latencies.push(ms);
    } else {
      const index = this.#random.below(this.ok);
      if (index < KEPT_LATENCIES) {
        this.latencies[index] = ms;
      }
    }
  }

  report() {
    const { begun, ok, lost, bad, wrong, heard } = this;
    const sorted = Float64Array.from(this.latencies).toSorted();
    const at = (/** @type {number} */ share) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
    return { begun, ok, lost, bad, wrong, heard: heard.size, p50: at(0.5), p99: at(0.99), max: at(1) };
  }
}

/**
 * @typedef {object} Kind
 * @property {number} count
 * @property {string} [key] of all of them, in hex; without it, each has a key of its own
 * @property {number} [firstKey] the number of the first of those keys
 * @property {number[]} [ports] a key is on the port of its number, modulo their count
 * @property {'v1' | 'v2'} [protocol]
 * @property {RequestName[]} requests
 * @property {boolean} [isLossy] on the bad network
 *
 * @typedef {object} FleetOptions
 * @property {number} port of the server
 * @property {number} timeout of the boards, in milliseconds
 * @property {number} [noiseShare] the share of turns that also send noise
 * @property {Pick<import('../support/lossy-proxy.mjs').LossyProxyOptions, 'toServer' | 'toDevice'>} [faults] of the bad network
 * @property {Record<string, Kind>} kinds by their names
 *
 * @typedef {object} Entry a board of the fleet
 * @property {VirtualBoard} board
 * @property {string} kind
 * @property {RequestName[]} requests
 * @property {number} key its number
 * @property {number} device
 * @property {number} number of its next request
 */

class Fleet {
  /**
   * Tallies by kind of board, a record for each window. An exchange counts in the window in which it began.
   *
   * @type {Record<string, Tally>[]}
   */
  #windows = [{}];
  /**
   * Boards that wait for their turn, those that waited longest first.
   *
   * @type {Entry[]}
   */
  #idle = [];
  /** @type {Entry[]} */
  #boards = [];
  #underWay = 0;
  #starved = 0;
  #datagrams = 0;
  /** @type {LossyProxy | undefined} */
  #proxy;
  #port = 0;
  #noise = createSocket('udp4');
  #noiseShare = 0;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #random;

  /** @param {number} seed */
  constructor(seed) {
    this.#random = new Random(seed);
  }

  /** @param {FleetOptions} options */
  async open({ port, timeout, noiseShare = 0, faults, kinds }) {
    this.#port = port;
    this.#noiseShare = noiseShare;
    this.#noise.bind(0, NOISE_ADDRESS);
    await once(this.#noise, 'listening');
    if (faults) {
      this.#proxy = await LossyProxy.start({ server: { port }, seed: this.#random.next(), ...faults });
    }
    const wanted = Object.entries(kinds).flatMap(([kind, { count, ...rest }]) =>
      Array.from({ length: count }, (_, number) => ({ kind, number, ...rest })),
    );
    for (let index = 0; index < wanted.length; index += OPENED_AT_ONCE) {
      const some = wanted.slice(index, index + OPENED_AT_ONCE);
      await Promise.all(some.map((each, offset) => this.#openBoard(each, index + offset, port, timeout)));
    }
    this.#idle = this.#boards.toSorted(() => this.#random.float() - 0.5);
  }

  /**
   * @param {Omit<Kind, 'count'> & { kind: string, number: number }} wanted
   * @param {number} index
   * @param {number} port
   * @param {number} timeout
   */
  async #openBoard(
    { kind, number, key, firstKey = 0, ports, protocol = 'v1', requests, isLossy },
    index,
    port,
    timeout,
  ) {
    const keyNumber = firstKey + number;
    const board = await VirtualBoard.start({
      key: key === undefined ? keyFileAt(keyNumber) : Buffer.from(key, 'hex'),
      port: isLossy ? this.#badNetwork.port : (ports?.[keyNumber % ports.length] ?? port),
      localAddress: addressOf(index),
      protocol,
      timeout,
    });
    if (!isLossy) {
      const send = board.sendDatagram.bind(board);
      board.sendDatagram = (datagram) => {
        this.#datagrams++;
        send(datagram);
      };
    }
    this.#boards.push({ board, kind, requests, key: keyNumber, device: index, number: 0 });
  }

  get #badNetwork() {
    if (!this.#proxy) {
      throw new Error('lossy boards need `faults`');
    }
    return this.#proxy;
  }

  /**
   * Begins this number of exchanges a second, until `stop`.
   *
   * @param {number} perSecond
   */
  run(perSecond) {
    const beganAt = performance.now();
    let begun = 0;
    this.#timer = setInterval(() => {
      const due = ((performance.now() - beganAt) / 1000) * perSecond;
      for (; begun < due; begun++) {
        this.#beginNext();
      }
    }, TICK_MS);
  }

  #beginNext() {
    if (this.#random.chance(this.#noiseShare)) {
      this.#datagrams++;
      this.#noise.send(this.#makeNoise(), this.#port, '127.0.0.1');
    }
    const next = this.#idle.shift();
    if (!next) {
      this.#starved++;
      return;
    }
    void this.exchange(next).finally(() => this.#idle.push(next));
  }

  /** A hello, something that begins like a request, or anything. */
  #makeNoise() {
    const random = this.#random;
    const bytes = random.bytes(random.between(1, MAX_NOISE_BYTES));
    return random.pick([() => Buffer.from('/GETID'), () => Buffer.concat([Buffer.from('{'), bytes]), () => bytes])();
  }

  /** @param {Entry} entry */
  async exchange(entry) {
    const { board, kind, requests, device } = entry;
    const tally = (this.#windows[this.#windows.length - 1][kind] ??= new Tally());
    const data = { device, number: entry.number++ };
    const { answer, noreturn, ...request } = REQUESTS[this.#random.pick(requests)](data, this.#random);
    tally.begun++;
    this.#underWay++;
    const beganAt = performance.now();
    try {
      const got = await board.send(request, { noreturn });
      tally.end(JSON.stringify(got) === JSON.stringify(answer) ? 'ok' : 'wrong', performance.now() - beganAt, device);
    } catch (error) {
      const isTimeout = /** @type {NodeJS.ErrnoException} */ (error).code === 'BEN_TIMEOUT';
      tally.end(isTimeout ? 'lost' : 'bad', performance.now() - beganAt, device);
    }
    this.#underWay--;
  }

  /** One exchange of every board, all at once; milliseconds until the last has ended. */
  async burst() {
    const beganAt = performance.now();
    await Promise.all(this.#boards.map((entry) => this.exchange(entry)));
    return performance.now() - beganAt;
  }

  /** The addresses of the boards, each with the number of its key. */
  endpoints() {
    return this.#boards.map(({ board, key }) => ({ ...board.address, key }));
  }

  /** Boards with at least one answer since the last report. */
  heard() {
    return new Set(this.#windows.flatMap((tallies) => Object.values(tallies).flatMap(({ heard }) => [...heard]))).size;
  }

  /** Ends when every exchange has. */
  async stop() {
    clearInterval(this.#timer);
    while (this.#underWay > 0) {
      await pause(TICK_MS);
    }
  }

  /** What begins from now on is counted apart. */
  mark() {
    this.#windows.push({});
  }

  /** Counted since the last report; complete once the fleet has stopped. */
  report() {
    const windows = this.#windows.map((tallies) =>
      Object.fromEntries(Object.entries(tallies).map(([kind, tally]) => [kind, tally.report()])),
    );
    const starved = this.#starved;
    this.#windows = [{}];
    this.#starved = 0;
    return { windows, starved, sentToServer: this.#datagrams, proxy: this.#proxy?.fates };
  }

  async close() {
    await Promise.all(this.#boards.map(({ board }) => board.close()));
    await this.#proxy?.close();
    await new Promise((resolve) => this.#noise.close(() => resolve(undefined)));
  }
}

/** @type {Fleet} */
let fleet;

const functions = {
  /** @param {FleetOptions & { seed: number }} options */
  open: async ({ seed, ...options }) => {
    fleet = new Fleet(seed);
    await fleet.open(options);
  },
  /** @param {number} perSecond */
  run: (perSecond) => fleet.run(perSecond),
  burst: () => fleet.burst(),
  endpoints: () => fleet.endpoints(),
  heard: () => fleet.heard(),
  stop: () => fleet.stop(),
  mark: () => fleet.mark(),
  report: () => fleet.report(),
  close: () => fleet.close(),
};

/**
 * @typedef {typeof functions} FleetFunctions
 * @typedef {ReturnType<Tally['report']>} TallyReport
 * @typedef {ReturnType<Fleet['report']>} FleetReport
 */

serve(functions);
