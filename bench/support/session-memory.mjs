/**
 * The memory that a session of protocol v2 takes in the server: on the heap and outside of it, tables and keys included, without its reply.
 */
import { randomFillSync } from 'node:crypto';
import { DEFAULT_LIMITS, Exchanges, V2ClientExchange } from '#lib/exchange/index.js';
import { KeyRing } from '#lib/keys/index.js';
import { addressOf, keyAt, requestText } from './wire.mjs';

/** The ciphers of the sessions that were used last have a budget of their own, so these come first and are not counted. */
const READY_SESSIONS = 1024;

const COUNTED_SESSIONS = 4096;

const WARM_UP_ROUNDS = 2;

const random = (/** @type {Uint8Array} */ target) => void randomFillSync(target);

/**
 * @returns {number} bytes
 * @param {() => void} collect
 */
export function measureSessionBytes(collect) {
  const keys = Array.from({ length: READY_SESSIONS + COUNTED_SESSIONS }, (_, index) => keyAt(index));
  const ring = new KeyRing(keys.map((key, index) => ({ device: `board ${index}`, key })));
  const used = () => {
    // The second one frees the objects that the first one finalizes.
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  /**
   * @param {Exchanges} exchanges
   * @param {number} from
   * @param {number} to
   */
  const openAll = (exchanges, from, to) => {
    for (let index = from; index < to; index++) {
      open(exchanges, keys[index], index);
    }
  };
  // Code is compiled meanwhile, which takes as much memory as the sessions themselves.
  for (let round = 0; round < WARM_UP_ROUNDS; round++) {
    openAll(createExchanges(ring), 0, keys.length);
  }
  const exchanges = createExchanges(ring);
  openAll(exchanges, 0, READY_SESSIONS);
  const before = used();
  openAll(exchanges, READY_SESSIONS, keys.length);
  const bytes = (used() - before) / COUNTED_SESSIONS;
  if (exchanges.sessions !== keys.length) {
    throw new Error(`${keys.length} sessions expected, got ${exchanges.sessions}`);
  }
  return bytes;
}

/** @param {KeyRing} keys */
function createExchanges(keys) {
  return new Exchanges({
    keys,
    maxDatagramBytes: 4096,
    deviceTimeoutMs: 10_000,
    maxEndpoints: 100,
    limits: DEFAULT_LIMITS,
    inFlight: { maxInFlight: 100, maxInFlightPerDevice: 16, maxQueuedEvents: 0 },
    repair: true,
    v2: { maxResultBytes: 0, route: 0 },
  });
}

/**
 * One exchange of a new board, 10 ms after the one before.
 *
 * @param {Exchanges} exchanges
 * @param {Buffer} key
 * @param {number} index
 */
function open(exchanges, key, index) {
  const now = index * 10;
  const remote = /** @type {const} */ ({ address: addressOf(index), port: 1024, family: 'IPv4' });
  const client = new V2ClientExchange({ key, bufferSize: 4096, random });
  let step = client.begin(requestText(32, false), false, now, 15_000);
  while (step.kind === 'send') {
    const decision = exchanges.receive(step.datagram, remote, now, 0, false);
    if (decision.kind === 'request') {
      const [reply] = exchanges.reply(decision.pending, '{"data":1}', now);
      exchanges.finish(decision.pending, now);
      step = client.receive(/** @type {Buffer} */ (reply), now);
    } else if (decision.kind === 'grant') {
      step = client.receive(decision.datagrams[0], now);
    } else {
      throw new Error(`not accepted: ${JSON.stringify(decision)}`);
    }
  }
  client.dispose();
}
