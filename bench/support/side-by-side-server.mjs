/**
 * Several servers on ports of their own, a program of its own. It counts the CPU time of all of them, so only one may be asked at a time.
 */
import { serve } from './child.mjs';
import { startBenUdp, startNestTcp } from './nest-apps.mjs';

/** @typedef {import('./rounds.mjs').Variant} Variant */

const startBen = async (/** @type {Variant} */ variant) =>
  (await startBenUdp(variant, () => undefined)).unwrap().address().port;

/** @type {Partial<Record<Variant['kind'], (variant: Variant) => Promise<number>>>} */
const KINDS = {
  ben: startBen,
  v2: startBen,
  tcp: () => startNestTcp(() => undefined),
};

const functions = {
  /** @param {Variant[]} variants */
  start: async (variants) => {
    const ports = [];
    for (const variant of variants) {
      const start = KINDS[variant.kind];
      if (!start) {
        throw new Error(`no server of the kind ${variant.kind}`);
      }
      ports.push(await start(variant));
    }
    return ports;
  },
  cpuMicroseconds: () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
};

/** @typedef {typeof functions} SideBySideFunctions */

serve(functions);
