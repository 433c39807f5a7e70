/**
 * The gateway, and in the same process a stand-in for the server on the roof.
 *
 *     npm run start:gateway
 *     BEN_KEY_FILE=keys/boards/board-01.sec npm run device
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions, MicroserviceOptions } from '@nestjs/microservices';
import { BenUdpError, BenUdpTransport, generateKeyFile } from 'nestjs-ben-udp';
import { AppModule } from './app.module.js';
import { RoofModule } from './roof.module.js';

const keyFolder = process.env['BEN_KEY_FOLDER'] ?? 'keys';

async function ensureKeyFile(path: string): Promise<void> {
  try {
    console.log(`Made the key file ${path} (fingerprint ${await generateKeyFile(path)}).`);
  } catch (error) {
    if (!(error instanceof BenUdpError && error.code === 'BEN_KEY_FILE_EXISTS')) {
      throw error;
    }
  }
}

await mkdir(join(keyFolder, 'boards'), { recursive: true });
await ensureKeyFile(join(keyFolder, 'boards', 'board-01.sec'));
await ensureKeyFile(join(keyFolder, 'roof.sec'));

const roof = await NestFactory.createMicroservice<MicroserviceOptions>(RoofModule, {
  strategy: new BenUdpTransport({ host: '127.0.0.1', port: 8586, keyFile: join(keyFolder, 'roof.sec'), route: 1 }),
});
await roof.listen();

const gateway = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(AppModule, {
  inject: [BenUdpTransport],
  useFactory: (strategy: BenUdpTransport) => ({ strategy }),
});
gateway.enableShutdownHooks();
roof.enableShutdownHooks();
await gateway.listen();
