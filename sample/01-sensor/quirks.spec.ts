/** The same app, with the quirks of real boards and networks. */
import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import type { INestMicroservice } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { BenUdpTransport, type BenUdpTransportOptions } from 'nestjs-ben-udp';
import { VirtualBoard, type VirtualBoardOptions } from 'nestjs-ben-udp/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { AppModule } from './app.module.js';

const key = randomBytes(32);

describe('01-sensor', () => {
  let app: INestMicroservice;
  let board: VirtualBoard;

  async function start(server: BenUdpTransportOptions, device: Partial<VirtualBoardOptions>): Promise<BenUdpTransport> {
    const strategy = new BenUdpTransport({
      host: '127.0.0.1',
      port: 0,
      keys: { 'board-01': key },
      shutdownTimeout: 0,
      ...server,
    });
    const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = module.createNestMicroservice({ strategy, logger: false });
    await app.listen();
    board = await VirtualBoard.start({ key, port: strategy.unwrap().address().port, timeout: 2000, ...device });
    return strategy;
  }

  afterEach(() => Promise.all([board.close(), app.close()]));

  it('needs a gap between datagrams for a board that holds only one unread', async () => {
    await start({ datagramGap: 100 }, { receiveSlots: 1 });
    expect(await board.send({ action: 'echo', data: 'hello' })).toBe('hello');
    expect(board.getStats().dropped).toBe(0);
  });

  it('takes no reading twice if the network copies datagrams', async () => {
    const strategy = await start({}, { faults: { duplicate: 1, direction: 'to-server' } });
    await board.send({ action: 'dhtsensor', data: { temperature: 30, humidity: 50 } }, { noreturn: true });
    expect(await board.send({ action: 'latest' })).toEqual({ temperature: 30, humidity: 50 });
    expect(strategy.getStats()).toMatchObject({ requests: 2, rejected: { replayed: 2 } });
  });

  it('answers a board again that has unread datagrams in its socket', async () => {
    await start({}, { leftovers: [Buffer.alloc(16)] });
    const report = (temperature: number) =>
      board.send({ action: 'dhtsensor', data: { temperature, humidity: 50 } }, { noreturn: true });
    const endings = await Promise.allSettled([report(30), report(31), report(32)]);
    expect(endings.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await board.send({ action: 'latest' })).toEqual({ temperature: 32, humidity: 50 });
  });

  it('does not answer a board with another key', async () => {
    await start({}, { key: randomBytes(32) });
    await expect(board.send({ action: 'echo' })).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
  });
});
