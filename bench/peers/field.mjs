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
 *
 * @typedef {object} Field
 * @property {string | undefined} obstacle why it has no namespaces, and UDP alone
 * @property {(variant: Variant, size: { devices: number, exchanges: number }) => Promise<object>} measure
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

async function measureInNetwork(network, variant, size) {
  const { env } = network;
  const server = new Child('server', { prefix: network.inServer, env });
  const load = new Child('field-load', { core: LOAD_CORE, prefix: network.inDevices, env });
  const overflows = network.overflows;
  const start = () => server.ask('start', variant);
  const setWay = async (way) => network.setWay(way);
  const figures = await measureAll({ server, load, variant, size, start, setWay });
  return { ...figures, overflows: network.overflows - overflows };
}

function measureThroughProxy(variant, size) {
  const server = new Child('server');
  const load = new Child('field-load', { core: LOAD_CORE });
  const start = async () => load.ask('startProxy', { serverPort: await server.ask('start', variant) });
  return measureAll({ server, load, variant, size, start, setWay: (way) => load.ask('setWay', way) });
}

/** @returns {Promise<object>} the figures without loss, then under `lossy` those with loss */
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

/** Each round trip takes at least its time, and all the rest of the fastest exchange less than one. */
function toRoundTrips(ms) {
  return Math.floor(ms / LONG_ROUND_TRIP_MS);
}
