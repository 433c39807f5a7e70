/**
 * Upstream's server with two boards at once: after how many exchanges it ended.
 */
import { Child, LOAD_CORE, pause } from '../support/child.mjs';

const LOOK_MS = 500;

/**
 * @param {import('../support/rounds.mjs').Variant} variant
 * @returns {Promise<{ devices: number, exchanges: number }>}
 */
export async function findUpstreamsEnd(variant) {
  const devices = 2;
  /** @type {Child<import('../support/server.mjs').ServerFunctions>} */
  const server = new Child('server');
  /** @type {Child<import('../support/load.mjs').LoadFunctions>} */
  const load = new Child('load', { core: LOAD_CORE });
  try {
    const port = await server.ask('start', variant);
    await load.ask('start', { ...variant, port, peers: devices, inFlight: devices, isKeptAwake: false });
    let exchanges = -1;
    for (let { served } = await server.ask('sample'); served > exchanges; { served } = await server.ask('sample')) {
      exchanges = served;
      await pause(LOOK_MS);
    }
    return { devices, exchanges };
  } finally {
    await load.stop();
    await server.stop();
  }
}
