/**
 * Peers in the field: a round trip of 50 ms, first without loss, then with 2 % of the packets of each direction lost.
 */
import { Child, LOAD_CORE } from '../support/child.mjs';
import { Network, findObstacle } from './network.mjs';

export const ROUND_TRIP_MS = 50;
export const LOSS = 0.02;

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
  const network = await Network.start(ROUND_TRIP_MS);
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
  network.setLoss(0);
  const overflows = network.overflows;
  const start = () => server.ask('start', variant);
  const figures = await measureBoth({ server, load, variant, size, start, setLoss: () => network.setLoss(LOSS) });
  return { ...figures, overflows: network.overflows - overflows };
}

function measureThroughProxy(variant, size) {
  const server = new Child('server');
  const load = new Child('field-load', { core: LOAD_CORE });
  const start = async () => {
    const serverPort = await server.ask('start', variant);
    return load.ask('startProxy', { serverPort, roundTripMs: ROUND_TRIP_MS });
  };
  return measureBoth({ server, load, variant, size, start, setLoss: () => load.ask('setLoss', LOSS) });
}

/** @returns {Promise<object>} the figures without loss, then under `lossy` those with loss */
async function measureBoth({ server, load, variant, size, start, setLoss }) {
  try {
    const options = { ...variant, port: await start() };
    const alone = await load.ask('alone', { ...options, exchanges: ALONE_EXCHANGES, roundTripMs: ROUND_TRIP_MS });
    await setLoss();
    const peers = Math.min(size.devices, variant.maxPeers ?? Infinity);
    const lossy = await load.ask('many', { ...options, peers, exchanges: size.exchanges });
    return { ...toRoundTrips(alone), lossy: { devices: peers, ...lossy } };
  } finally {
    await load.stop();
    await server.stop();
  }
}

/** Each round trip takes at least its time, and the rest of an exchange much less than one. */
function toRoundTrips({ first, further }) {
  const withRoundTrips = (figures) => ({ ...figures, roundTrips: Math.floor(figures.leastMs / ROUND_TRIP_MS) });
  return { first: withRoundTrips(first), further: withRoundTrips(further) };
}
