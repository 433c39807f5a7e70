/** The public API: every name is listed here, nothing else is supported. */
export { BEN_UDP_HEALTH_PATTERN, BEN_UDP_TRANSPORT } from './ben-udp.constants.js';
export {
  BenProtocolError,
  BenUdpError,
  type BenUdpErrorCode,
  BenUdpRequestError,
  type BenUdpRequestFacts,
  type BenUdpRequestStep,
  type PythonTextErrorCode,
} from './ben-udp.errors.js';
export type { CallerStats, CallOutcome } from './client/index.js';
export { type Disregard, DISREGARDS, REJECTIONS, type Rate, type Rejection, type Remote } from './exchange/index.js';
export { BenUdpClient, type BenUdpClientEvents, type DisregardedDatagram } from './nest/ben-udp.client.js';
export type { BenUdpCallOptions, BenUdpClientOptions } from './nest/ben-udp.client-options.js';
export { BenUdpContext } from './nest/ben-udp.context.js';
export { type BenUdpEvents, type BenUdpExchange, BenUdpStatus, type RejectedDatagram } from './nest/ben-udp.events.js';
export { type BenUdpHealth, BenUdpHealthIndicator } from './nest/ben-udp.health.js';
export { BenUdpModule, type BenUdpModuleAsyncOptions } from './nest/ben-udp.module.js';
export type { BenUdpLimits, BenUdpTransportOptions } from './nest/ben-udp.options.js';
export { BenUdpRecord, BenUdpRecordBuilder } from './nest/ben-udp.record-builder.js';
export { getBenUdpTracker } from './nest/ben-udp.tracker.js';
export { type BenUdpPingOptions, BenUdpTransport } from './nest/ben-udp.transport.js';
export type { KeyOptions, KeySource } from './options/index.js';
export { type ErrorReply, type KeyFileChecks, type PythonValue, generateKeyFile } from './protocol/index.js';
export type { BenUdpDevice, BenUdpStats, ExchangeOutcome } from './server/index.js';
