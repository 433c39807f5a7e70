/**
 * Decorators for handlers of only this transport.
 */
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import type { BenUdpActionName, BenUdpMessageName, BenUdpReply } from '../actions.js';
import { BEN_UDP_TRANSPORT } from '../constants.js';

/** A pattern that is not a text. The compiler checks only the names of actions. */
export type BenUdpLiteralPattern = object | number | bigint | boolean | null;

/** The results of a handler that returns this reply. */
export type BenUdpResult<Reply> = Reply | Observable<Reply> | Promise<Reply | Observable<Reply>>;

/**
 * A decorator for methods that return this reply. Their parameters are not checked.
 *
 * @typeParam Method the decorated method.
 */
export type BenUdpMessageDecorator<Reply> = <Method extends (...args: never[]) => BenUdpResult<Reply>>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<Method>,
) => void;

/**
 * Answers the requests of boards: `@MessagePattern(pattern, BEN_UDP_TRANSPORT)`. In an app with several transports no other one gets
 * the handler, so nobody without a key can run it. If `BenUdpActions` has entries, the name must be one with a `reply`, and the method
 * must return that reply, as a value, a promise or an Observable.
 *
 * @param extras as for `@MessagePattern`: `extras` of the handler, for tools.
 * @publicApi
 */
export function BenUdpMessagePattern<Pattern extends BenUdpMessageName | BenUdpLiteralPattern>(
  pattern: Pattern,
  extras?: Record<string, unknown>,
): BenUdpMessageDecorator<BenUdpReply<Pattern>> {
  return MessagePattern(pattern, BEN_UDP_TRANSPORT, extras);
}

/**
 * Runs for requests of boards that do not wait (`noreturn=True`): `@EventPattern(pattern, BEN_UDP_TRANSPORT)`. It needs no type argument
 * in Nest 12 if the method has further parameters. If `BenUdpActions` has entries, the name must be one of them.
 *
 * @param extras as for `@EventPattern`: `extras` of the handler, for tools.
 * @publicApi
 */
export function BenUdpEventPattern(
  pattern: BenUdpActionName | BenUdpLiteralPattern,
  extras?: Record<string, unknown>,
): MethodDecorator {
  return EventPattern<unknown>(pattern, BEN_UDP_TRANSPORT, extras);
}
