/** What the installed version of Nest has; the versions that have it are in the sentences. */
import { ClientProxy, NestMicroservice, Server, ServerTCP, TcpContext } from '@nestjs/microservices';

const has = (what: string, prototype: object, member: string) => ({ what, isThere: member in prototype });

export const NEEDS = {
  preRequestHook: has('registerPreRequestHook (12)', NestMicroservice.prototype, 'registerPreRequestHook'),
  transportServer: has('getTransportServer (12)', NestMicroservice.prototype, 'getTransportServer'),
  processingHooks: has('setOnProcessingStartHook (11.1)', Server.prototype, 'setOnProcessingStartHook'),
  dispatchHook: has('setOnDispatchHook (12)', ClientProxy.prototype, 'setOnDispatchHook'),
  metadata: has('getMetadata on contexts (12)', TcpContext.prototype, 'getMetadata'),
  eventErrorLog: has('log of what event handlers throw (12)', new ServerTCP({}), 'propagatesEventHandlerErrors'),
} as const;
