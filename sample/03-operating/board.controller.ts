import { Controller, UseFilters, UseGuards } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { ThrottlerGuard } from '@nestjs/throttler';
import { TooManyRequestsFilter } from './too-many-requests.filter.js';

@Controller()
@UseGuards(ThrottlerGuard)
@UseFilters(TooManyRequestsFilter)
export class BoardController {
  @MessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }

  @MessagePattern('temperature')
  temperature(): { celsius: number; unit: string } {
    return { celsius: 21.5, unit: 'C' };
  }

  @EventPattern('dhtsensor')
  report(@Payload() _reading: unknown): void {
    // Sample 01-sensor shows how to keep readings.
  }
}
