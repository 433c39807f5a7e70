import { Module } from '@nestjs/common';
import { Transport } from '@nestjs/microservices';
import { BenUdpRelayModule } from 'nestjs-ben-udp';
import { NATS_OPTIONS } from '../settings.js';
import { ReadingsController } from './readings.controller.js';
import { ReadingsStream } from './readings.stream.js';

@Module({
  imports: [
    BenUdpRelayModule.forRoot({
      client: { transport: Transport.NATS, options: NATS_OPTIONS },
      messages: ['echo', 'temperature', 'who'],
      // Boards wait 10 s.
      timeout: 5000,
    }),
  ],
  controllers: [ReadingsController],
  providers: [ReadingsStream],
})
export class EdgeModule {}
