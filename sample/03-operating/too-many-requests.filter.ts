import { type ArgumentsHost, Catch, type RpcExceptionFilter } from '@nestjs/common';
import { ThrottlerException } from '@nestjs/throttler';
import type { BenUdpContext } from 'nestjs-ben-udp';
import { EMPTY, type Observable, throwError } from 'rxjs';

/**
 * Tells a board that it asks too often. Without this it would get "Internal server error", and each such request would be logged
 * as one: a board in a loop could fill the log. A board that does not wait is told nothing.
 */
@Catch(ThrottlerException)
export class TooManyRequestsFilter implements RpcExceptionFilter<ThrottlerException> {
  catch(_error: ThrottlerException, host: ArgumentsHost): Observable<never> {
    const context = host.switchToRpc().getContext<BenUdpContext>();
    return context.isReplyExpected() ? throwError(() => ({ status: 'error', message: 'too many requests' })) : EMPTY;
  }
}
