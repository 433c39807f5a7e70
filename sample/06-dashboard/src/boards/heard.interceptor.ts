import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { BenUdpContext } from 'nestjs-ben-udp';
import type { Observable } from 'rxjs';
import { RosterService } from './roster.service.js';

/** Notes the board when its request comes. The transport tells of an exchange at its end, which for the inbox is seconds later. */
@Injectable()
export class HeardInterceptor implements NestInterceptor {
  constructor(private readonly roster: RosterService) {}

  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const context = execution.switchToRpc().getContext<BenUdpContext>();
    const board = context.getDevice();
    if (board !== undefined) {
      this.roster.note(board, context.getRemoteAddress());
    }
    return next.handle();
  }
}
