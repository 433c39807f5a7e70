import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { BenUdpEventPattern, BenUdpMessagePattern, RemoteAddress } from 'nestjs-ben-udp';

/** Nothing here knows that there are several processes. */
@Controller()
export class BoardController {
  @BenUdpMessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }

  /** Which process has the board. It may change when a process starts or ends. */
  @BenUdpMessagePattern('who')
  who(@RemoteAddress() address: string): { pid: number; address: string } {
    return { pid: process.pid, address };
  }

  @BenUdpEventPattern('dhtsensor')
  report(@Payload() reading: unknown, @RemoteAddress() address: string): void {
    console.log(`${process.pid}: ${address} reports ${JSON.stringify(reading)}`);
  }
}
