/** The edge: it alone has the keys, and talks to boards. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { BEN_HOST, BEN_PORT, KEY_FILE } from '../settings.js';
import { EdgeModule } from './edge.module.js';

const transport = new BenUdpTransport({
  host: BEN_HOST,
  port: BEN_PORT,
  keys: { 'board-01': KEY_FILE },
  knownBoardsFile: 'known-boards',
});
const app = await NestFactory.createMicroservice<MicroserviceOptions>(EdgeModule, {
  strategy: transport,
  logger: ['error', 'warn'],
});
app.enableShutdownHooks();
// Nest opens the stream before it answers boards.
await app.listen();
process.once('disconnect', () => void app.close());
process.send?.({ port: transport.unwrap().address().port });
