import 'reflect-metadata';
import type { INestMicroservice } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { type BenUdpKeyOptions, BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppModule } from './app.module.js';

const key = Buffer.alloc(32, 1);

describe('01-sensor', () => {
  let app: INestMicroservice;
  let board: VirtualBoard;
  let port: number;

  async function start(keys: BenUdpKeyOptions): Promise<void> {
    const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, ...keys });
    const module = await Test.createTestingModule({ imports: [AppModule] })
      .setLogger(false as never)
      .compile();
    app = module.createNestMicroservice({ strategy: transport, logger: false });
    await app.listen();
    ({ port } = transport.unwrap().address());
    board = await VirtualBoard.start({ key, port });
  }

  beforeEach(() => start({ keys: { 'board-01': key } }));

  afterEach(async () => {
    await board.close();
    await app.close();
  });

  it('echoes the data', async () => {
    for (const data of [{ a: [1, 'two'] }, 2n ** 70n, null, '']) {
      expect(await board.send({ action: 'echo', data })).toEqual(data);
    }
  });

  it('tells the temperature', async () => {
    expect(await board.send({ action: 'temperature' })).toEqual({ celsius: 21.5, unit: 'C' });
  });

  it('keeps the latest reading of a device', async () => {
    await board.send({ action: 'dhtsensor', data: { temperature: 30, humidity: 50 } }, { noreturn: true });
    await board.send({ action: 'dhtsensor', data: { temperature: 31, humidity: 51, other: 'x' } }, { noreturn: true });
    expect(await board.send({ action: 'latest' })).toEqual({ temperature: 31, humidity: 51 });
  });

  it('does not keep an invalid reading', async () => {
    for (const data of [{ temperature: NaN, humidity: 50 }, { temperature: 30 }, 'warm', undefined]) {
      await board.send({ action: 'dhtsensor', data }, { noreturn: true });
    }
    expect(await board.exchange("{'action': 'latest'}")).toBe(
      '{"data":null,"error":{"status":"error","message":"board-01 has not reported yet"}}',
    );
  });

  it('serves only public data to devices without a name', async () => {
    await board.close();
    await app.close();
    // One key for all devices names none of them.
    await start({ key });
    expect(await board.send({ action: 'echo', data: 1 })).toBe(1);
    expect(await board.exchange("{'action': 'latest'}")).toContain('Forbidden');
  });
});
