import { Module } from '@nestjs/common';
import { BoardController } from './board.controller.js';
import { ReadingsConsumer } from './readings.consumer.js';

@Module({ controllers: [BoardController], providers: [ReadingsConsumer] })
export class WorkerModule {}
