/**
 * Boards on UDP, operators on HTTP.
 *
 *     npm run start:operating
 *     npm run device
 *     curl localhost:3000/health localhost:3000/metrics localhost:3000/devices
 */
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { propagation, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider, ConsoleSpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { BenUdpError, BenUdpTransport, generateKeyFile } from 'nestjs-ben-udp';
import { AppModule } from './app.module.js';

const keyFile = process.env['BEN_KEY_FILE'] ?? 'key.sec';
try {
  console.log(`Made the key file ${keyFile} (fingerprint ${await generateKeyFile(keyFile)}).`);
} catch (error) {
  if (!(error instanceof BenUdpError && error.code === 'BEN_KEY_FILE_EXISTS')) {
    throw error;
  }
}

propagation.setGlobalPropagator(new W3CTraceContextPropagator());
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())] }),
);

const app = await NestFactory.create(AppModule);
app.connectMicroservice<MicroserviceOptions>({ strategy: app.get(BenUdpTransport) });
app.enableShutdownHooks();
await app.startAllMicroservices();
await app.listen(Number(process.env['HTTP_PORT'] ?? 3000));
