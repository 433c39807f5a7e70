import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { BenUdpContext } from 'nestjs-ben-udp';
import { type Observable, finalize } from 'rxjs';
import { ExchangesService } from './exchanges.service.js';
import { RosterService } from './roster.service.js';

/** Times the handler, and notes the board when its request comes: a request for the inbox ends seconds later. */
@Injectable()
export class ExchangeInterceptor implements NestInterceptor {
  constructor(
    private readonly exchanges: ExchangesService,
    private readonly roster: RosterService,
  ) {}

  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const context = execution.switchToRpc().getContext<BenUdpContext>();
    const address = context.getRemoteAddress();
    const port = context.getRemotePort();
    const board = context.getDevice();
    if (board !== undefined) {
      this.roster.note(board, address);
    }
    this.exchanges.beginHandler(address, port);
    return next.handle().pipe(finalize(() => this.exchanges.endHandler(address, port)));
  }
}
