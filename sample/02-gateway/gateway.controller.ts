import { Controller, Inject, UseFilters } from '@nestjs/common';
import { ClientProxy, Payload } from '@nestjs/microservices';
import { BenUdpEventPattern, BenUdpMessagePattern, BenUdpRecordBuilder, Device } from 'nestjs-ben-udp';
import type { Observable } from 'rxjs';
import { RoofFilter } from './roof.filter.js';

/** The injection token of the client. */
export const ROOF = Symbol('ROOF');

/** A server for the boards in the house, and a client of the server on the roof. */
@Controller()
@UseFilters(RoofFilter)
export class GatewayController {
  constructor(@Inject(ROOF) private readonly roof: ClientProxy) {}

  @BenUdpMessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }

  /** Asks the roof. Two readings do no harm, so a lost datagram only costs a retry. */
  @BenUdpMessagePattern('temperature')
  temperature(): Observable<unknown> {
    return this.roof.send('temperature', new BenUdpRecordBuilder().setIdempotent().build());
  }

  /** Passes the report on, with the name of the board, because the roof sees one address and one key for all boards. */
  @BenUdpEventPattern('dhtsensor')
  report(@Payload() reading: object, @Device() board: string | undefined): Observable<unknown> {
    return this.roof.emit('dhtsensor', { ...reading, board });
  }
}
