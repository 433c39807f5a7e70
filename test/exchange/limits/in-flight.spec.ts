import { describe, expect, it } from 'vitest';
import { Endpoint } from '../../../lib/exchange/endpoint-table.js';
import { KeyRing } from '../../../lib/keys/index.js';
import { historyOf } from '../../../lib/exchange/ids/pair-history.js';
import { InFlight } from '../../../lib/exchange/limits/in-flight.js';
import { KEY } from '../../support/pure-device.js';

const [key] = new KeyRing([{ device: undefined, key: KEY }]).keys;
const createEndpoint = () => new Endpoint(key!, historyOf([], 0));

describe('Workload', () => {
  it('lets maxInFlightPerDevice handlers of a device run and not one more', () => {
    const workload = new InFlight({ maxInFlight: 100, maxInFlightPerDevice: 2 }, 1000);
    const endpoint = createEndpoint();
    const first = workload.begin(endpoint, 0);
    expect(workload.begin(endpoint, 0)).toBeDefined();
    expect(workload.begin(endpoint, 0)).toBeUndefined();
    expect(workload.begin(createEndpoint(), 0)).toBeDefined();
    workload.end(first!);
    expect(workload.begin(endpoint, 0)).toBeDefined();
  });

  it('lets maxInFlight handlers run in all and not one more', () => {
    const workload = new InFlight({ maxInFlight: 3, maxInFlightPerDevice: 100 }, 1000);
    const works = [0, 1, 2].map(() => workload.begin(createEndpoint(), 0));
    expect(workload.begin(createEndpoint(), 0)).toBeUndefined();
    workload.end(works[1]!);
    expect(workload.begin(createEndpoint(), 0)).toBeDefined();
  });

  it('stops counting a handler that hangs, so that its device is heard again', () => {
    const workload = new InFlight({ maxInFlight: 100, maxInFlightPerDevice: 1 }, 1000);
    const endpoint = createEndpoint();
    const hanging = workload.begin(endpoint, 0);
    expect(workload.begin(endpoint, 999)).toBeUndefined();
    expect(workload.begin(endpoint, 1000)).toBeDefined();
    // Should it end after all, nothing is counted twice.
    workload.end(hanging!);
    expect([workload.size, endpoint.running]).toEqual([1, 1]);
  });

  it('counts a handler that hangs in all until it ends: it holds memory, and a device could begin any number', () => {
    const workload = new InFlight({ maxInFlight: 3, maxInFlightPerDevice: 1 }, 1000);
    const endpoint = createEndpoint();
    const hanging = [0, 1000, 2000].map((now) => workload.begin(endpoint, now));
    expect(workload.begin(endpoint, 3000)).toBeUndefined();
    expect(workload.begin(createEndpoint(), 1e9)).toBeUndefined();
    hanging.forEach((work) => workload.end(work!));
    expect([workload.size, endpoint.running]).toEqual([0, 0]);
    expect(workload.begin(endpoint, 3000)).toBeDefined();
  });
});
