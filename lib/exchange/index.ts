/** The exchange of seven datagrams, pure: state and clock are passed in. Knows no Nest, rxjs or node:dgram. */
export * from './client-exchange.js';
export { type EndpointKey, endpointKey } from './endpoint-table.js';
export * from './id-pair.js';
export * from './key-ring.js';
export * from './limits.js';
export type { Rate } from './rate-limit.js';
export * from './rejection.js';
export * from './server-exchange.js';
export type { Remote } from './source.js';
export type { Work, WorkloadLimits } from './workload.js';
