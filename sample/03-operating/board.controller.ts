import { Controller, UseFilters, UseGuards } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { ThrottlerGuard } from '@nestjs/throttler';
import { BenUdpEventPattern, BenUdpMessagePattern } from 'nestjs-ben-udp';
import { TooManyRequestsFilter } from './too-many-requests.filter.js';

@Controller()
@UseGuards(ThrottlerGuard)
@UseFilters(TooManyRequestsFilter)
export class BoardController {
  @BenUdpMessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }

  @BenUdpMessagePattern('temperature')
  temperature(): { celsius: number; unit: string } {
    return { celsius: 21.5, unit: 'C' };
  }

  @BenUdpEventPattern('dhtsensor')
  report(@Payload() _reading: unknown): void {
    // Sample 01-sensor shows how to keep readings.
  }
}
