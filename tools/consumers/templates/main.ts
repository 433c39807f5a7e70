import 'reflect-metadata';
import { strictEqual } from 'node:assert';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { AppModule, EXPECTED_ANSWER, createTransport, exchange } from './app.js';

async function main(): Promise<void> {
  const transport = createTransport();
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    strategy: transport,
    logger: ['error', 'warn'],
  });
  strictEqual(await exchange(app, transport), EXPECTED_ANSWER);
}

void main();
