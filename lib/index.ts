/** The public API: every name is listed here, nothing else is supported. */
export { BEN_UDP_TRANSPORT } from './ben-udp.constants.js';
export { BenUdpContext } from './ben-udp.context.js';
export { BenProtocolError, BenUdpError, type BenUdpErrorCode, type PythonTextErrorCode } from './ben-udp.errors.js';
export { type BenUdpEvents, type BenUdpExchange, BenUdpStatus, type RejectedDatagram } from './ben-udp.events.js';
export { BenUdpModule, type BenUdpModuleAsyncOptions } from './ben-udp.module.js';
export type { BenUdpLimits, BenUdpTransportOptions } from './ben-udp.options.js';
export { getBenUdpTracker } from './ben-udp.tracker.js';
export { BenUdpTransport } from './ben-udp.transport.js';
export type { BenUdpDevice } from './device-registry.js';
export { REJECTIONS, type Rate, type Rejection, type Remote } from './exchange/index.js';
export type { KeyOptions, KeySource } from './key-options.js';
export { type ErrorReply, type KeyFileChecks, type PythonValue, generateKeyFile } from './protocol/index.js';
export type { BenUdpStats, ExchangeOutcome } from './statistics.js';
