/**
 * The parts of the bench, each a list of rows for a table.
 */
import { Child } from './child.mjs';
import { measure, ratio, slicesOf } from './rounds.mjs';
import { measureStarts } from './starts.mjs';
import { medianRecord, spread } from './statistics.mjs';

/**
 * @typedef {import('./rounds.mjs').Variant} Variant
 *
 * @typedef {object} Settings
 * @property {number[]} peers
 * @property {number} rounds
 * @property {number} turns
 * @property {number} seconds
 */

/** @type {Omit<Variant, 'name'>} */
const BASE = { kind: 'ben', dataBytes: 32, noreturn: false, keys: 1 };
/** @type {Variant} */
const FLOOR = { ...BASE, name: 'floor', kind: 'floor' };
/** @type {Variant} */
const COMPUTING_FLOOR = { ...FLOOR, name: 'floor, its board computes', isComputing: true };
/** @type {Variant} */
const NORETURN_FLOOR = { ...FLOOR, name: 'floor, noreturn', noreturn: true };

/**
 * The measured servers, each with the floor that it is compared with.
 *
 * @type {(Variant & { floor?: Variant })[]}
 */
const VARIANTS = [
  FLOOR,
  { ...BASE, name: 'BenUdp', floor: FLOOR },
  { ...BASE, name: 'Nest TCP', kind: 'tcp', floor: FLOOR },
  NORETURN_FLOOR,
  { ...BASE, name: 'BenUdp, noreturn', noreturn: true, floor: NORETURN_FLOOR },
];

/** Devices that are known, a few of which have an exchange under way: how many know each other is all that differs. */
const KNOWN_DEVICES = [16, 5000];
const KNOWN_IN_FLIGHT = 16;

/** @param {Settings} settings */
async function measureExchanges({ peers, rounds, turns, seconds }) {
  const loads = peers.map((count) => ({ peers: count, inFlight: count }));
  const slices = await measure(VARIANTS, loads, { rounds, turns, seconds, onSlice: reportSlice });
  return loads.flatMap((load) =>
    VARIANTS.map((variant) => {
      const own = slicesOf(slices, variant, load);
      const floor = slicesOf(slices, variant.floor ?? variant, load);
      return {
        server: variant.name,
        peers: load.peers,
        ...medianRecord(own),
        cpuSpread: spread(own.map(({ cpuMicroseconds }) => cpuMicroseconds)),
        cpuToFloor: ratio(own, floor, 'cpuMicroseconds'),
        perSecondToFloor: ratio(own, floor, 'perSecond'),
        p50ToFloor: ratio(own, floor, 'p50'),
        cpuToTcp: ratio(own, slicesOf(slices, VARIANTS[2], load), 'cpuMicroseconds'),
      };
    }),
  );
}

/**
 * One device: how much of its time is its own cryptography, which the floor's board is spared.
 *
 * @param {Settings} settings
 */
async function measureAlone({ rounds, turns, seconds }) {
  const alone = { peers: 1, inFlight: 1 };
  const variants = [FLOOR, COMPUTING_FLOOR, VARIANTS[1]];
  const slices = await measure(variants, [alone], { rounds, turns, seconds, onSlice: reportSlice });
  const [floor, computing] = variants.map((variant) => slicesOf(slices, variant, alone));
  return variants.map((variant) => {
    const own = slicesOf(slices, variant, alone);
    return {
      server: variant.name,
      p50: medianRecord(own).p50,
      p50ToFloor: ratio(own, floor, 'p50'),
      p50ToComputingFloor: ratio(own, computing, 'p50'),
    };
  });
}

/**
 * How the cost of an exchange grows with known devices, keys and data: the same server at both ends of each.
 *
 * @param {Settings} settings
 */
async function measureGrowth({ rounds, turns, seconds }) {
  const options = { rounds, turns, seconds, onSlice: reportSlice };
  const [few, many] = KNOWN_DEVICES.map((peers) => ({ peers, inFlight: KNOWN_IN_FLIGHT }));
  const busy = { peers: 64, inFlight: 64 };
  const ben = { ...BASE, name: 'BenUdp' };
  const manyKeys = { ...BASE, name: 'BenUdp, 1000 keys', keys: 1000 };
  const largeData = { ...BASE, name: 'BenUdp, 1 kB', dataBytes: 1024 };
  const known = await measure([ben], [few, many], options);
  const others = await measure([ben, manyKeys, largeData], [busy], options);
  /**
   * @param {string} what
   * @param {readonly import('./rounds.mjs').Slice[]} slices
   * @param {readonly import('./rounds.mjs').Slice[]} base
   */
  const row = (what, slices, base) => ({
    what,
    ...medianRecord(slices),
    cpuRatio: ratio(slices, base, 'cpuMicroseconds'),
  });
  const fewSlices = slicesOf(known, ben, few);
  const benSlices = slicesOf(others, ben, busy);
  return [
    row('16 known devices, 16 at a time', fewSlices, fewSlices),
    row('5000 known devices, 16 at a time', slicesOf(known, ben, many), fewSlices),
    row('64 devices, 1 key, 32 B', benSlices, benSlices),
    row('64 devices, 1000 keys', slicesOf(others, manyKeys, busy), benSlices),
    row('64 devices, 1 kB of data', slicesOf(others, largeData, busy), benSlices),
  ];
}

/**
 * Runs one function of a program of its own.
 *
 * @template {import('./child.mjs').Functions} F
 * @template {keyof F & string} Name
 * @param {Child<F>} child
 * @param {Name} name
 * @param {Parameters<F[Name]>} rest
 */
async function askOnce(child, name, ...rest) {
  try {
    return await child.ask(name, ...rest);
  } finally {
    await child.stop();
  }
}

/** @param {ConstructorParameters<typeof Child>[1]} [options] */
function startKnownDevices(options) {
  /** @type {Child<import('./known-devices.mjs').KnownDevicesFunctions>} */
  const child = new Child('known-devices', options);
  return child;
}

async function measureMemory() {
  const options = { execArgv: ['--expose-gc'] };
  const devices = 50_000;
  const exchange = await askOnce(startKnownDevices(options), 'memory', { devices });
  const registry = await askOnce(startKnownDevices(options), 'registry', { devices });
  return [
    { of: 'exchange', ...exchange },
    { of: 'device registry', ...registry },
    { of: 'both', devices, heapBytes: exchange.heapBytes + registry.heapBytes },
  ];
}

async function measureFirstContact() {
  return [
    await askOnce(startKnownDevices(), 'firstContact', { keys: 1 }),
    await askOnce(startKnownDevices(), 'firstContact', { keys: 1000 }),
  ];
}

async function measureMicro() {
  /** @type {Child<import('./micro.mjs').MicroFunctions>} */
  const micro = new Child('micro');
  const { rows } = await askOnce(micro, 'run', { sizes: [16, 256, 1024], turns: 15 });
  return rows;
}

/**
 * @param {string} name
 * @param {number} peers
 * @param {import('./rounds.mjs').Slice} slice
 */
function reportSlice(name, peers, { cpuMicroseconds, cpuShare, waitedShare, perSecond }) {
  const percent = (/** @type {number} */ share) => `${Math.round(share * 100)} %`;
  console.error(
    `${name}, ${peers}: ${cpuMicroseconds.toFixed(1)} µs of CPU, ${Math.round(perSecond)}/s, ` +
      `server's core ${percent(cpuShare)} used, ${percent(waitedShare)} taken by others`,
  );
}

/**
 * @typedef {{ [Name in keyof typeof PARTS]: Awaited<ReturnType<(typeof PARTS)[Name]['run']>> }} Measured the rows of each part
 */

export const PARTS = {
  exchanges: { title: 'one at a time for each peer, all peers at once', run: measureExchanges },
  alone: { title: 'one device: what of its time is its own cryptography', run: measureAlone },
  growth: { title: 'CPU for an exchange as devices, keys and data grow', run: measureGrowth },
  memory: { title: 'bytes for each known device', run: measureMemory },
  firstContact: { title: "a stranger's first request, its key the last to be tried", run: measureFirstContact },
  start: { title: 'from process start to the first answer', run: measureStarts },
  micro: { title: 'parts by themselves, each compared with the plain way to do it', run: measureMicro },
};
