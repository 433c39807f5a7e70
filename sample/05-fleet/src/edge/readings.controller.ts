import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { BenUdpEventPattern, BenUdpMessagePattern, Device, ReceivedAt } from 'nestjs-ben-udp';
import { ReadingsStream } from './readings.stream.js';

/** Readings must not be lost, so they do not go to a worker: the edge puts them into the stream, from which workers take them. */
@Controller()
export class ReadingsController {
  constructor(private readonly stream: ReadingsStream) {}

  /** `board.send({"action": "dhtsensor", "data": {…}})`: the reply comes when the reading is stored. */
  @BenUdpMessagePattern('dhtsensor')
  async store(
    @Payload() data: unknown,
    @Device() device: string | undefined,
    @ReceivedAt() receivedAt: Date,
  ): Promise<{ stored: number }> {
    return { stored: await this.stream.store({ device, receivedAt: receivedAt.toISOString(), data }) };
  }

  /** The same with `noreturn=True`: the edge forgets the reading when it is stored. */
  @BenUdpEventPattern('dhtsensor')
  keep(@Payload() data: unknown, @Device() device: string | undefined, @ReceivedAt() receivedAt: Date): Promise<void> {
    return this.stream.keep({ device, receivedAt: receivedAt.toISOString(), data });
  }
}
