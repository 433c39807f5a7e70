/**
 * Fails where an exchange has come to take more than it should, in counts that do not depend on the machine: datagrams, calls
 * of node:crypto, promises, bytes allocated. Runs the whole server, Nest and a controller included, on a socket that sends nothing.
 *
 *     npm run bench:guard
 *
 * Who makes the server better lowers the limits here. Who has to raise one says why in the commit.
 */
import { createHook } from 'node:async_hooks';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { getHeapStatistics } from 'node:v8';

const BOARDS = 64;

/** Until everything is compiled, and no more feedback is allocated. */
const WARM_UP_TURNS = 400;

const COUNTED_TURNS = 20;

/** The cost of the turns themselves, shared by all boards of a turn: less than this for an exchange. */
const TOLERANCE = 0.5;

const calls = { hash: 0, cipher: 0, setup: 0, sent: 0, watched: 0, promises: 0 };

/**
 * @typedef {object} Limit
 * @property {string} what
 * @property {(server: object) => number} read a number that grows
 * @property {number} reply the limit for an exchange with a reply
 * @property {number} noreturn and for one without
 */

/** @type {Limit[]} */
const LIMITS = [
  { what: 'datagrams sent', read: () => calls.sent, reply: 5, noreturn: 2 },
  // The last of the pair and the last of the reply.
  { what: 'datagrams watched for errors', read: () => calls.watched, reply: 2, noreturn: 1 },
  // Two for the pair's HMAC, one to verify, one for the reply.
  { what: 'calls of hash', read: () => calls.hash, reply: 4, noreturn: 3 },
  // The id, the request, the reply.
  { what: 'calls of a cipher', read: () => calls.cipher, reply: 3, noreturn: 2 },
  // Once for a key, never for an exchange.
  { what: 'ciphers, hashes and HMACs set up', read: () => calls.setup, reply: 0, noreturn: 0 },
];

/**
 * Of the listener, the transport and the router one each, and one to log a failed event; async_hooks sees each twice, for with
 * it every `await` makes another.
 */
const PROMISES = { what: "promises besides Nest's own", reply: 6, noreturn: 8 };

/** About 1.3 times what Node 20 takes: other versions of V8 and of Nest take a little more or less. */
const HEAP_BYTES = { what: 'bytes on the heap', reply: 18_000, noreturn: 18_000 };

/** What Promise.all makes for each it waits for. */
const PROMISES_OF_ALL = 1;

function countCalls(owner, name, counter) {
  const original = owner[name];
  owner[name] = function counted(...args) {
    calls[counter]++;
    return Reflect.apply(original, this, args);
  };
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
 * @param {import('./support/in-process.mjs').InProcessServer} server
 * @param {(server: import('./support/in-process.mjs').InProcessServer) => number} read
 * @param {() => unknown} [prepare]
 */
async function growthOf(server, read, prepare = () => undefined) {
  let growth = 0;
  for (let turn = 0; turn < COUNTED_TURNS; turn++) {
    prepare();
    await server.exchangeAll(async (phase) => {
      const before = read(server);
      await phase();
      growth += read(server) - before;
    });
  }
  return growth / COUNTED_TURNS / BOARDS;
}

/** Promises of an exchange, those left out that Nest makes between its handler and the controller. */
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

const collect = globalThis.gc;
if (!collect) {
  throw new Error('run node with --expose-gc');
}
watchCrypto();
const { InProcessServer } = await import('./support/in-process.mjs');
const rows = [];
for (const kind of ['reply', 'noreturn']) {
  const server = await InProcessServer.start({ boards: BOARDS, noreturn: kind === 'noreturn' });
  server.onSend = (isWatched) => {
    calls.sent++;
    calls.watched += isWatched ? 1 : 0;
  };
  const check = (limit, value) => rows.push({ exchange: kind, what: limit.what, value, 'at most': limit[kind] });
  for (let turn = 0; turn < WARM_UP_TURNS; turn++) {
    await server.exchangeAll();
  }
  // First, before anything is watched: a watch allocates too.
  // A collection within a turn would hide earlier allocations, so it runs between turns.
  check(HEAP_BYTES, await growthOf(server, () => getHeapStatistics().used_heap_size, collect));
  for (const limit of LIMITS) {
    check(limit, await growthOf(server, limit.read));
  }
  check(PROMISES, await countPromises(server));
}
console.table(rows);
const isOver = ({ value, 'at most': limit }) => value > limit + TOLERANCE;
for (const { exchange, what, value, 'at most': limit } of rows.filter(isOver)) {
  console.error(`An exchange (${exchange}) takes ${value.toFixed(1)} ${what}; at most ${limit} are allowed.`);
}
process.exit(rows.some(isOver) ? 1 : 0);
