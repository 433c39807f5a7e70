import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestMicroservice } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppModule } from './app.module.js';
import { RoofController, RoofModule } from './roof.module.js';
import { SettingsService } from './settings.service.js';

const boardKey = randomBytes(32);
const roofKey = randomBytes(32);

describe('02-gateway', () => {
  let roof: INestMicroservice;
  let gateway: INestMicroservice;
  let board: VirtualBoard;

  /** The gateway with other settings, which arrive late, as from a secret store. */
  async function startGateway(roofPort: number, timeout?: number): Promise<void> {
    const settings = {
      forBoards: async () => ({ host: '127.0.0.1', port: 0, keys: { 'board-01': boardKey } }),
      forRoof: async () => ({ port: roofPort, key: roofKey, timeout, retries: 1 }),
    };
    const module = await Test.createTestingModule({ imports: [AppModule] })
      .overrideProvider(SettingsService)
      .useValue(settings)
      .compile();
    const strategy = module.get(BenUdpTransport);
    gateway = module.createNestMicroservice({ strategy, logger: false });
    await gateway.listen();
    board = await VirtualBoard.start({ key: boardKey, port: strategy.unwrap().address().port });
  }

  beforeEach(async () => {
    const strategy = new BenUdpTransport({ host: '127.0.0.1', port: 0, key: roofKey });
    const module = await Test.createTestingModule({ imports: [RoofModule] }).compile();
    roof = module.createNestMicroservice({ strategy, logger: false });
    await roof.listen();
    await startGateway(strategy.unwrap().address().port);
  });

  afterEach(() => Promise.all([board.close(), gateway.close(), roof.close()]));

  it('answers a board itself', async () => {
    expect(await board.send({ action: 'echo', data: 'hello' })).toBe('hello');
  });

  it('asks the roof for a board', async () => {
    expect(await board.send({ action: 'temperature' })).toEqual({ celsius: -3.5, unit: 'C' });
  });

  it('passes a report on to the roof, with the name of the board', async () => {
    await board.send({ action: 'dhtsensor', data: { temperature: 30, humidity: 50 } }, { noreturn: true });
    const { readings } = roof.get(RoofController);
    await expect.poll(() => readings).toEqual([{ temperature: 30, humidity: 50, board: 'board-01' }]);
  });

  it('tells the board that the roof does not answer', async () => {
    await Promise.all([roof.close(), board.close(), gateway.close()]);
    // Nobody listens on port 1.
    await startGateway(1, 50);
    expect(await board.exchange("{'action': 'temperature'}")).toBe(
      '{"data":null,"error":{"status":"error","message":"the roof does not answer"}}',
    );
  });
});

describe('SettingsService', () => {
  it('names boards after their key files', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gateway-'));
    process.env['BEN_KEY_FOLDER'] = folder;
    try {
      await mkdir(join(folder, 'boards'));
      await writeFile(join(folder, 'boards', 'hall.sec'), boardKey);
      await writeFile(join(folder, 'boards', 'README'), 'no key');
      await writeFile(join(folder, 'roof.sec'), roofKey);
      const settings = new SettingsService();
      expect((await settings.forBoards()).keys).toEqual({ hall: join(folder, 'boards', 'hall.sec') });
      expect((await settings.forRoof()).key).toEqual(roofKey);
    } finally {
      delete process.env['BEN_KEY_FOLDER'];
      await rm(folder, { recursive: true });
    }
  });
});
