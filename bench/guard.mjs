/**
 * Fails if an exchange takes more than it should, in counts that do not depend on the machine: datagrams, calls
 * of node:crypto, promises, bytes allocated. Runs the whole server, Nest and a controller included, on a socket that sends nothing.
 *
 *     npm run bench:guard
 *     npm run bench:guard -- --record
 *
 * `--record` keeps the counts of this commit in bench/history, by release. The columns `first` and `last` have those of the first and the
 * last commit that was kept: a slow growth shows there long before it reaches a limit.
 *
 * Who makes the server better lowers the limits here. Who has to raise one says why in the commit.
 */
import { createHook } from 'node:async_hooks';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { getHeapStatistics } from 'node:v8';
import { pause } from './support/child.mjs';
import { readHistory, record } from './support/history.mjs';

const BOARDS = 64;

/** Until everything is compiled, and no more feedback is allocated. */
const WARM_UP_TURNS = 400;

const COUNTED_TURNS = 20;

/** Attempts of a turn on a busy machine. In between, the server would take datagrams for a backlog. */
const MAX_TRIES = 20;
const CATCH_UP_MS = 1000;

/** The cost of the turns themselves, shared by all boards of a turn: less than this for an exchange. */
const TOLERANCE = 0.5;

const calls = { hash: 0, cipher: 0, setup: 0, sent: 0, watched: 0, promises: 0 };

/**
 * The exchanges that are guarded: of v1, with and without a reply, with a key for each of many devices, relayed to a worker (without the
 * broker's client), and of v2 in its session.
 */
const EXCHANGES = ['reply', 'noreturn', 'keys', 'relay', 'v2'];
const MANY_KEYS = 1000;

/**
 * @typedef {import('./support/in-process.mjs').InProcessServer} InProcess
 *
 * @typedef {object} Limit
 * @property {string} what
 * @property {(server: object) => number} read a number that grows
 * @property {number[]} atMost the limits, in the order of `EXCHANGES`
 */

/** @type {Limit[]} */
const LIMITS = [
  { what: 'datagrams sent', read: () => calls.sent, atMost: [5, 2, 5, 5, 1] },
  // The last of the pair and the last of the reply.
  { what: 'datagrams watched for errors', read: () => calls.watched, atMost: [2, 1, 2, 2, 1] },
  // Two for the pair's HMAC, one to verify, one for the reply. With v2, two for each of two tags.
  { what: 'calls of hash', read: () => calls.hash, atMost: [4, 3, 4, 4, 4] },
  // The id, the request, the reply. With v2 the request and the reply, and the IVs once for 16 requests.
  { what: 'calls of a cipher', read: () => calls.cipher, atMost: [3, 2, 3, 3, 2] },
  // Once for a key, never for an exchange.
  { what: 'ciphers, hashes and HMACs set up', read: () => calls.setup, atMost: [0, 0, 0, 0, 0] },
];

/**
 * Of the listener and the router, which async_hooks sees twice, because with it every `await` makes another; and of the transport. A
 * relayed request has those of the relay and of Nest's client too.
 */
const PROMISES = { what: "promises besides Nest's own", atMost: [5, 5, 5, 10, 5] };

/** About 1.3 times what Node 20 takes: other versions of V8 and of Nest take a little more or less. */
const HEAP_BYTES = { what: 'bytes on the heap', atMost: [18_000, 18_000, 18_000, 32_000, 16_000] };

/** Of a session of protocol v2, without its reply, as docs/protocol-v2.md promises. */
const SESSION_BYTES = 512;

/** What Promise.all makes for each it waits for. */
const PROMISES_OF_ALL = 1;

/**
 * @param {object} owner
 * @param {string} name
 * @param {keyof typeof calls} counter
 */
function countCalls(owner, name, counter) {
  const original = Reflect.get(owner, name);
  /**
   * @this {unknown}
   * @param {unknown[]} args
   */
  function counted(...args) {
    calls[counter]++;
    return Reflect.apply(original, this, args);
  }
  Reflect.set(owner, name, counted);
}

/** Must run before the library is imported, because its imports are bound to the current functions. */
function watchCrypto() {
  const { Cipheriv, Decipheriv } = /** @type {Record<string, { prototype: object }>} */ (
    /** @type {unknown} */ (crypto)
  );
  countCalls(Cipheriv.prototype, 'update', 'cipher');
  countCalls(Decipheriv.prototype, 'update', 'cipher');
  countCalls(crypto, 'hash', 'hash');
  for (const name of ['createHash', 'createHmac', 'createCipheriv', 'createDecipheriv']) {
    countCalls(crypto, name, 'setup');
  }
  syncBuiltinESMExports();
}

/**
 * The growth of a number in the server's part of an exchange, without the boards' part.
 *
 * @param {InProcess} server
 * @param {(server: InProcess) => number} read
 * @param {() => unknown} [prepare]
 */
async function growthOf(server, read, prepare = () => undefined) {
  let growth = 0;
  for (let turn = 0; turn < COUNTED_TURNS; turn++) {
    prepare();
    growth += await runTurn(server, read);
  }
  return growth / COUNTED_TURNS / BOARDS;
}

/**
 * One exchange of every board. A turn in which the machine was too busy is repeated.
 *
 * @param {InProcess} server
 * @param {(server: InProcess) => number} read
 */
async function runTurn(server, read) {
  for (let tries = 1; ; tries++) {
    let growth = 0;
    try {
      await server.exchangeAll(async (phase) => {
        const before = read(server);
        await phase();
        growth += read(server) - before;
      });
      return growth;
    } catch (error) {
      if (!(error instanceof UnansweredError) || tries === MAX_TRIES) {
        throw error;
      }
      await pause(CATCH_UP_MS);
    }
  }
}

/**
 * Promises of an exchange, those left out that Nest makes between its handler and the controller.
 *
 * @param {InProcess} server
 */
async function countPromises(server) {
  const hook = createHook({
    init: (_id, type) => {
      calls.promises += type === 'PROMISE' ? 1 : 0;
    },
  }).enable();
  const all = await growthOf(server, () => calls.promises);
  const before = calls.promises;
  await Promise.all(Array.from({ length: BOARDS }, () => server.callHandler()));
  const nests = (calls.promises - before) / BOARDS - PROMISES_OF_ALL;
  hook.disable();
  return all - nests;
}

const history = readHistory();

/**
 * The first and the last kept count. A kind of exchange that came later has its first count later.
 *
 * @param {string} exchange
 * @param {string} what
 * @returns {KeptCounts}
 */
function keptCounts(exchange, what) {
  const kept = history.map(({ counts }) => counts[exchange]?.[what]).filter((count) => count !== undefined);
  return { first: kept[0], last: kept.at(-1) };
}

const round = (/** @type {number} */ value) => Number(value.toPrecision(4));

/** @param {{ exchange: string, what: string, value: number }[]} rows */
function toCounts(rows) {
  const ofExchange = (/** @type {string} */ kind) =>
    rows.filter(({ exchange }) => exchange === kind).map(({ what, value }) => [what, round(value)]);
  return Object.fromEntries(EXCHANGES.map((kind) => [kind, Object.fromEntries(ofExchange(kind))]));
}

const collect = globalThis.gc;
if (!collect) {
  throw new Error('run node with --expose-gc');
}
watchCrypto();
const { InProcessServer, InProcessV2Server, UnansweredError } = await import('./support/in-process.mjs');
/**
 * @typedef {{ first?: number | undefined, last?: number | undefined }} KeptCounts
 * @typedef {KeptCounts & { exchange: string, what: string, value: number, 'at most': number }} Row
 */

/** @type {Row[]} */
const rows = [];
for (const [place, kind] of EXCHANGES.entries()) {
  const Server = kind === 'v2' ? InProcessV2Server : InProcessServer;
  const keys = kind === 'keys' ? MANY_KEYS : 1;
  const server = await Server.start({ boards: BOARDS, keys, noreturn: kind === 'noreturn', relays: kind === 'relay' });
  server.onSend = (isWatched) => {
    calls.sent++;
    calls.watched += isWatched ? 1 : 0;
  };
  const check = (/** @type {{ what: string, atMost: number[] }} */ limit, /** @type {number} */ value) =>
    rows.push({
      exchange: kind,
      what: limit.what,
      value,
      ...keptCounts(kind, limit.what),
      'at most': limit.atMost[place],
    });
  for (let turn = 0; turn < WARM_UP_TURNS; turn++) {
    await runTurn(server, () => 0);
  }
  // First, before anything is watched: a watch allocates too.
  // A collection within a turn would hide earlier allocations, so it runs between turns.
  check(HEAP_BYTES, await growthOf(server, () => getHeapStatistics().used_heap_size, collect));
  for (const limit of LIMITS) {
    check(limit, await growthOf(server, limit.read));
  }
  check(PROMISES, await countPromises(server));
}
const { measureSessionBytes } = await import('./support/session-memory.mjs');
const SESSION = { exchange: 'v2', what: 'bytes of a session' };
rows.push({
  ...SESSION,
  value: measureSessionBytes(collect),
  ...keptCounts(SESSION.exchange, SESSION.what),
  'at most': SESSION_BYTES,
});
console.table(rows.map((row) => ({ ...row, value: round(row.value) })));
if (process.argv.includes('--record')) {
  record(toCounts(rows));
}
const isOver = (/** @type {Row} */ { value, 'at most': limit }) => value > limit + TOLERANCE;
for (const { exchange, what, value, 'at most': limit } of rows.filter(isOver)) {
  console.error(`An exchange (${exchange}) takes ${value.toFixed(1)} ${what}; at most ${limit} are allowed.`);
}
process.exit(rows.some(isOver) ? 1 : 0);
