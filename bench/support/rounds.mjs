/**
 * Measures servers under load, one after the other and in turns: A B C, B C A, … several times in a round, and over several rounds,
 * each with new processes. Other work of the machine affects all of them, so the ratios of a run hold even if its figures do not.
 */
import { Child, LOAD_CORE, pause } from './child.mjs';
import { median } from './statistics.mjs';

/** Until V8 has compiled the hot functions. */
const WARM_UP_MS = 1500;

/** If other processes had more than this share of the server's core, the slice is measured again. The quietest counts. */
const QUIET_SHARE = 0.1;
const MAX_TRIES = 3;

const WARM_UP_LOAD = { peers: 64, inFlight: 64 };
const ALONE = { peers: 1, inFlight: 1 };

/** With fewer exchanges for each peer in a slice, the slice is made longer: slow peers would be missing in it. */
const LEAST_EXCHANGES = 2;
const LOOK_MS = 200;
const MAX_SLICE_MS = 60_000;

/** Until a load is under way. */
const SETTLE_MS = 300;

export const KINDS = /** @type {const} */ (['floor', 'ben', 'tcp', 'upstream', 'mqtt', 'http', 'coap', 'v2']);

/**
 * @typedef {KINDS[number]} Kind of a server, and of its peers
 *
 * @typedef {object} Variant a server under comparison
 * @property {string} name
 * @property {Kind} kind
 * @property {number} dataBytes
 * @property {boolean} noreturn
 * @property {number} keys
 * @property {boolean} [defaultLookup]
 * @property {string} [lib] as in `startBenUdp`
 * @property {boolean} [isComputing] as in `PeerOptions`
 * @property {boolean} [keepsAlive] as in `PeerOptions`
 * @property {string} [ca] as in `PeerOptions`
 * @property {string} [certFile] of a server with TLS
 * @property {string} [keyFile] of a server with TLS
 * @property {number} [maxPeers] how many the server bears. Larger loads are left out. Default any number
 *
 * @typedef {object} LoadSize
 * @property {number} peers
 * @property {number} inFlight how many of them have an exchange under way
 *
 * @typedef {object} Slice what one variant did in one round under one load
 * @property {number} perSecond
 * @property {number} p50 milliseconds
 * @property {number} p99 milliseconds
 * @property {number} waiting peers that waited for an answer all the time
 * @property {number} cpuMicroseconds of the server and its helpers, for one exchange
 * @property {number} helpersShare of that, the helpers' part
 * @property {number} cpuShare of the server's core that the server used
 * @property {number} waitedShare of the time in which the server could have run, but others had its core
 * @property {number} rssMiB of the server
 * @property {number} lost exchanges in which a datagram was lost
 */

/**
 * @param {readonly Variant[]} variants
 * @param {readonly LoadSize[]} loads
 * @param {object} options
 * @param {number} options.rounds
 * @param {number} options.seconds
 * @param {number} [options.turns] how often each is measured in a round. The speed of a virtual machine changes from second to second, so
 * many short turns give steadier ratios than few long ones. Default 1
 * @param {number} [options.warmUpMs] default until V8 has compiled the hot functions
 * @param {(name: string, peers: number, slice: Slice) => void} [options.onSlice]
 * @returns {Promise<ReadonlyMap<string, Slice[]>>} the turns, for `slicesOf`
 */
export async function measure(
  variants,
  loads,
  { rounds, seconds, turns = 1, warmUpMs = WARM_UP_MS, onSlice = () => undefined },
) {
  /** @type {Map<string, Slice[]>} */
  const slices = new Map();
  for (let round = 0; round < rounds; round++) {
    const pairs = await Promise.all(variants.map((variant) => Pair.start(variant)));
    for (const pair of pairs) {
      await pair.measureOnce(pair.bears(WARM_UP_LOAD) ? WARM_UP_LOAD : ALONE, warmUpMs / 1000);
    }
    for (const load of loads) {
      const able = pairs.filter((pair) => pair.bears(load));
      for (let turn = 0; turn < turns; turn++) {
        for (let place = 0; place < able.length; place++) {
          const pair = able[(place + turn + round) % able.length];
          const slice = await pair.measure(load, seconds);
          const name = sliceName(pair.variant, load);
          slices.set(name, [...(slices.get(name) ?? []), slice]);
          onSlice(pair.variant.name, load.peers, slice);
        }
      }
    }
    await Promise.all(pairs.map((pair) => pair.stop()));
  }
  return slices;
}

/**
 * The first slice that other work left alone, or the one that it disturbed least.
 *
 * @param {() => Promise<Slice>} measureOnce
 */
async function quietestOf(measureOnce) {
  let quietest = await measureOnce();
  for (let tries = 1; tries < MAX_TRIES && quietest.waitedShare > QUIET_SHARE; tries++) {
    const slice = await measureOnce();
    quietest = slice.waitedShare < quietest.waitedShare ? slice : quietest;
  }
  return quietest;
}

/**
 * @param {{ name: string }} variant
 * @param {{ peers: number }} load
 */
function sliceName({ name }, { peers }) {
  return `${name} ${peers}`;
}

/**
 * The turns of a variant under a load; none if it does not bear the load.
 *
 * @param {ReadonlyMap<string, Slice[]>} slices as from `measure`
 * @param {{ name: string }} variant
 * @param {{ peers: number }} load
 */
export function slicesOf(slices, variant, load) {
  return slices.get(sliceName(variant, load)) ?? [];
}

/**
 * The median of the turns' ratios, each between two figures of the same turn.
 *
 * @param {readonly Slice[]} slices
 * @param {readonly Slice[]} others
 * @param {keyof Slice} figure
 */
export function ratio(slices, others, figure) {
  return median(slices.map((slice, turn) => slice[figure] / others[turn][figure]));
}

/** A server and its load, each a process. */
class Pair {
  /** @type {Child<import('./server.mjs').ServerFunctions>} */
  server = new Child('server');
  /** @type {Child<import('./load.mjs').LoadFunctions>} */
  load = new Child('load', { core: LOAD_CORE });
  port = 0;

  /** @param {Variant} variant */
  constructor(variant) {
    this.variant = variant;
  }

  /** @param {Variant} variant */
  static async start(variant) {
    const pair = new Pair(variant);
    pair.port = await pair.server.ask('start', variant);
    return pair;
  }

  /** @param {LoadSize} load */
  bears({ peers }) {
    return peers <= (this.variant.maxPeers ?? Infinity);
  }

  /**
   * @returns {Promise<Slice>}
   * @param {LoadSize} load
   * @param {number} seconds
   */
  measure(load, seconds) {
    return quietestOf(() => this.measureOnce(load, seconds));
  }

  /**
   * @param {LoadSize} size
   * @param {number} seconds
   * @returns {Promise<Slice>}
   */
  async measureOnce({ peers, inFlight }, seconds) {
    const { server, load, variant, port } = this;
    // One peer alone sleeps while it waits, as any client does.
    await load.ask('start', { ...variant, port, peers, inFlight, isKeptAwake: inFlight > 1 });
    await pause(SETTLE_MS);
    const [before] = await Promise.all([server.ask('sample'), load.ask('begin')]);
    await pause(seconds * 1000);
    const end = performance.now() + MAX_SLICE_MS;
    while ((await load.ask('count')) < LEAST_EXCHANGES * inFlight && performance.now() < end) {
      await pause(LOOK_MS);
    }
    const [after, seen] = await Promise.all([server.ask('sample'), load.ask('end')]);
    await load.ask('stop');
    const wallMs = after.atMs - before.atMs;
    return {
      ...seen,
      cpuMicroseconds: ((after.cpuMs - before.cpuMs) * 1000) / (after.served - before.served),
      helpersShare: (after.helpersCpuMs - before.helpersCpuMs) / (after.cpuMs - before.cpuMs),
      cpuShare: (after.cpuMs - before.cpuMs) / wallMs,
      waitedShare: (after.waitedMs - before.waitedMs) / wallMs,
      rssMiB: after.rssMiB,
    };
  }

  async stop() {
    await this.load.stop();
    await this.server.stop();
  }
}
