import 'reflect-metadata';
import { deepStrictEqual } from 'node:assert';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { AppModule, EXPECTED_ANSWERS, createTransport, exchange } from './app.js';

async function main(): Promise<void> {
  const transport = createTransport();
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    strategy: transport,
    logger: ['error', 'warn'],
  });
  deepStrictEqual(await exchange(app, transport), EXPECTED_ANSWERS);
}

void main();
