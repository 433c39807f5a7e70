/** A worker: a microservice on NATS. Start as many as you like, on any machine; they share the requests. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, ServerNats } from '@nestjs/microservices';
import { toBenUdpWorker } from 'nestjs-ben-udp';
import { NATS_OPTIONS } from '../settings.js';
import { WorkerModule } from './worker.module.js';

const strategy = toBenUdpWorker(new ServerNats({ ...NATS_OPTIONS, queue: 'workers' }), { trustEdgeIdentity: true });
const app = await NestFactory.createMicroservice<MicroserviceOptions>(WorkerModule, {
  strategy,
  logger: ['error', 'warn'],
});
app.enableShutdownHooks();
await app.listen();
process.once('disconnect', () => void app.close());
process.send?.({ pid: process.pid });
