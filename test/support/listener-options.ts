/** The options of a listener that has no Nest around it. */
import { DEFAULT_LIMITS } from '../../lib/exchange/index.js';
import type { ListenerOptions } from '../../lib/server/index.js';

export const LISTENER_OPTIONS: ListenerOptions = {
  host: '127.0.0.1',
  port: 8585,
  receiveBufferSize: 1000,
  maxDatagramBytes: 4096,
  timeout: 10_000,
  datagramGap: 0,
  maxEndpoints: 100,
  inFlight: { maxInFlight: 10, maxInFlightPerDevice: 10, maxQueuedEvents: 0 },
  limits: DEFAULT_LIMITS,
  repair: true,
  maxResultBytes: 65_536,
};
