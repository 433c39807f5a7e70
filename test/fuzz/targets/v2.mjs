/**
 * Both sides of protocol v2 and the network between them, as in `test/model`, but with the real code: an input is a program of calls,
 * deliveries, copies, replays, mutants, pauses, restarts and forged AGAINs. No call may run twice, no call may run that was reported as
 * not run, and no reply may be taken for another one.
 */
import { strict as assert } from 'node:assert';
import { ServerExchange, V2ClientExchange } from '#lib/exchange/index.js';
import { V2Pending } from '#lib/exchange/v2/pending.js';
import { V2ServerExchange } from '#lib/exchange/v2/server-exchange.js';
import { formatAgain } from '#lib/protocol/v2/index.js';
import { ByteReader } from '../byte-reader.mjs';

/** An input ends. */
const MAX_STEPS = 60;

/** After this all cookies have expired, and all limits are free again. */
const REST_MS = 120_000;

const PAUSES = [0, 1, 100, 500, 999, 1000, 1001, 2500, 5000, 13_750, 20_000, 21_000, 30_000, 31_000];

const MAX_SESSIONS = 8;

const [CALL, UP, DOWN, FINISH, ELAPSE, PAUSE, REPLAY, MUTATE, RESTART, CLOSE, AGAIN, RAW] = Array.from({
  length: 12,
}).keys();

/** The first programs. Each number is a byte. A step has a kind, and the argument of the kind. */
const OPENING = [CALL, 0, UP, 0, DOWN, 0, UP, 0, FINISH, 0, DOWN, 0];
const SEEDS = [
  OPENING,
  [...OPENING, CALL, 0, UP, 0, FINISH, 0, DOWN, 0],
  [...OPENING, CALL, 1, UP, 0, DOWN, 0, FINISH, 0],
  [...OPENING, CALL, 0, UP, 0, UP, 0, FINISH, 0, UP, 0, DOWN, 0],
  [...OPENING, PAUSE, 8, RESTART, PAUSE, 8, CALL, 0, UP, 0, DOWN, 0, UP, 0, DOWN, 0, UP, 0, FINISH, 0, DOWN, 0],
  [...OPENING, CALL, 0, UP, 0, RESTART, PAUSE, 3, ELAPSE, UP, 0, DOWN, 0, UP, 0, DOWN, 0],
  [...OPENING, CALL, 0, AGAIN, 0, UP, 0, DOWN, 0, UP, 0, FINISH, 0, DOWN, 0],
  [...OPENING, CLOSE, CALL, 0, UP, 0, DOWN, 0, ELAPSE, ELAPSE, ELAPSE, ELAPSE, ELAPSE],
  [...OPENING, CALL, 0, PAUSE, 12, UP, 0, DOWN, 0, UP, 0, DOWN, 0, UP, 0, FINISH, 0, DOWN, 0],
  [...OPENING, REPLAY, 0, 0, MUTATE, 1, 9, 4, CALL, 0, MUTATE, 2, 30, 1, REPLAY, 1, 1, RAW, 20, 0xb2, 4, 1, 2, 3],
];

/**
 * @typedef {import('#lib/exchange/index.js').BenUdpRemote} Remote
 *
 * @typedef {object} Setup of a run
 * @property {import('#lib/keys/index.js').KeyRing} keys
 * @property {Buffer} key of the device
 * @property {ServerExchange['parts']} parts
 * @property {import('./index.mjs').RandomFill} randomFill
 * @property {number} now
 * @property {number} index of the run
 *
 * @typedef {object} Running a handler
 * @property {V2ServerExchange} server the process that it runs in
 * @property {V2Pending} pending
 * @property {unknown} call
 */

/** @type {import('./index.mjs').CreateTarget} */
export function createV2Target(lib, randomFill) {
  const { KeyRing, DEFAULT_LIMITS } = lib;
  const key = lib.deriveKey(Buffer.alloc(32, 2));
  const keys = new KeyRing([{ device: 'board', key }], undefined, randomFill);
  // Setting the limits up takes 7 MiB of tables, so they serve all inputs, each from another address and at a later time.
  const { parts } = new ServerExchange({
    random: randomFill,
    keys,
    maxDatagramBytes: 4096,
    deviceTimeoutMs: 10_000,
    maxEndpoints: 16,
    limits: DEFAULT_LIMITS,
    inFlight: { maxInFlight: 16, maxInFlightPerDevice: 16, maxQueuedEvents: 16 },
    repair: true,
  });
  let inputs = 0;
  let now = 0;
  return {
    name: 'v2',
    about: 'calls, copies, replays, mutants, pauses, restarts and forged AGAINs between both sides of protocol v2',
    dictionary: SEEDS.map((seed) => Buffer.from(seed).toString('latin1')),
    maxBytes: 4 * MAX_STEPS,
    seeds: SEEDS.map((seed) => Buffer.from(seed)),
    run(input) {
      now += REST_MS;
      const run = new Run({ keys, key, parts, randomFill, now, index: inputs++ });
      try {
        return run.play(new ByteReader(input));
      } finally {
        now = run.end();
      }
    },
  };
}

class Run {
  #setup;
  #client;
  /** @type {V2ServerExchange} Set by `#restart`. */
  #server;
  /** @type {Remote[]} */
  #remotes;
  #now;
  /**
   * Every datagram that the device ever sent.
   *
   * @type {Buffer[]}
   */
  #up = [];
  /**
   * And that the server sent.
   *
   * @type {Buffer[]}
   */
  #down = [];
  /** @type {Running[]} */
  #running = [];
  #calls = 0;
  /**
   * How often each call ran.
   *
   * @type {Map<unknown, number>}
   */
  #executed = new Map();
  /** Calls that were reported as not run. */
  #notRun = new Set();
  /** @type {Set<string>} */
  #seen = new Set();

  /** @param {Setup} setup */
  constructor(setup) {
    this.#setup = setup;
    this.#now = setup.now;
    const { key, randomFill, index } = setup;
    this.#client = new V2ClientExchange({ key, bufferSize: 1536, random: randomFill });
    this.#remotes = [0, 1].map((host) => ({
      address: `10.${host}.${(index >> 8) & 255}.${1 + (index % 250)}`,
      port: 8585,
      family: 'IPv4',
    }));
    this.#restart();
  }

  /** @param {ByteReader} reader */
  play(reader) {
    for (let step = 0; step < MAX_STEPS && !reader.isAtEnd; step++) {
      this.#step(reader.byte() % 12, reader);
      assert.ok(this.#server.sessionCount <= MAX_SESSIONS, 'a key has too many sessions');
    }
    return [...this.#seen].toSorted().join();
  }

  /** Lets nothing run on into the next input. */
  end() {
    for (const { server, pending } of this.#running.splice(0)) {
      server.finish(pending, this.#now);
    }
    return this.#now;
  }

  /**
   * @param {number} kind
   * @param {ByteReader} reader
   */
  #step(kind, reader) {
    switch (kind) {
      case CALL:
        this.#call(reader.byte() % 2 === 1);
        return;
      case UP:
        this.#deliver(this.#up.at(-1), this.#remotes[reader.byte() % 2]);
        return;
      case DOWN:
        this.#answer(this.#down.at(-1 - (reader.byte() % 4)));
        return;
      case FINISH:
        this.#finish(reader.byte());
        return;
      case ELAPSE:
        this.#take(this.#client.elapse());
        return;
      case PAUSE:
        this.#now += reader.pick(PAUSES);
        return;
      case REPLAY: {
        const isUp = reader.byte() % 2 === 0;
        const index = reader.byte();
        if (isUp) {
          this.#deliver(this.#up[index % this.#up.length], this.#remotes[index % 2]);
        } else {
          this.#answer(this.#down[index % this.#down.length]);
        }
        return;
      }
      case MUTATE:
        this.#mutate(reader.byte(), reader.byte(), 1 + (reader.byte() % 255));
        return;
      case RESTART:
        this.#restart();
        return;
      case CLOSE:
        this.#server.stopIssuing();
        return;
      case AGAIN:
        this.#forgeAgain(reader.byte());
        return;
      case RAW:
        this.#server.receive(reader.take(reader.byte()), this.#remotes[0], this.#now);
    }
  }

  /** @param {boolean} noreturn */
  #call(noreturn) {
    if (this.#client.phase === 'idle') {
      this.#calls++;
      this.#take(this.#client.begin(`{'action': 'call', 'data': ${this.#calls}}`, noreturn, this.#now, 15_000));
    }
  }

  /**
   * @param {Buffer | undefined} datagram
   * @param {Remote} remote
   */
  #deliver(datagram, remote) {
    if (!datagram) {
      return;
    }
    const decision = this.#server.receive(datagram, remote, this.#now);
    this.#seen.add(decision.kind === 'rejected' ? decision.reason : decision.kind);
    this.#down.push(...(('datagrams' in decision && decision.datagrams) || []));
    if (decision.kind === 'request') {
      const { pending } = decision;
      assert.ok(pending instanceof V2Pending);
      const call = decision.request.data;
      this.#executed.set(call, (this.#executed.get(call) ?? 0) + 1);
      assert.equal(this.#executed.get(call), 1, `call ${call} ran twice`);
      assert.ok(!this.#notRun.has(call), `call ${call} ran, and the device was told that it did not`);
      this.#running.push({ server: this.#server, pending, call });
    }
  }

  /** @param {number} which */
  #finish(which) {
    if (this.#running.length === 0) {
      return;
    }
    const [{ server, pending, call }] = this.#running.splice(which % this.#running.length, 1);
    const reply = server.reply(pending, `{"data":${call}}`, this.#now);
    server.finish(pending, this.#now);
    if (typeof reply !== 'string') {
      this.#down.push(...reply);
    }
  }

  /** @param {Buffer | undefined} datagram */
  #answer(datagram) {
    if (datagram) {
      this.#take(this.#client.receive(datagram, this.#now));
    }
  }

  /** @param {import('#lib/exchange/index.js').V2ClientDecision} step */
  #take(step) {
    switch (step.kind) {
      case 'send':
        this.#up.push(step.datagram);
        return;
      case 'done':
        assert.ok(step.text === undefined || step.text === `{"data":${this.#calls}}`, 'the reply of another call');
        assert.equal(this.#executed.get(this.#calls), 1, 'a call returned that did not run');
        this.#seen.add('done');
        return;
      case 'failed':
        this.#seen.add(step.failure);
        if (step.failure !== 'unknown') {
          assert.ok(!this.#executed.has(this.#calls), 'a call ran, and the device was told that it did not');
          this.#notRun.add(this.#calls);
        }
    }
  }

  /**
   * A datagram that differs in one byte is accepted by nobody.
   *
   * @param {number} which datagram
   * @param {number} at
   * @param {number} change of the byte there
   */
  #mutate(which, at, change) {
    const all = [...this.#up, ...this.#down];
    const original = all[which % Math.max(1, all.length)];
    if (original) {
      const mutant = Buffer.from(original);
      mutant[at % mutant.length] ^= change;
      const { kind } = this.#server.receive(mutant, this.#remotes[0], this.#now);
      assert.equal(kind, 'rejected', 'a mutant was accepted');
      const step = this.#client.receive(mutant, this.#now);
      // AGAIN is not authenticated: one whose hint is right is no mutant.
      assert.ok(step.kind === 'ignored' || original.length === 10, 'a mutant was taken for an answer');
      this.#take(step);
    }
  }

  /** @param {number} which request it names */
  #forgeAgain(which) {
    const requests = this.#up.filter((datagram) => datagram[1] === 4);
    const request = requests[which % Math.max(1, requests.length)];
    this.#answer(request && formatAgain(request.subarray(2, 10)));
  }

  /** The handlers of the old process run on, and their replies go nowhere. */
  #restart() {
    const { keys, parts, randomFill } = this.#setup;
    this.end();
    this.#server = new V2ServerExchange(
      {
        keys,
        maxDatagramBytes: 4096,
        maxResultBytes: 65_536,
        route: 1,
        random: randomFill,
      },
      parts,
    );
    this.#server.start(this.#now);
  }
}
