import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { BenUdpMessagePattern, Device } from 'nestjs-ben-udp';

/** It would run on the edge unchanged. */
@Controller()
export class BoardController {
  @BenUdpMessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }

  @BenUdpMessagePattern('temperature')
  temperature(): number {
    return 21.5;
  }

  @BenUdpMessagePattern('who')
  who(@Device() device: string | undefined): { pid: number; device: string | undefined } {
    return { pid: process.pid, device };
  }
}
