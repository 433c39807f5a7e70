/** The CommonJS side: an app and its transport, and whatever else this copy of the package has. */
import 'reflect-metadata';
import { type INestMicroservice, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import * as nestjsBenUdp from 'nestjs-ben-udp';

export const copy = nestjsBenUdp;

/** Listens on any free port. */
export async function startApp(controller: Type, key: Uint8Array): Promise<{ app: INestMicroservice; port: number }> {
  @Module({ controllers: [controller] })
  class AppModule {}

  const transport = new nestjsBenUdp.BenUdpTransport({ host: '127.0.0.1', port: 0, keys: { 'board-01': key } });
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    strategy: transport,
    logger: ['error', 'warn'],
  });
  await app.listen();
  return { app, port: transport.unwrap().address().port };
}
