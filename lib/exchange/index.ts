/** The exchange of seven datagrams, pure: state and clock are passed in. Knows no Nest, rxjs or node:dgram. */
export * from './client-exchange.js';
export { type EndpointKey, endpointKey } from './endpoint-table.js';
export * from './ids/id-pair.js';
export * from './limits/exchange-limits.js';
export type { InFlightLimits, Work } from './limits/in-flight.js';
export type { BenUdpRemote } from './limits/ip-prefix.js';
export type { BenUdpRate } from './limits/rate-limit.js';
export * from './rejection.js';
export * from './server-exchange.js';
