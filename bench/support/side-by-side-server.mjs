/**
 * Several servers on ports of their own, a program of its own. It counts the CPU time of all of them, so only one may be asked at a time.
 */
import { serve } from './child.mjs';
import { startBenUdp, startNestTcp } from './nest-apps.mjs';

const startBen = async (variant) => (await startBenUdp(variant, () => undefined)).unwrap().address().port;

const KINDS = {
  ben: startBen,
  v2: startBen,
  tcp: () => startNestTcp(() => undefined),
};

serve({
  start: async (variants) => {
    const ports = [];
    for (const variant of variants) {
      ports.push(await KINDS[variant.kind](variant));
    }
    return ports;
  },
  cpuMicroseconds: () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
});
