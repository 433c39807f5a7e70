/**
 * The facts about a board's request, and the one place where guards and parameter decorators read them.
 */
import type { ExecutionContext } from '@nestjs/common';
import { BenUdpContext } from './ben-udp.context.js';

/** The facts about a board's request. A `BenUdpContext` has all of them; a worker behind a broker has those that the broker carries. */
export interface BenUdpRequest {
  /** The name of the device whose key verified the request; `undefined` if the key has no name. */
  getDevice(): string | undefined;
  /** The address of the sender. */
  getRemoteAddress(): string | undefined;
  /** The texts that the board sent in addition to the payload; `undefined` if there are none. */
  getMetadata(): Readonly<Record<string, string>> | undefined;
  /** The time at which the request arrived. */
  getReceivedAt(): Date | undefined;
  /** The decrypted request as the board sent it. */
  getRawRequest(): string | undefined;
  /** Fires when nobody waits for the handler any more. */
  getSignal(): AbortSignal | undefined;
}

/** Every copy of this package uses the same symbol. */
const REQUEST = Symbol.for('nestjs-ben-udp.request');

/**
 * The request of a board that a handler, guard or interceptor runs for; `undefined` if it runs for another transport. `@Device()` and
 * the other parameter decorators, `@AllowDevices()` and `getBenUdpTracker` all read it here, and so can your own decorators.
 *
 * @publicApi
 */
export function getBenUdpRequest(context: ExecutionContext): BenUdpRequest | undefined {
  if (context.getType() !== 'rpc') {
    return undefined;
  }
  const rpc: unknown = context.switchToRpc().getContext();
  if (rpc instanceof BenUdpContext) {
    return rpc;
  }
  return (rpc as { [REQUEST]?: BenUdpRequest } | undefined)?.[REQUEST];
}

/**
 * @internal
 * Attaches the request that arrived with a message to the context of another transport, so the decorators work there too.
 *
 * @param context the object that `@Ctx()` injects.
 */
export function setBenUdpRequest(context: object, request: BenUdpRequest): void {
  Object.defineProperty(context, REQUEST, { value: request });
}
