import { Controller, Logger, Module } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { BenUdpEventPattern, BenUdpMessagePattern } from 'nestjs-ben-udp';

/** Stands for the server on the roof, which may as well be upstream's in Python, on a machine of its own. */
@Controller()
export class RoofController {
  readonly readings: unknown[] = [];
  private readonly logger = new Logger('Roof');

  @BenUdpMessagePattern('temperature')
  temperature(): { celsius: number; unit: string } {
    return { celsius: -3.5, unit: 'C' };
  }

  @BenUdpEventPattern('dhtsensor')
  note(@Payload() reading: unknown): void {
    this.readings.push(reading);
    this.logger.log(`noted ${JSON.stringify(reading)}`);
  }
}

@Module({ controllers: [RoofController] })
export class RoofModule {}
