import { Controller, UseFilters, UseInterceptors, ValidationPipe } from '@nestjs/common';
import { MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { AllowDevices, BenUdpEventPattern, BenUdpMessagePattern, Device } from 'nestjs-ben-udp';
import { DhtReading } from './dht-reading.dto.js';
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
  @BenUdpEventPattern('dhtsensor')
  @AllowDevices()
  report(@Payload(validate) reading: DhtReading, @Device() device: string): void {
    this.readings.save(device, reading);
  }

  /** A board asks for its latest report. */
  @BenUdpMessagePattern('latest')
  @AllowDevices()
  @UseFilters(NoReadingFilter)
  latest(@Device() device: string): DhtReading {
    return this.readings.get(device);
  }
}
