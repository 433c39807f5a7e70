import { describe, expect, it } from 'vitest';
import { Endpoint } from '../../../lib/exchange/endpoint.js';
import { KeyRing } from '../../../lib/keys/index.js';
import { historyOf } from '../../../lib/exchange/ids/pair-history.js';
import { Holders } from '../../../lib/exchange/limits/holder.js';
import { InFlight, type InFlightLimits } from '../../../lib/exchange/limits/in-flight.js';
import { KEY } from '../../support/pure-device.js';

const [key] = new KeyRing([{ device: undefined, key: KEY }]).keys;
const holders = new Holders();
let endpoints = 0;
const createEndpoint = (holder = `holder ${endpoints++}`) => new Endpoint(key!, historyOf([], 0), holders.of(holder));

/** Events are not queued unless a test says so. */
function create(limits: Partial<InFlightLimits>, forgetAfterMs = 1000): InFlight {
  return new InFlight(
    { maxInFlight: 100, maxInFlightPerDevice: 100, maxQueuedEvents: 0, ...limits },
    forgetAfterMs,
    holders,
  );
}

describe('InFlight', () => {
  it('runs maxInFlightPerDevice handlers of a device, and not one more', () => {
    const inFlight = create({ maxInFlightPerDevice: 2 });
    const endpoint = createEndpoint();
    const first = inFlight.begin(endpoint, false, 0);
    expect(inFlight.begin(endpoint, false, 0)).toBeDefined();
    expect(inFlight.begin(endpoint, false, 0)).toBeUndefined();
    expect(inFlight.begin(createEndpoint(), false, 0)).toBeDefined();
    inFlight.end(first!, 0);
    expect(inFlight.begin(endpoint, false, 0)).toBeDefined();
  });

  it('runs maxInFlight handlers in all, and not one more', () => {
    const inFlight = create({ maxInFlight: 3 });
    const works = [0, 1, 2].map(() => inFlight.begin(createEndpoint(), false, 0));
    expect(inFlight.begin(createEndpoint(), false, 0)).toBeUndefined();
    inFlight.end(works[1]!, 0);
    expect(inFlight.begin(createEndpoint(), false, 0)).toBeDefined();
  });

  it('stops counting a handler that hangs, so its device is accepted again', () => {
    const inFlight = create({ maxInFlightPerDevice: 1 });
    const endpoint = createEndpoint();
    const hanging = inFlight.begin(endpoint, false, 0);
    expect(inFlight.begin(endpoint, false, 999)).toBeUndefined();
    expect(inFlight.begin(endpoint, false, 1000)).toBeDefined();
    // If it ends after all, nothing is counted twice.
    inFlight.end(hanging!, 0);
    expect([inFlight.size, endpoint.running]).toEqual([1, 1]);
  });

  it('counts a handler that hangs in all until it ends: it holds memory, and a device could begin any number', () => {
    const inFlight = create({ maxInFlight: 3, maxInFlightPerDevice: 1 });
    const endpoint = createEndpoint();
    const hanging = [0, 1000, 2000].map((now) => inFlight.begin(endpoint, false, now));
    expect(inFlight.begin(endpoint, false, 3000)).toBeUndefined();
    expect(inFlight.begin(createEndpoint(), false, 1e9)).toBeUndefined();
    hanging.forEach((work) => inFlight.end(work!, 0));
    expect([inFlight.size, endpoint.running]).toEqual([0, 0]);
    expect(inFlight.begin(endpoint, false, 3000)).toBeDefined();
  });

  it.each([
    { maxInFlight: 3, quota: 3 },
    { maxInFlight: 4, quota: 3 },
    { maxInFlight: 100, quota: 75 },
  ])('lets one holder run $quota of $maxInFlight and not one more, with any endpoints', ({ maxInFlight, quota }) => {
    const inFlight = create({ maxInFlight });
    const handlers = Array.from({ length: quota }, () =>
      inFlight.begin(createEndpoint(`thief of ${maxInFlight}`), false, 0),
    );
    expect(handlers.every((handler) => handler !== undefined)).toBe(true);
    expect(inFlight.begin(createEndpoint(`thief of ${maxInFlight}`), false, 0)).toBeUndefined();
    const others = Array.from({ length: maxInFlight - quota }, () => inFlight.begin(createEndpoint(), false, 0));
    expect(others.every((handler) => handler !== undefined)).toBe(true);
    expect(inFlight.begin(createEndpoint(), false, 0)).toBeUndefined();
    inFlight.end(handlers[0]!, 0);
    expect(inFlight.begin(createEndpoint(`thief of ${maxInFlight}`), false, 0)).toBeDefined();
  });

  it('queues maxQueuedEvents events of a device and not one more, and starts them in their order', () => {
    const inFlight = create({ maxInFlightPerDevice: 1, maxQueuedEvents: 2 });
    const endpoint = createEndpoint();
    const started: number[] = [];
    const running = inFlight.begin(endpoint, true, 0)!;
    const queued = [1, 2].map((number) => {
      const handler = inFlight.begin(endpoint, true, 0)!;
      handler.start = () => started.push(number);
      return handler;
    });
    expect(inFlight.begin(endpoint, true, 0)).toBeUndefined();
    // A device that waits is told at once.
    expect(inFlight.begin(endpoint, false, 0)).toBeUndefined();
    expect(started).toEqual([]);
    inFlight.end(running, 1);
    expect(started).toEqual([1]);
    expect([inFlight.size, endpoint.running]).toEqual([2, 1]);
    // The freed place of the queue goes to the next event, which does not overtake the others.
    expect(inFlight.begin(endpoint, true, 1)).toMatchObject({ isQueued: true });
    inFlight.end(queued[0]!, 2);
    expect(started).toEqual([1, 2]);
  });

  it('starts the queued events of a device whose handlers hang', () => {
    const inFlight = create({ maxInFlightPerDevice: 1, maxQueuedEvents: 2 });
    const endpoint = createEndpoint();
    const started: number[] = [];
    inFlight.begin(endpoint, true, 0);
    inFlight.begin(endpoint, true, 0)!.start = () => started.push(1);
    expect(inFlight.begin(endpoint, true, 1000)).toMatchObject({ isQueued: true });
    expect(started).toEqual([1]);
  });

  it('counts nothing for an event that ends in the queue', () => {
    const inFlight = create({ maxInFlightPerDevice: 1, maxQueuedEvents: 1 });
    const endpoint = createEndpoint();
    const running = inFlight.begin(endpoint, true, 0)!;
    inFlight.end(inFlight.begin(endpoint, true, 0)!, 0);
    inFlight.end(running, 0);
    expect([inFlight.size, endpoint.running, endpoint.holder.running]).toEqual([0, 0, 0]);
  });
});
