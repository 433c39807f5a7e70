import { type ArgumentsHost, Catch, type RpcExceptionFilter } from '@nestjs/common';
import { ThrottlerException } from '@nestjs/throttler';
import type { BenUdpContext } from 'nestjs-ben-udp';
import { EMPTY, type Observable, throwError } from 'rxjs';

/**
 * Tells a board that it asks too often. Without this filter, the board would get "Internal server error", and Nest would log each such
 * request as an error, so a board in a loop could fill the log. A board that does not wait gets nothing.
 */
@Catch(ThrottlerException)
export class TooManyRequestsFilter implements RpcExceptionFilter<ThrottlerException> {
  catch(_error: ThrottlerException, host: ArgumentsHost): Observable<never> {
    const context = host.switchToRpc().getContext<BenUdpContext>();
    return context.isReplyExpected() ? throwError(() => ({ status: 'error', message: 'too many requests' })) : EMPTY;
  }
}
