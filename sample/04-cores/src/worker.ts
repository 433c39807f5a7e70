/** One of the processes: a microservice like any other, with `reusePort`. */
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { type BenUdpStats, BenUdpTransport } from 'nestjs-ben-udp';
import { AppModule } from './app.module.js';

/** The report of a worker on itself. */
export interface Report {
  readonly stats: BenUdpStats;
  /** Boards that it has heard. */
  readonly boards: number;
  /** Milliseconds of CPU since its start. */
  readonly cpuMs: number;
}

export async function runWorker(): Promise<void> {
  const transport = new BenUdpTransport({
    host: process.env['BEN_HOST'] || '0.0.0.0',
    port: Number(process.env['BEN_PORT'] || 8585),
    keyFile: process.env['BEN_KEY_FILE'] || 'key.sec',
    reusePort: true,
    // Each process writes a file of its own, and reads those of all at its start.
    knownBoardsFile: 'known-boards',
  });
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    strategy: transport,
    logger: ['error', 'warn'],
  });
  // SIGTERM: the socket leaves the port when no board is between hello and request, and the replies it owes are still sent.
  app.enableShutdownHooks();
  await app.listen();
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    const report: Report = {
      stats: transport.getStats(),
      boards: transport.getDevices().length,
      cpuMs: (user + system) / 1000,
    };
    process.send!({ report });
  });
  process.send!({ port: transport.unwrap().address().port });
}
