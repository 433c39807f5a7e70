import { Controller, UseFilters, UseGuards, UseInterceptors, ValidationPipe } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { BenUdpContext } from 'nestjs-ben-udp';
import { DhtReading } from './dht-reading.dto.js';
import { KnownDeviceGuard } from './known-device.guard.js';
import { LogInterceptor } from './log.interceptor.js';
import { NoReadingFilter } from './no-reading.filter.js';
import { ReadingsService } from './readings.service.js';

const validate = new ValidationPipe({
  transform: true,
  whitelist: true,
  exceptionFactory: (errors) => new RpcException(errors.map(({ property }) => `bad ${property}`).join(', ')),
});

@Controller()
@UseInterceptors(LogInterceptor)
export class SensorController {
  constructor(private readonly readings: ReadingsService) {}

  /** A board gets its data back: `client.send({"action": "echo", "data": "hello"})` returns "hello". */
  @MessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }

  /** The temperature in the room of the server. */
  @MessagePattern('temperature')
  temperature(): { celsius: number; unit: string } {
    return { celsius: 21.5, unit: 'C' };
  }

  /** A board reports and does not wait: `client.send({"action": "dhtsensor", "data": {…}}, noreturn=True)`. */
  @EventPattern<string>('dhtsensor')
  @UseGuards(KnownDeviceGuard)
  report(@Payload(validate) reading: DhtReading, @Ctx() context: BenUdpContext): void {
    this.readings.save(context.getDevice()!, reading);
  }

  /** A board asks for its latest report. */
  @MessagePattern('latest')
  @UseGuards(KnownDeviceGuard)
  @UseFilters(NoReadingFilter)
  latest(@Ctx() context: BenUdpContext): DhtReading {
    return this.readings.get(context.getDevice()!);
  }
}
