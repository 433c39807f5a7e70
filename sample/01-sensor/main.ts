import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { AppModule } from './app.module.js';
import { ensureKeyFile, printHowToConnect } from './first-start.js';

const host = process.env['BEN_HOST'] ?? '0.0.0.0';
const port = Number(process.env['BEN_PORT'] ?? 8585);
const keyFile = process.env['BEN_KEY_FILE'] ?? 'key.sec';

await ensureKeyFile(keyFile);
const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
  strategy: new BenUdpTransport({ host, port, keys: { 'board-01': keyFile } }),
});
app.enableShutdownHooks();
await app.listen();
printHowToConnect(port, keyFile);
