/**
 * The memory of known devices, and the cost of a first contact with many keys. A program of its own, because
 * it measures its own memory.
 */
import { Sender } from '#lib/exchange/remote.js';
import { nodePlatform } from '#lib/net/index.js';
import { DeviceRegistry } from '#lib/server/index.js';
import { serve } from './child.mjs';
import { median, percentile } from './statistics.mjs';
import { Steps } from './steps.mjs';

/** After these a device's history is as long as it gets. */
const EXCHANGES = 5;

const CONTACTS = 200;
const BETWEEN_CONTACTS_MS = 1000;

function collect() {
  // Buffers are released in a second pass.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed + external };
}

const functions = {
  /** Bytes of each known device, after the first exchange and after some more. */
  memory: (/** @type {{ devices: number }} */ { devices }) => {
    const steps = new Steps({ boards: devices });
    const few = new Steps({ boards: 256 });
    few.introduce();
    few.exchangeAll();
    const before = collect();
    steps.introduce();
    const introduced = collect();
    for (let exchange = 1; exchange < EXCHANGES; exchange++) {
      steps.exchangeAll();
    }
    const after = collect();
    // Used once more, so that it is not freed between the two readings.
    few.exchangeAll();
    return {
      devices: steps.boards,
      heapBytesAtFirst: (introduced.heap - before.heap) / devices,
      heapBytes: (after.heap - before.heap) / devices,
    };
  },

  /** Bytes of each device in the registry behind `getDevices()`. */
  registry: (/** @type {{ devices: number }} */ { devices }) => {
    const steps = new Steps({ boards: 1 });
    const registry = new DeviceRegistry(nodePlatform, devices, 0, () => undefined);
    const before = collect();
    for (let index = 0; index < devices; index++) {
      registry.record({ device: undefined, endpoint: new Sender(steps.remoteOf(index)).key });
    }
    const after = collect();
    // As above.
    steps.introduce();
    return { devices: registry.list([]).length, heapBytes: (after.heap - before.heap) / devices };
  },

  /** Milliseconds of a stranger's first request whose key is the last to be tried. */
  firstContact: (/** @type {{ keys: number }} */ { keys }) => {
    const steps = new Steps({ boards: keys, keys });
    const times = [];
    for (let contact = 1; contact <= CONTACTS; contact++) {
      const index = contact * keys - 1;
      steps.now += BETWEEN_CONTACTS_MS;
      const envelope = steps.ask(index, steps.hello(index));
      const before = performance.now();
      steps.answer(index, envelope);
      times.push(performance.now() - before);
    }
    return { keys, firstMs: times[0], medianMs: median(times), p90Ms: percentile(times, 0.9) };
  },
};

/** @typedef {typeof functions} KnownDevicesFunctions */

serve(functions);
