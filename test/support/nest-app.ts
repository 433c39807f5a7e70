/** A Nest microservice on BenUdp for one test: any free port of 127.0.0.1, boards that know it, closed at the end. */
import 'reflect-metadata';
import type { INestMicroservice, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { BenUdpTransport, type BenUdpTransportOptions } from 'nestjs-ben-udp';
import { onTestFinished } from 'vitest';
import { type Platform, nodePlatform } from '../../lib/net/index.js';
import { VirtualBoard, type VirtualBoardOptions } from '../../lib/testing/index.js';

export const KEY_CONTENTS = Buffer.alloc(32, 'k');

export interface TestApp {
  readonly app: INestMicroservice;
  readonly transport: BenUdpTransport;
  readonly port: number;
  readonly logs: LogRecorder;
  board(options?: Partial<VirtualBoardOptions>): Promise<VirtualBoard>;
}

/** Keeps the log lines of Nest, so that a test can read them and the run stays quiet. */
export class LogRecorder {
  readonly lines: string[] = [];
  log = this.recorder('log');
  error = this.recorder('error');
  warn = this.recorder('warn');
  debug = this.recorder('debug');
  verbose = this.recorder('verbose');
  fatal = this.recorder('fatal');

  of(level: string): string[] {
    return this.lines.filter((line) => line.startsWith(`${level} `));
  }

  private recorder(level: string) {
    return (...parts: unknown[]) => {
      this.lines.push([level, ...parts.map(String)].join(' '));
    };
  }
}

export async function startApp(
  metadata: ModuleMetadata,
  options: BenUdpTransportOptions = {},
  configure: (app: INestMicroservice) => void = () => undefined,
  platform: Platform = nodePlatform,
): Promise<TestApp> {
  const logs = new LogRecorder();
  const module = await Test.createTestingModule(metadata).setLogger(logs).compile();
  const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: KEY_CONTENTS, ...options }, platform);
  const app = module.createNestMicroservice({ strategy: transport, logger: logs });
  configure(app);
  await app.listen();
  onTestFinished(() => app.close());
  const { port } = transport.unwrap().address();
  return { app, transport, port, logs, board: (boardOptions) => startBoard(port, boardOptions) };
}

export async function startBoard(port: number, options: Partial<VirtualBoardOptions> = {}): Promise<VirtualBoard> {
  const board = await VirtualBoard.start({ key: KEY_CONTENTS, port, timeout: 2000, ...options });
  onTestFinished(() => board.close());
  return board;
}
