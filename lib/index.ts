/** The public API. Only the names in this list are supported. */
export type { BenUdpActionName, BenUdpActions, BenUdpData, BenUdpMessageName, BenUdpReply } from './actions.js';
export type { BenUdpClientOutcome, BenUdpClientStats } from './client/index.js';
export { BEN_UDP_HEALTH_PATTERN, BEN_UDP_TRANSPORT } from './constants.js';
export {
  BenUdpError,
  type BenUdpErrorCode,
  BenUdpProtocolError,
  BenUdpRequestError,
  type BenUdpRequestFacts,
  type BenUdpRequestStep,
  type BenUdpTextErrorCode,
} from './errors.js';
export {
  type BenUdpIgnoredReason,
  type BenUdpLimits,
  type BenUdpProtocol,
  type BenUdpRate,
  type BenUdpRejection,
  type BenUdpRemote,
  IGNORED_REASONS,
  REJECTIONS,
} from './exchange/index.js';
export {
  type BenUdpKeyFileChecks,
  type BenUdpKeyEntry,
  type BenUdpKeyOptions,
  type BenUdpDeviceKey,
  type BenUdpKeyProvider,
  type BenUdpKeySource,
  type BenUdpProtocolRule,
  generateKeyFile,
} from './keys/index.js';
export {
  BenUdpClient,
  type BenUdpClientData,
  type BenUdpClientEvents,
  type BenUdpIgnoredDatagram,
} from './nest/ben-udp.client.js';
export type { BenUdpCallOptions, BenUdpClientOptions, BenUdpRecordOptions } from './nest/ben-udp.client-options.js';
export { BenUdpContext } from './nest/ben-udp.context.js';
export { AllowDevices, BenUdpDeviceGuard } from './nest/ben-udp.device.guard.js';
export {
  type BenUdpEvents,
  type BenUdpExchange,
  type BenUdpRejectedDatagram,
  BenUdpStatus,
} from './nest/ben-udp.events.js';
export { BenUdpDictPipe } from './nest/ben-udp.dict.pipe.js';
export { type BenUdpHealth, BenUdpHealthIndicator } from './nest/ben-udp.health.js';
export { BenUdpModule, type BenUdpModuleAsyncOptions, InjectBenUdpTransport } from './nest/ben-udp.module.js';
export {
  type BenUdpPipes,
  Device,
  RawRequest,
  ReceivedAt,
  RemoteAddress,
  RequestMetadata,
  Signal,
} from './nest/ben-udp.parameters.js';
export {
  BenUdpEventPattern,
  type BenUdpLiteralPattern,
  type BenUdpMessageDecorator,
  BenUdpMessagePattern,
  type BenUdpResult,
} from './nest/ben-udp.patterns.js';
export { BenUdpRecord, BenUdpRecordBuilder } from './nest/ben-udp.record-builder.js';
export { type BenUdpRequest, getBenUdpRequest } from './nest/ben-udp.request.js';
export { BenUdpRelayModule } from './nest/relay/ben-udp.relay.module.js';
export { type BenUdpWorkerOptions, toBenUdpWorker } from './nest/relay/ben-udp.worker.js';
export type { BenUdpRelayOptions } from './nest/relay/relay-options.js';
export { getBenUdpTracker } from './nest/ben-udp.tracker.js';
export { type BenUdpPingOptions, BenUdpTransport } from './nest/ben-udp.transport.js';
export type { BenUdpTransportOptions } from './nest/ben-udp.transport-options.js';
export type { BenUdpErrorReply, BenUdpValue } from './protocol/index.js';
export {
  type BenUdpDevice,
  type BenUdpHeardDevice,
  type BenUdpKnownBoard,
  type BenUdpKnownBoardStore,
  BenUdpMemoryResultStore,
  type BenUdpMemoryResultStoreOptions,
  type BenUdpOutcome,
  type BenUdpRequestResult,
  type BenUdpResultStore,
  type BenUdpStats,
  type BenUdpStoredResult,
} from './server/index.js';
