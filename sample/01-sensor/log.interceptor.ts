import { inspect } from 'node:util';
import { type CallHandler, type ExecutionContext, Injectable, Logger, type NestInterceptor } from '@nestjs/common';
import type { BenUdpContext } from 'nestjs-ben-udp';
import { type Observable, tap } from 'rxjs';

/** Logs the device, its request and the reply. */
@Injectable()
export class LogInterceptor implements NestInterceptor {
  private readonly logger = new Logger('Sensor');

  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const context = execution.switchToRpc().getContext<BenUdpContext>();
    // Quoted, because the text is the device's and may contain line feeds.
    const request = `${context.getDevice() ?? context.getRemoteAddress()} ${JSON.stringify(context.getRawRequest())}`;
    return next
      .handle()
      .pipe(tap((result) => this.logger.log(`${request} -> ${context.isReplyExpected() ? inspect(result) : 'noted'}`)));
  }
}
