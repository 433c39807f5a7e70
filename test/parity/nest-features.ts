/** The features of the installed version of Nest. The sentences name the versions that have them. */
import { NestApplication } from '@nestjs/core';
import { ClientProxy, ClientTCP, NestMicroservice, Server, ServerTCP, TcpContext } from '@nestjs/microservices';
import type { Need } from './behaviour.js';

const has = (what: string, prototype: object, member: string): Need => ({ what, isThere: member in prototype });

export const NEEDS = {
  preRequestHook: has('registerPreRequestHook (12)', NestMicroservice.prototype, 'registerPreRequestHook'),
  transportServer: has('getTransportServer (12)', NestMicroservice.prototype, 'getTransportServer'),
  processingHooks: has('setOnProcessingStartHook (11.1)', Server.prototype, 'setOnProcessingStartHook'),
  dispatchHook: has('setOnDispatchHook (12)', ClientProxy.prototype, 'setOnDispatchHook'),
  metadata: has('getMetadata on contexts (12)', TcpContext.prototype, 'getMetadata'),
  eventErrorLog: has('log of what event handlers throw (12)', new ServerTCP({}), 'propagatesEventHandlerErrors'),
  /** An option, so there is no member to look for. */
  deferInitialization: {
    what: 'deferInitialization (11.1)',
    isThere: NestApplication.prototype.connectMicroservice.toString().includes('deferInitialization'),
  },
  /** Before, a connection outlived its server. */
  cutConnections: has('TCP server that ends its connections (11.1)', ServerTCP.prototype, 'trackOpenSocket'),
  /** Before, the error ended the process. */
  replyGuard: has('guard around replies that can not be sent (12)', Server.prototype, 'handleRequest'),
  /** Before, the old connection's end failed the new one's messages. */
  askAfterClose: has('TCP client that can be asked right after close() (12)', ClientTCP.prototype, 'isReplacedSocket'),
} as const;
