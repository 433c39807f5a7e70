/** A worker: a microservice on NATS. Start as many as you like, on any machine; they share the requests. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, ServerNats } from '@nestjs/microservices';
import { toBenUdpWorker } from 'nestjs-ben-udp';
import { NATS_OPTIONS } from '../settings.js';
import { WorkerModule } from './worker.module.js';

// The first process of the sample was killed. Nest handles the signal when it has started.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));

const strategy = toBenUdpWorker(new ServerNats({ ...NATS_OPTIONS, queue: 'workers' }), { trustEdgeIdentity: true });
const app = await NestFactory.createMicroservice<MicroserviceOptions>(WorkerModule, {
  strategy,
  logger: ['error', 'warn'],
});
app.enableShutdownHooks();
await app.listen();
process.send?.({ pid: process.pid });
