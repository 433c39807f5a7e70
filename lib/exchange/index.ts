/** The exchange of either protocol, pure: state, clock and randomness are passed in. It knows no Nest, rxjs or node:dgram. */
export * from './client-exchange.js';
export type * from './decision.js';
export { DUPLICATE_HELLO_MS } from './endpoint.js';
export * from './exchanges.js';
export * from './ids/id-pair.js';
export { REMEMBERED_PAIRS } from './ids/pair-history.js';
export * from './limits/exchange-limits.js';
export type { InFlightLimits } from './limits/in-flight.js';
export type { BenUdpRate } from './limits/rate-limit.js';
export type { KnownBoard } from './known-boards.js';
export * from './rejection.js';
export { type BenUdpRemote, type EndpointKey, type Sender, remoteOfEndpoint } from './remote.js';
export type { PendingRequest, UnsentReply } from './reply-slots.js';
export * from './server-exchange.js';
export * from './v2/client-exchange.js';
export { SHARED_ROUTE } from './v2/server-options.js';
export { SESSIONS_PER_KEY } from './v2/session-table.js';
