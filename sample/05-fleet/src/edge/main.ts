/** The edge: it alone has the keys, and talks to boards. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { BEN_HOST, BEN_PORT, KEY_FILE, KNOWN_BOARDS_FILE } from '../settings.js';
import { EdgeModule } from './edge.module.js';

// The first process of the sample was killed. Nest handles the signal when it has started.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));

const transport = new BenUdpTransport({
  host: BEN_HOST,
  port: BEN_PORT,
  keys: { 'board-01': KEY_FILE },
  knownBoardsFile: KNOWN_BOARDS_FILE,
});
const app = await NestFactory.createMicroservice<MicroserviceOptions>(EdgeModule, {
  strategy: transport,
  logger: ['error', 'warn'],
});
app.enableShutdownHooks();
// Nest opens the stream before it answers boards.
await app.listen();
process.send?.({ port: transport.unwrap().address().port });
