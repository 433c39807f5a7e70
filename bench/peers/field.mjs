/**
 * Peers in the field: a round trip of 50 ms, first without loss, then with 2 % of the packets of each direction lost.
 */
import { Child, LOAD_CORE } from '../support/child.mjs';
import { Network, findObstacle } from './network.mjs';

export const ROUND_TRIP_MS = 50;
export const LOSS = 0.02;

/** To count round trips, they must be longer than everything else on a busy machine. */
const LONG_ROUND_TRIP_MS = 400;
const COUNTED_EXCHANGES = 2;

/** Further exchanges of one device. */
const ALONE_EXCHANGES = 10;

/**
 * @typedef {import('../support/rounds.mjs').Variant} Variant
 * @typedef {{ devices: number, exchanges: number }} Size
 *
 * @typedef {object} WayFigures of an exchange on the slow network
 * @property {number} roundTrips
 * @property {number} ms
 * @property {number} bytes
 * @property {number} packets
 *
 * @typedef {object} FieldFigures
 * @property {WayFigures} first without loss
 * @property {WayFigures} further
 * @property {{ devices: number } & Awaited<ReturnType<FieldLoadFunctions['many']>>} lossy
 * @property {number} [overflows] packets that the network of the bench lost
 *
 * @typedef {import('../support/field-load.mjs').FieldLoadFunctions} FieldLoadFunctions
 *
 * @typedef {object} Measurement
 * @property {Child<import('../support/server.mjs').ServerFunctions>} server
 * @property {Child<FieldLoadFunctions>} load
 * @property {Variant} variant
 * @property {Size} size
 * @property {() => Promise<number>} start returns the port for the devices
 * @property {(way: { loss: number, roundTripMs: number }) => Promise<void>} setWay
 *
 * @typedef {object} Field
 * @property {string | undefined} obstacle why it has no namespaces, and UDP alone
 * @property {(variant: Variant, size: Size) => Promise<FieldFigures>} measure
 * @property {() => Promise<void>} stop
 */

/** @returns {Promise<Field>} */
export async function openField() {
  const obstacle = findObstacle();
  if (obstacle !== undefined) {
    return { obstacle, measure: measureThroughProxy, stop: async () => undefined };
  }
  const network = await Network.start();
  return {
    obstacle,
    measure: (variant, size) => measureInNetwork(network, variant, size),
    stop: () => network.stop(),
  };
}

/**
 * @param {Network} network
 * @param {Variant} variant
 * @param {Size} size
 * @returns {Promise<FieldFigures>}
 */
async function measureInNetwork(network, variant, size) {
  const { env } = network;
  /** @type {Measurement['server']} */
  const server = new Child('server', { prefix: network.inServer, env });
  /** @type {Measurement['load']} */
  const load = new Child('field-load', { core: LOAD_CORE, prefix: network.inDevices, env });
  const overflows = network.overflows;
  const start = () => server.ask('start', variant);
  /** @type {Measurement['setWay']} */
  const setWay = async (way) => network.setWay(way);
  const figures = await measureAll({ server, load, variant, size, start, setWay });
  return { ...figures, overflows: network.overflows - overflows };
}

/**
 * @param {Variant} variant
 * @param {Size} size
 * @returns {Promise<FieldFigures>}
 */
function measureThroughProxy(variant, size) {
  /** @type {Measurement['server']} */
  const server = new Child('server');
  /** @type {Measurement['load']} */
  const load = new Child('field-load', { core: LOAD_CORE });
  const start = async () => load.ask('startProxy', { serverPort: await server.ask('start', variant) });
  return measureAll({ server, load, variant, size, start, setWay: (way) => load.ask('setWay', way) });
}

/**
 * @returns {Promise<FieldFigures>} the figures without loss, then under `lossy` those with loss
 * @param {Measurement} measurement
 */
async function measureAll({ server, load, variant, size, start, setWay }) {
  try {
    const options = { ...variant, port: await start() };
    await setWay({ loss: 0, roundTripMs: LONG_ROUND_TRIP_MS });
    const fastest = await load.ask('fastest', { ...options, exchanges: COUNTED_EXCHANGES });
    await setWay({ loss: 0, roundTripMs: ROUND_TRIP_MS });
    const { first, further } = await load.ask('alone', {
      ...options,
      exchanges: ALONE_EXCHANGES,
      roundTripMs: ROUND_TRIP_MS,
    });
    await setWay({ loss: LOSS, roundTripMs: ROUND_TRIP_MS });
    const peers = Math.min(size.devices, variant.maxPeers ?? Infinity);
    const lossy = await load.ask('many', { ...options, peers, exchanges: size.exchanges });
    return {
      first: { ...first, roundTrips: toRoundTrips(fastest.firstMs) },
      further: { ...further, roundTrips: toRoundTrips(fastest.furtherMs) },
      lossy: { devices: peers, ...lossy },
    };
  } finally {
    await load.stop();
    await server.stop();
  }
}

/**
 * Each round trip takes at least its time, and all the rest of the fastest exchange less than one.
 *
 * @param {number} ms
 */
function toRoundTrips(ms) {
  return Math.floor(ms / LONG_ROUND_TRIP_MS);
}
