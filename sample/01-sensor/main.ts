import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { AppModule } from './app.module.js';
import { ensureKeyFile, printHowToConnect } from './first-start.js';

// An empty variable counts as unset.
const host = process.env['BEN_HOST'] || '0.0.0.0';
const port = Number(process.env['BEN_PORT'] || 8585);
const keyFile = process.env['BEN_KEY_FILE'] || 'key.sec';

await ensureKeyFile(keyFile);
const strategy = new BenUdpTransport({
  host,
  port,
  keys: { 'board-01': keyFile },
  knownBoardsFile: 'known-boards',
  // The only process at this address, so a board of protocol v2 need not notice its restart.
  route: 1,
});
const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
  strategy,
});
app.enableShutdownHooks();
await app.listen();
printHowToConnect(strategy.unwrap().address(), keyFile);
