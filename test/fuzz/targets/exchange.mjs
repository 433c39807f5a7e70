/**
 * A whole server exchange and its peers: an input is a program of hellos, requests, mutants, replays, strays, pauses, replies and changes
 * of keys. A model knows the datagrams that each endpoint was sent, and so which requests may be accepted and answered.
 */
import { strict as assert } from 'node:assert';
import { createCipheriv } from 'node:crypto';
import { ByteReader } from '../byte-reader.mjs';

/** An input ends. */
const MAX_STEPS = 40;

const TIMEOUT_MS = 10_000;

/** A reply may leave within this, and in between if the device is known to be quick. */
const REPLY_WITHIN_MS = 9000;
const LATEST_REPLY_MS = 9800;

/** Longest life of an id: its slot and the next. */
const ID_LIFE_MS = 20_000;

/** After this all ids have expired, and all limits are free again. */
const REST_MS = 60_000;

const MAX_ENDPOINTS = 64;

const PAUSES = [1, 50, 240, 260, 1000, 3000, 8990, 9010, 10_000, 19_990, 20_010, 60_000, 9810];

/** `#` is a number that no two have in common. */
const TEXTS = [
  "{'action': 'echo', 'data': #}",
  "{'data': [#], 'action': 'echo', 'meta': {'trace': 'x'}}",
  "{'action': 'tell', 'data': #, 'noreturn': True}",
  "{'noreturn': None, 'action': ('a', 1), 'data': {'t': 21.5, 'n': #}}",
  "{'action': '\u20ac #'}",
  '{}',
  '[#]',
  "{'action': ",
];

/** @type {readonly import('#lib/protocol/index.js').EnvelopeKey[][]} */
const KEY_ORDERS = [
  ['hash', 'data', 'iv'],
  ['iv', 'hash', 'data'],
];

/** The meaning of the first bytes of a step, in the order of `Session`'s steps. */
const [HELLO, ASK, FINISH, PAUSE, REPLAY, MUTATE, STRAY, PLAINTEXT, RAW, KEYS] = Array.from({ length: 10 }).keys();

/** The first programs. Each number is a byte. A step has an endpoint, a kind, and the argument of the kind. */
const SEEDS = [
  [0, HELLO, 0, 0, ASK, 0, 0, FINISH, 0, 0],
  [1, HELLO, 0, 1, ASK, 2, 0, FINISH, 0, 0, 1, HELLO, 0, 1, ASK, 3, 0, FINISH, 0, 0],
  [0, HELLO, 0, 0, HELLO, 0, 0, PAUSE, 3, 0, HELLO, 0, 0, ASK, 2, 0, ASK, 2, 0, FINISH, 0, 0],
  [2, STRAY, 0, 0, 2, HELLO, 0, 2, ASK, 2, 2, PAUSE, 3, 2, HELLO, 0, 2, ASK, 2, 2, HELLO, 0, 2, ASK, 2],
  [0, HELLO, 0, 0, ASK, 0, 0, REPLAY, 0, 1, REPLAY, 0, 0, MUTATE, 1, 0, 9, 4],
  [0, HELLO, 0, 0, ASK, 0, 0, PAUSE, 6, 0, FINISH, 0, 1, 0, HELLO, 0, 0, ASK, 0, 0, PAUSE, 7, 0, FINISH, 0, 1],
  [0, HELLO, 0, 0, PAUSE, 10, 0, ASK, 0, 0, HELLO, 0, 0, PAUSE, 9, 0, ASK, 0],
  [1, HELLO, 0, 1, PLAINTEXT, 17, ...Buffer.from("{'action': 'a'}  ")],
  [0, HELLO, 0, 0, KEYS, 0, ASK, 0, 0, KEYS, 0, HELLO, 0, 0, ASK, 0],
  [0, RAW, 6, ...Buffer.from('/GETID'), 0, RAW, 16, 1, 2, 3],
];

/**
 * @typedef {object} Board
 * @property {string | undefined} device
 * @property {Buffer} key
 * @property {import('#lib/protocol/index.js').Sealer} sealer
 *
 * @typedef {{ bytes: Buffer, sentAt: number }} Unread a datagram, and when the server sent it
 *
 * @typedef {Board & {
 *   remote: import('#lib/exchange/index.js').BenUdpRemote,
 *   unread: Unread[],
 *   usedIds: Set<string>,
 *   turn: number,
 * }} Endpoint `turn` counts its actions: a reply belongs to its last request
 *
 * @typedef {object} Sealed a request
 * @property {Buffer} datagram
 * @property {Endpoint} endpoint
 * @property {string} id
 * @property {Buffer} plaintext
 * @property {number} freshAt when its pair was sent
 *
 * @typedef {object} Running a handler
 * @property {import('#lib/exchange/index.js').PendingRequest} pending
 * @property {boolean} isWaiting whether the board waits for a reply
 * @property {Endpoint} endpoint
 * @property {string} id
 * @property {number} turn of the request
 * @property {number} since
 *
 * @typedef {import('./index.mjs').BuiltPackage} BuiltPackage
 * @typedef {import('#lib/keys/index.js').KeyRing} KeyRing
 */

/** @type {import('./index.mjs').CreateTarget} */
export function createExchangeTarget(lib, randomFill) {
  const { KeyRing, Sealer, ServerExchange, DEFAULT_LIMITS } = lib;
  let blocks = 0;
  const block = Buffer.alloc(16);
  const boards = ['porch', 'attic', undefined].map((device, index) => {
    const key = lib.deriveKey(Buffer.alloc(32, index + 1));
    // Counted, not drawn, so that a run can be repeated.
    const sealer = new Sealer(key, (target, offset) => {
      block.writeUInt32LE(++blocks);
      target.set(block, offset);
    });
    return { device, key, sealer };
  });
  const rings = [new KeyRing(boards, undefined, randomFill), new KeyRing(boards.slice(1), undefined, randomFill)];
  // Setting one up takes 7 MiB of tables, so one serves all inputs, each from other addresses and at a later time.
  const exchange = new ServerExchange({
    random: randomFill,
    keys: rings[0],
    maxDatagramBytes: 4096,
    deviceTimeoutMs: TIMEOUT_MS,
    maxEndpoints: MAX_ENDPOINTS,
    limits: DEFAULT_LIMITS,
    inFlight: { maxInFlight: 8, maxInFlightPerDevice: 3, maxQueuedEvents: 2 },
    repair: true,
    secret: Buffer.alloc(32, 's'),
  });
  let inputs = 0;
  let now = 0;
  let datagrams = 0;
  return {
    name: 'exchange',
    about: 'hellos, requests, mutants, replays, pauses and replies at a server exchange',
    dictionary: SEEDS.flatMap((program) => [Buffer.from(program.slice(0, 3)), Buffer.from(program.slice(0, 6))]),
    maxBytes: 160,
    seeds: SEEDS.map((program) => Buffer.from(program)),
    run(input) {
      const session = new Session(lib, exchange, rings, boards, inputs++, now + REST_MS);
      const outcome = session.play(new ByteReader(input));
      ({ now } = session);
      datagrams += session.datagrams;
      return outcome;
    },
    note: () => `${datagrams} datagrams`,
  };
}

/** One input at an exchange. */
class Session {
  datagrams = 0;
  #lib;
  #exchange;
  #rings;
  #ring;
  /**
   * Two boards behind one NAT, one that has the shared key, and one whose exchange has to go well at the end.
   *
   * @type {Endpoint[]}
   */
  #endpoints;
  /**
   * All requests that were sealed, by their hashes: what else verifies was forged.
   *
   * @type {Map<string | undefined, Sealed>}
   */
  #sealed = new Map();
  /** @type {Running[]} */
  #running = [];
  /** @type {Set<string>} */
  #outcomes = new Set();
  /** @type {readonly ((endpoint: Endpoint, reader: ByteReader) => void)[]} */
  #steps = [
    (endpoint, reader) => this.#hello(endpoint, reader.byte() < 250),
    (endpoint, reader) =>
      this.#ask(endpoint, TEXTS[reader.byte() % TEXTS.length].replace('#', String(this.#sealed.size))),
    (_endpoint, reader) => this.#finish(reader.byte(), reader.byte()),
    (_endpoint, reader) => (this.now += reader.pick(PAUSES)),
    (endpoint, reader) => this.#receive(reader.pick(this.#recorded()), endpoint),
    (endpoint, reader) => this.#receive(mutate(this.#recorded().at(-1) ?? this.#lib.HELLO, reader), endpoint),
    (endpoint, reader) =>
      endpoint.unread.push({ bytes: reader.byte() > 200 ? reader.take(32) : STRAY_BLOCK, sentAt: -Infinity }),
    (endpoint, reader) => this.#askRaw(endpoint, reader.take(reader.byte() % 80)),
    (endpoint, reader) => this.#receive(reader.take(reader.byte()), endpoint),
    () => this.#useRing(this.#ring === this.#rings[0] ? 1 : 0),
  ];

  /**
   * @param {BuiltPackage} lib
   * @param {import('#lib/exchange/index.js').ServerExchange} exchange
   * @param {readonly KeyRing[]} rings
   * @param {readonly Board[]} boards
   * @param {number} index of the input
   * @param {number} now
   */
  constructor(lib, exchange, rings, boards, index, now) {
    this.#lib = lib;
    this.#exchange = exchange;
    this.#rings = rings;
    this.#ring = rings[0];
    this.now = now;
    const network = `10.${(index >> 13) & 255}.${(index >> 5) & 255}`;
    this.#endpoints = [0, 1, 2, 0].map((board, place) => ({
      ...boards[board],
      remote: { address: `${network}.${(index & 31) * 8 + (place >> 1)}`, port: 8585 + place, family: 'IPv4' },
      unread: [],
      usedIds: new Set(),
      turn: 0,
    }));
  }

  /** @param {ByteReader} reader */
  play(reader) {
    for (let step = 0; step < MAX_STEPS && !reader.isAtEnd; step++) {
      const endpoint = this.#endpoints[reader.byte() % 3];
      reader.pick(this.#steps)(endpoint, reader);
    }
    while (this.#running.length > 0) {
      this.#finish(0, 0);
    }
    this.#useRing(0);
    this.now += REST_MS;
    this.#checkRest();
    return [...this.#outcomes].slice(-4).join();
  }

  /** After any program, a new board is served, and nothing is left over. */
  #checkRest() {
    const board = this.#endpoints[3];
    assert.ok(!this.#exchange.awaitsRequests(this.now), 'requests are waited for that will not come');
    this.#hello(board, true);
    this.#ask(board, "{'action': 'last'}");
    assert.equal(this.#running.length, 1, 'the last request was not accepted');
    this.#finish(0, 0);
    assert.ok(this.#exchange.knownEndpoints <= MAX_ENDPOINTS);
  }

  /** @param {number} index */
  #useRing(index) {
    this.#ring = this.#rings[index];
    this.#exchange.useKeys(this.#ring);
  }

  /**
   * @param {Endpoint} endpoint
   * @param {boolean} isDelivered whether the pair arrives
   */
  #hello(endpoint, isDelivered) {
    this.datagrams++;
    const decision = this.#exchange.receive(this.#lib.HELLO, endpoint.remote, this.now);
    if (decision.kind !== 'pair') {
      if (this.#reject(decision) === 'withheld') {
        endpoint.turn++;
      }
      return;
    }
    const { datagrams } = decision;
    assert.ok(datagrams.length <= 2 && datagrams.every(({ length }) => length === 16));
    endpoint.turn++;
    if (datagrams.length === 2) {
      const id = this.#lib.openId(endpoint.sealer, { ciphertext: datagrams[0], iv: datagrams[1] });
      assert.ok(!endpoint.usedIds.has(id.toString('latin1')), 'a pair whose id is used up');
    }
    if (isDelivered) {
      endpoint.unread.push(...datagrams.map((bytes) => ({ bytes, sentAt: this.now })));
    }
    this.#outcomes.add(`pair ${datagrams.length}`);
  }

  /**
   * A board reads any pair, and asks.
   *
   * @param {Endpoint} endpoint
   * @param {string} text
   */
  #ask(endpoint, text) {
    this.#sendRequest(endpoint, Buffer.from(text), (id) =>
      this.#lib.sealRequest(endpoint.sealer, id, text, KEY_ORDERS[this.#sealed.size % 2]),
    );
  }

  /**
   * The same with any plaintext.
   *
   * @param {Endpoint} endpoint
   * @param {Buffer} bytes
   */
  #askRaw(endpoint, bytes) {
    const padding = 16 - (bytes.length % 16);
    const plaintext = Buffer.concat([bytes, Buffer.alloc(padding % 16 || (bytes.length === 0 ? 16 : 0), ' ')]);
    const iv = Buffer.alloc(16, this.#sealed.size);
    this.#sendRequest(endpoint, plaintext, (id) => {
      const cipher = createCipheriv('aes-256-cbc', endpoint.key, iv).setAutoPadding(false);
      return this.#lib.signRequest(id, { ciphertext: cipher.update(plaintext), iv });
    });
  }

  /**
   * @param {Endpoint} endpoint
   * @param {Buffer} plaintext
   * @param {(id: Buffer) => Buffer} seal returns the datagram
   */
  #sendRequest(endpoint, plaintext, seal) {
    if (endpoint.unread.length < 2) {
      return;
    }
    const [first, second] = endpoint.unread.splice(0, 2);
    if (first.bytes.length !== 16 || second.bytes.length !== 16) {
      return;
    }
    const id = this.#lib.openId(endpoint.sealer, { ciphertext: first.bytes, iv: second.bytes });
    const datagram = seal(id);
    this.#sealed.set(hashOf(this.#lib, datagram), {
      datagram,
      endpoint,
      id: id.toString('latin1'),
      plaintext,
      freshAt: Math.max(first.sentAt, second.sentAt),
    });
    this.#receive(datagram, endpoint);
  }

  /**
   * @param {Buffer} datagram
   * @param {Endpoint} endpoint
   */
  #receive(datagram, endpoint) {
    if (this.#lib.HELLO.equals(datagram)) {
      this.#hello(endpoint, true);
      return;
    }
    this.datagrams++;
    const decision = this.#exchange.receive(datagram, endpoint.remote, this.now);
    if (decision.kind === 'rejected') {
      this.#reject(decision);
      return;
    }
    assert.equal(decision.kind, 'request');
    this.#accept(decision, this.#sealed.get(hashOf(this.#lib, datagram)), endpoint);
  }

  /**
   * @param {import('#lib/exchange/decision.js').AcceptedDecision} decision
   * @param {Sealed | undefined} sealed
   * @param {Endpoint} endpoint
   */
  #accept({ request, pending }, sealed, endpoint) {
    assert.ok(sealed, 'a request that nobody sealed was accepted');
    assert.equal(sealed.endpoint, endpoint, 'a request was accepted from another endpoint');
    const { id, plaintext, freshAt } = sealed;
    assert.ok(!endpoint.usedIds.has(id), 'an id was used twice');
    assert.ok(this.now - freshAt <= ID_LIFE_MS, `an id of ${this.now - freshAt} ms was accepted`);
    assert.ok(
      this.#ring.keys.some(({ device }) => device === endpoint.device),
      'a key that was taken away',
    );
    assert.equal(request.device, endpoint.device);
    const text = Buffer.from(request.text);
    assert.ok(
      plaintext.subarray(0, text.length).equals(text) && /^ {0,16}$/.test(plaintext.subarray(text.length).toString()),
    );
    endpoint.usedIds.add(id);
    endpoint.turn++;
    this.#running.push({ pending, isWaiting: !request.noreturn, endpoint, id, turn: endpoint.turn, since: this.now });
    this.#outcomes.add(`accepted ${request.noreturn}`);
  }

  /** @param {import('#lib/exchange/index.js').Decision} decision */
  #reject(decision) {
    assert.equal(decision.kind, 'rejected');
    const { reason } = decision;
    assert.ok(reason in this.#lib.REJECTIONS, reason);
    this.#outcomes.add(reason);
    return reason;
  }

  /**
   * A handler ends.
   *
   * @param {number} which
   * @param {number} choice
   */
  #finish(which, choice) {
    if (this.#running.length === 0) {
      return;
    }
    const [{ pending, isWaiting, endpoint, id, turn, since }] = this.#running.splice(which % this.#running.length, 1);
    if (!isWaiting) {
      assert.equal(this.#exchange.reply(pending, '{}', this.now), 'superseded', 'noreturn was answered');
    } else {
      const text = `{"data":${choice}}`;
      const reply = this.#exchange.reply(pending, text, this.now);
      const after = this.now - since;
      const isLate = after > LATEST_REPLY_MS || (after > REPLY_WITHIN_MS && reply === 'late');
      const refusal = turn !== endpoint.turn ? 'superseded' : isLate ? 'late' : undefined;
      this.#outcomes.add(refusal ?? 'answered');
      if (refusal) {
        assert.equal(reply, refusal);
      } else {
        assert.ok(typeof reply !== 'string', `a reply that is owed is ${reply}`);
        const [hash, iv, ciphertext] = reply;
        const opened = this.#lib.openReply(endpoint.sealer, Buffer.from(id, 'latin1'), hash, { ciphertext, iv });
        assert.equal(opened, text);
        assert.equal(this.#exchange.reply(pending, text, this.now), 'superseded', 'a request was answered twice');
        if (choice > 200) {
          // The board had given up, and reads it as something else.
          endpoint.unread.push(...reply.map((bytes) => ({ bytes, sentAt: -Infinity })));
        }
      }
      if (turn === endpoint.turn) {
        endpoint.turn++;
      }
    }
    this.#exchange.finish(pending, this.now);
  }

  #recorded() {
    const datagrams = Array.from(this.#sealed.values(), ({ datagram }) => datagram);
    return datagrams.length > 0 ? datagrams : [this.#lib.HELLO];
  }
}

const STRAY_BLOCK = Buffer.alloc(16, 0x5a);

/**
 * @param {BuiltPackage} lib
 * @param {Buffer} datagram
 */
function hashOf({ parseEnvelope }, datagram) {
  const envelope = parseEnvelope(datagram);
  return typeof envelope === 'string' ? undefined : envelope.hash.toString('latin1');
}

/**
 * Flips, inserts or deletes bytes.
 *
 * @param {Buffer} datagram
 * @param {ByteReader} reader
 */
function mutate(datagram, reader) {
  const bytes = [...datagram];
  for (let edits = (reader.byte() % 3) + 1; edits > 0; edits--) {
    const at = reader.word() % (bytes.length + 1);
    const value = reader.byte();
    bytes.splice(at, value % 3 === 0 ? 0 : 1, ...(value % 3 === 1 ? [] : [value]));
  }
  return Buffer.from(bytes);
}
