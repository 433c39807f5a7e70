import { Module } from '@nestjs/common';
import { ReadingsService } from './readings.service.js';
import { SensorController } from './sensor.controller.js';

@Module({
  controllers: [SensorController],
  providers: [ReadingsService],
})
export class AppModule {}
