/**
 * Parameter decorators for handlers. If a handler runs for another transport, each of them is `undefined`.
 */
import { type PipeTransform, type Type, createParamDecorator } from '@nestjs/common';
import { type BenUdpRequest, getBenUdpRequest } from './ben-udp.request.js';

/** Pipes for the value of a parameter, as `@Payload()` takes them: instances or classes. */
export type BenUdpPipes = ReadonlyArray<Type<PipeTransform> | PipeTransform>;

type PipedDecorator = (...pipes: BenUdpPipes) => ParameterDecorator;

function decoratorOf(read: (request: BenUdpRequest) => unknown): PipedDecorator {
  return createParamDecorator((_data: unknown, context) => {
    const request = getBenUdpRequest(context);
    return request && read(request);
  }) as PipedDecorator;
}

/**
 * The name of the device whose key verified the request; `undefined` if the key has no name. With `@AllowDevices()` it is always a text.
 *
 * @publicApi
 */
export const Device: PipedDecorator = decoratorOf((request) => request.getDevice());

/**
 * The address of the sender. Behind a NAT, the address of the NAT. It can be forged; the name of a device can't.
 *
 * @publicApi
 */
export const RemoteAddress: PipedDecorator = decoratorOf((request) => request.getRemoteAddress());

/**
 * The decrypted request as the device sent it: the Python text of a dict.
 *
 * @publicApi
 */
export const RawRequest: PipedDecorator = decoratorOf((request) => request.getRawRequest());

/**
 * The time at which the request arrived, as a `Date`.
 *
 * @publicApi
 */
export const ReceivedAt: PipedDecorator = decoratorOf((request) => request.getReceivedAt());

/**
 * An `AbortSignal` that fires when nobody waits for the handler any more: see `BenUdpContext#getSignal`.
 *
 *     report(@Signal() signal: AbortSignal) { return fetch(url, { signal }).then((response) => response.json()); }
 *
 * @publicApi
 */
export const Signal: () => ParameterDecorator = decoratorOf((request) => request.getSignal());

const metadata = createParamDecorator((key: string | undefined, context) => {
  const all = getBenUdpRequest(context)?.getMetadata();
  if (key === undefined) {
    return all;
  }
  return all && Object.hasOwn(all, key) ? all[key] : undefined;
});

/**
 * The metadata of the request (`BenUdpContext#getMetadata`), or the entry `key` of it; `undefined` if there is none.
 *
 * @publicApi
 */
export function RequestMetadata(key?: string, ...pipes: BenUdpPipes): ParameterDecorator {
  return metadata(key, ...pipes);
}
