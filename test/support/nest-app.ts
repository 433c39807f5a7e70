/** A Nest microservice on BenUdp for one test: any free port of 127.0.0.1, boards that know it, closed at the end. */
import 'reflect-metadata';
import type { INestMicroservice, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { BenUdpTransport, type BenUdpTransportOptions } from 'nestjs-ben-udp';
import { expect, onTestFinished } from 'vitest';
import { DEFAULT_TIMEOUT_MS } from '../../lib/constants.js';
import { type Platform, nodePlatform } from '../../lib/net/index.js';
import { VirtualBoard, type VirtualBoardOptions } from '../../lib/testing/index.js';
import type { MovablePlatform } from './movable-platform.js';

export const KEY_CONTENTS = Buffer.alloc(32, 'k');

export interface TestApp {
  readonly app: INestMicroservice;
  readonly transport: BenUdpTransport;
  readonly port: number;
  readonly logs: LogRecorder;
  board(options?: Partial<VirtualBoardOptions>, platform?: Platform): Promise<VirtualBoard>;
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
  return { app, transport, port, logs, board: (...args) => startBoard(port, ...args) };
}

export async function startBoard(
  port: number,
  options: Partial<VirtualBoardOptions> = {},
  platform: Platform = nodePlatform,
): Promise<VirtualBoard> {
  const board = await VirtualBoard.start({ key: KEY_CONTENTS, port, ...options }, platform);
  onTestFinished(() => board.close());
  return board;
}

/**
 * The outcome of a v1 exchange that gets no answer. The board's timeout passes once `isHandled`. In real time, a busy machine could end
 * the exchange before the server has read the request.
 */
export async function unanswered(
  clock: MovablePlatform,
  exchange: Promise<unknown>,
  isHandled: () => boolean,
): Promise<unknown> {
  const outcome = exchange.catch((error: unknown) => error);
  await expect.poll(isHandled).toBe(true);
  clock.advance(DEFAULT_TIMEOUT_MS);
  return outcome;
}
